/** merge: finishes a planned run whose shards are done. */
import { join } from "node:path";
import { mergeRun, requireShards } from "../engine/cluster/merge.ts";
import { plannedRunSetting } from "../engine/cluster/settings.ts";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { offlineSetting } from "../engine/run/settings/model.ts";
import { describeSummary } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printAside, printJson } from "./terminal.ts";

export const merge = defineCommand({
  name: "merge",
  summary: "Finishes a planned run whose shards are done: the folder then holds what amplify leaves.",
  settings: { start: { run: plannedRunSetting, offline: offlineSetting } },
  resumes: true,
  retries: true,
  async run({ start: { run, ...start }, json, quiet }) {
    if (run === undefined) throw new InputError("No planned run is named; name its folder.", "run");
    await requireShards(run);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const summary = await mergeRun(gpu, run, {
      ...start,
      progress: display.report,
      expect: display.expect,
      notice: display.notice,
    });
    display.finish();
    if (!quiet) printAside("");
    print(describeSummary(summary));
    print(`run folder     ${run} (${summary.seconds.total} s on ${summary.adapter})`);
    print(`report         ${join(run, "report.html")}`);
    if (json) printJson(summary);
  },
});

if (import.meta.main) await runCommand(merge);
