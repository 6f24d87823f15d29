/** Settings of runs in shards. */
import { setting } from "../run/settings/setting.ts";
import { integer, text, UnfitValue, type ValueType } from "../run/settings/value_types.ts";
import { timeForm } from "./job_files.ts";
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

/** Of job files. */
export const jobSettings = {
  parallel: setting({
    name: "parallel",
    type: integer(1, mostShards),
    otherwise: "all",
    help: "most shards at once",
    example: "16",
  }),
  time: setting({
    name: "time",
    type: {
      ...text("TIME"),
      read(raw) {
        if (!timeForm.test(String(raw))) throw new UnfitValue(raw, "is not HH:MM:SS or D-HH:MM:SS");
        return String(raw);
      },
    },
    default: "04:00:00",
    help: "longest time of a job, as HH:MM:SS or D-HH:MM:SS",
    example: "1-00:00:00",
  }),
  partition: setting({
    name: "partition",
    type: text("NAME"),
    otherwise: "the cluster's own",
    help: "partition, for slurm",
    example: "gpu",
  }),
  image: setting({
    name: "image",
    type: text("IMAGE"),
    default: "circuit-amp:latest",
    help: "image made from the Containerfile, for kubernetes",
    example: "registry.example/circuit-amp:1",
  }),
  claim: setting({
    name: "claim",
    type: text("NAME"),
    default: "runs",
    help: "claim of the volume that holds the run folder, for kubernetes",
    example: "shared-runs",
  }),
  mount: setting({
    name: "mount",
    type: text("PATH"),
    default: "/runs",
    help: "where that volume is mounted; the run folder is right below",
    example: "/data",
  }),
};
