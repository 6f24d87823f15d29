/** amplify: identify → amplify → evaluate on a model and a task, the embedded ones by default. */
import { join } from "node:path";
import { Gpu } from "../engine/gpu/gpu.ts";
import { runAmplify, runFolderPath } from "../engine/run/amplify_run.ts";
import { runSeeds, seedsSetting } from "../engine/run/seeds.ts";
import { runDefinitions, runSettings } from "../engine/run/settings/run.ts";
import { runStartDefinitions } from "../engine/run/settings/start.ts";
import { describeSeeds, describeSummary } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printAside, printJson } from "./terminal.ts";

export const amplify = defineCommand({
  name: "amplify",
  summary: "Finds the circuit that decides a task, strengthens only it, and measures what changed.",
  settings: { ...runDefinitions, start: { ...runStartDefinitions, seeds: seedsSetting } },
  resumes: true,
  async run({ start: { seeds, ...start }, json, quiet, config: _, ...given }) {
    const settings = await runSettings(given);
    const out = start.out ?? runFolderPath(seeds ? "seeds" : "amplify", settings);
    const display = new ProgressDisplay(quiet);
    const options = {
      ...start,
      out,
      progress: display.report,
      expect: display.expect,
      notice: display.notice,
    };
    using gpu = await Gpu.open();
    display.watch(gpu);
    if (seeds) {
      const result = await runSeeds(gpu, settings, seeds, options);
      display.finish();
      print(describeSeeds(result));
      print(`run folders    ${out}/seed-N, each with its report.html`);
      if (json) printJson(result);
      return;
    }
    const summary = await runAmplify(gpu, settings, options);
    display.finish();
    if (!quiet) printAside("");
    print(describeSummary(summary));
    print(`run folder     ${out} (${summary.seconds.total} s on ${summary.adapter})`);
    print(`report         ${join(out, "report.html")}`);
    if (json) printJson(summary);
  },
});

if (import.meta.main) await runCommand(amplify);
