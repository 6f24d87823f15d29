/** plan: freezes what amplify would run, for `work` to do in shards on many GPUs and `merge` to finish. Needs no GPU. */
import { planRun } from "../engine/cluster/run_plan.ts";
import { shardsSetting } from "../engine/cluster/settings.ts";
import { runFolderPath } from "../engine/run/amplify_run.ts";
import { runDefinitions, runSettings } from "../engine/run/settings/run.ts";
import { freshSetting, outSetting, startDefinitions } from "../engine/run/settings/start.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const plan = defineCommand({
  name: "plan",
  summary: "Plans a run of amplify in shards: work does each on a GPU of its own, merge finishes.",
  settings: {
    ...runDefinitions,
    start: {
      ...startDefinitions,
      out: outSetting("run folder", "runs/ and a name from model and seed"),
      fresh: freshSetting,
      shards: shardsSetting,
    },
  },
  async run({ start, json, quiet, config: _, ...given }) {
    const settings = await runSettings(given);
    const out = start.out ?? runFolderPath("amplify", settings);
    const display = new ProgressDisplay(quiet);
    const { shards, items, sha256 } = await planRun(settings, {
      ...start,
      out,
      progress: display.report,
      notice: display.notice,
    });
    display.finish();
    const [last, most] = [shards - 1, Math.ceil(items.length / shards)];
    print(`planned        ${items.length} items in ${shards} shards of at most ${most}`);
    print(`each of them   deno task work --run ${out} --shard ${shards === 1 ? "0" : `0 … ${last}`}`);
    print(`then           deno task merge --run ${out}`);
    if (json) printJson({ run: out, shards, items: items.length, sha256 });
  },
});

if (import.meta.main) await runCommand(plan);
