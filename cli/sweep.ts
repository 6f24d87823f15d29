/** sweep: amplify over a grid of settings, stages that points have in common computed once. */
import { join } from "node:path";
import { Gpu } from "../engine/gpu/gpu.ts";
import { InputError } from "../engine/errors.ts";
import { writeAtomically } from "../engine/files.ts";
import { runDefinitions } from "../engine/run/settings/run.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { runStartDefinitions } from "../engine/run/settings/start.ts";
import { jsonOrText, listOf, mapOf } from "../engine/run/settings/value_types.ts";
import { describeSweep } from "../engine/run/summary_text.ts";
import { runSweep } from "../engine/run/sweep.ts";
import { sweepPlot } from "../engine/run/sweep_plot.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const sweep = defineCommand({
  name: "sweep",
  summary:
    "Amplifies over a grid of settings: a run for every combination, what they have in common computed once.",
  settings: {
    grid: setting({
      name: "grid",
      type: mapOf(listOf(jsonOrText("VALUES"), { commas: true })),
      otherwise: "none; it is needed",
      help: "setting of amplify and the values to try, with commas; in a file a map of lists",
      example: "budget=1%p,3%p",
    }),
    ...runDefinitions,
    start: runStartDefinitions,
  },
  resumes: true,
  async run({ grid, start, json, quiet, config: _, ...given }) {
    if (grid === undefined || Object.keys(grid).length === 0) {
      throw new InputError("Say which settings to sweep over.", "grid");
    }
    const out = start.out ?? join("runs", "sweep");
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const rows = await runSweep(gpu, given, grid, {
      ...start,
      out,
      progress: display.report,
      notice: display.notice,
    });
    display.finish();
    await writeAtomically(join(out, "sweep.svg"), await sweepPlot(rows));
    print(describeSweep(rows));
    print(`run folders    ${out}, picture in ${join(out, "sweep.svg")}`);
    if (json) printJson(rows);
  },
});

if (import.meta.main) await runCommand(sweep);
