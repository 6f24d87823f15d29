/** identify: pivotal tokens and the component mask; `amplify` on the same run folder takes up from there. */
import { countSelected } from "../engine/circuit/components.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { runFolderPath, runIdentify } from "../engine/run/amplify_run.ts";
import { runDefinitions, runSettings } from "../engine/run/settings/run.ts";
import { runStartDefinitions } from "../engine/run/settings/start.ts";
import { describeSelection } from "../engine/run/selection_text.ts";
import { describeComponents } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print } from "./terminal.ts";

export const identify = defineCommand({
  name: "identify",
  summary: "Finds pivotal tokens and learns which heads and neurons decide them.",
  settings: { ...runDefinitions, start: runStartDefinitions },
  resumes: true,
  async run({ start, json, quiet, config: _, ...given }) {
    const settings = await runSettings(given);
    const out = start.out ?? runFolderPath("amplify", settings);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const { examples, circuit, config } = await runIdentify(gpu, settings, {
      ...start,
      out,
      progress: display.report,
      notice: display.notice,
    });
    display.finish();
    const components = countSelected(config, circuit.selection);
    print(`pivotal tokens ${examples.length}`);
    print(`circuit        ${describeComponents(components)}`);
    describeSelection(circuit.record).forEach((line) => print(line));
    print(`run folder     ${out}`);
    if (json) {
      print(
        JSON.stringify({
          localization_examples: examples.length,
          components,
          selection: circuit.record,
          out,
        }),
      );
    }
  },
});

if (import.meta.main) await runCommand(identify);
