/** identify: pivotal tokens and the component mask; `amplify` on the same run folder takes up from there. */
import { selectedNames, selectionLines } from "../engine/circuit/component_names.ts";
import { countSelected } from "../engine/circuit/components.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { pivotLines, spreadOver } from "../engine/report/pivot_lines.ts";
import { readPivots } from "../engine/report/pivots.ts";
import { runFolderPath, runIdentify } from "../engine/run/amplify_run.ts";
import { runDefinitions, runSettings } from "../engine/run/settings/run.ts";
import { evaluationDefinitions } from "../engine/run/settings/evaluation.ts";
import { updateDefinitions } from "../engine/run/settings/method.ts";
import { roundDefinitions } from "../engine/run/settings/rounds.ts";
import { setting, settingsOf } from "../engine/run/settings/setting.ts";
import { runStartDefinitions } from "../engine/run/settings/start.ts";
import { integer } from "../engine/run/settings/value_types.ts";
import { describeSelection } from "../engine/run/selection_text.ts";
import { describeComponents } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const identify = defineCommand({
  name: "identify",
  summary: "Finds pivotal tokens and learns which heads and neurons decide them.",
  settings: {
    ...runDefinitions,
    start: runStartDefinitions,
    show: setting({
      name: "show",
      type: integer(1),
      otherwise: "none",
      help:
        "print this many pivots: right and wrong trace with the pivotal token in brackets, and its probability",
      example: "5",
    }),
  },
  hidden: {
    names: new Set(
      settingsOf({
        update: updateDefinitions,
        rounds: roundDefinitions,
        evaluation: evaluationDefinitions,
      }).map(({ setting }) => setting.name).filter((name) => !["objective", "ability"].includes(name)),
    ),
    why:
      "Options of amplify for update, rounds and controls are taken too, for amplify to go on with in the run folder.",
  },
  resumes: true,
  async run({ start, show, json, quiet, config: _, ...given }) {
    const settings = await runSettings(given);
    const out = start.out ?? runFolderPath("amplify", settings);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const { examples, circuit, config } = await runIdentify(gpu, settings, {
      ...start,
      out,
      progress: display.report,
      expect: display.expect,
      notice: display.notice,
    });
    display.finish();
    const components = countSelected(config, circuit.selection);
    print(`pivotal tokens ${examples.length}`);
    print(`circuit        ${describeComponents(components)}`);
    selectionLines(config, circuit.selection).forEach((line) => print(`               ${line}`));
    describeSelection(circuit.record).forEach((line) => print(line));
    const pivots = show === undefined ? [] : spreadOver(await readPivots(out) ?? [], show);
    pivots.flatMap(pivotLines).forEach((line) => print(line));
    print(`run folder     ${out}`);
    if (json) {
      printJson({
        localization_examples: examples.length,
        components: { ...components, names: selectedNames(config, circuit.selection) },
        selection: circuit.record,
        ...(show !== undefined && { pivots }),
        out,
      });
    }
  },
});

if (import.meta.main) await runCommand(identify);
