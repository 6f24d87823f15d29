/** What shards came to, put together: from there on it is a run like any other. */
import type { Gpu } from "../gpu/gpu.ts";
import { runShared } from "../run/amplify_run.ts";
import type { Summary } from "../run/records.ts";
import type { StartOptions } from "../run/start_options.ts";
import { plannedSettings, readPlan } from "./run_plan.ts";
import { readParts } from "./shard_files.ts";
import { plannedKernels } from "./work.ts";

/**
 * Reads what shards came to without using it: whether a merge can begin needs no GPU.
 * @throws {InputError} naming missing shards, or where parts are not the plan's.
 */
export async function requireShards(run: string): Promise<void> {
  const { sha256, shards } = await readPlan(run);
  await readParts(run, sha256, shards);
}

/**
 * Runs what is left of the run planned in `run`: everything, with the completions of all shards known. The folder then holds
 * what `runAmplify` leaves, the same bytes for any number of shards. Killed, it goes on when it is started again.
 * @throws {InputError} naming missing shards, or where parts, data or model are not the plan's.
 */
export async function mergeRun(
  gpu: Gpu,
  run: string,
  options: Pick<StartOptions, "offline" | "progress" | "expect" | "notice"> = {},
): Promise<Summary> {
  const plan = await readPlan(run);
  const parts = await readParts(run, plan.sha256, plan.shards);
  const settings = await plannedSettings(run, plan);
  const adapters = new Set(parts.map(({ header }) => header.adapter));
  if (adapters.size > 1) {
    options.notice?.(
      `Shards ran on several adapters (${
        [...adapters].sort().join("; ")
      }); on one kind last digits might be others.`,
    );
  }
  const completions = new Map(parts.flatMap(({ completions }) => [...completions]));
  return await runShared(gpu, settings, {
    ...options,
    out: run,
    settled: {
      inputs: plan.inputs,
      kernels: await plannedKernels(run) ?? {},
      modelCommit: plan.model_commit,
      completions,
    },
  });
}
