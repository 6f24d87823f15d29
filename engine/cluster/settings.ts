/** Settings of runs in shards. */
import { setting } from "../run/settings/setting.ts";
import { integer, text, UnfitValue, type ValueType } from "../run/settings/value_types.ts";
import type { ShardChoice } from "./work.ts";

/** More shards than any queue takes at once are a slip. */
const mostShards = 100_000;

/** How many parts a run is dealt into. */
export const shardsSetting = setting({
  name: "shards",
  type: integer(1, mostShards),
  default: 1,
  help: "how many shards the run is dealt into",
  example: "8",
});

/** The run folder that was planned. */
export const plannedRunSetting = setting({
  name: "run",
  type: text("DIR"),
  otherwise: "must be given",
  help: "run folder that plan made",
  example: "runs/planned",
});

const isShard = `a shard's number from 0, or the number and how many there are, like 3/8`;

/** A shard's number, or number/shards. */
const shardType: ValueType<ShardChoice> = {
  placeholder: "I[/N]",
  many: false,
  jsonSchema: () => ({ anyOf: [{ type: "integer", minimum: 0 }, { type: "string" }] }),
  read(raw) {
    const [, shard, of] = /^(\d{1,6})(?:\/(\d{1,6}))?$/.exec(String(raw)) ?? [];
    if (shard === undefined || (of !== undefined && Number(shard) >= Number(of))) {
      throw new UnfitValue(raw, `is not ${isShard}`);
    }
    return { shard: Number(shard), ...(of !== undefined && { of: Number(of) }) };
  },
};

/** Which shard to work on. */
export const shardSetting = setting({
  name: "shard",
  type: shardType,
  otherwise: "SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX",
  help: "which shard to work on, from 0",
  example: "3/8",
});

/** Environment variables in which schedulers say which of an array's jobs this is. */
export const indexVariables = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] as const;
