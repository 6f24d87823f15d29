/** work: one shard of a planned run. */
import { indexVariables, plannedRunSetting, shardSetting } from "../engine/cluster/settings.ts";
import { type ShardChoice, workShard } from "../engine/cluster/work.ts";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { offlineSetting } from "../engine/run/settings/model.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const work = defineCommand({
  name: "work",
  summary: "Works on one shard of a planned run, from its last completion on.",
  settings: { start: { run: plannedRunSetting, shard: shardSetting, offline: offlineSetting } },
  resumes: true,
  retries: true,
  async run({ start: { run, shard = shardOfEnvironment(), ...start }, json, quiet }) {
    if (run === undefined) throw new InputError("No planned run is named; name its folder.", "run");
    if (shard === undefined) {
      throw new InputError(
        `No shard is chosen; say which, or run it in an array whose scheduler sets ${
          indexVariables.join(" or ")
        }.`,
        "shard",
      );
    }
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const outcome = await workShard(gpu, run, shard, {
      ...start,
      progress: display.report,
      notice: display.notice,
    });
    display.finish();
    const { already, shards, items, completions } = outcome;
    print(
      `shard ${outcome.shard} of 0-${shards - 1}: ${items} items, ${completions} completions${
        already ? ", published before" : ""
      }`,
    );
    if (json) printJson(outcome);
  },
});

/** The shard that a scheduler says this job is. */
function shardOfEnvironment(): ShardChoice | undefined {
  for (const name of indexVariables) {
    const value = Deno.env.get(name);
    if (value === undefined || value === "") continue;
    if (/^\d+$/.test(value)) return { shard: Number(value) };
    throw new InputError(`${name} is "${value}", which is no shard's number; say which shard.`, "shard");
  }
}

if (import.meta.main) await runCommand(work);
