/** What stage benchmarks share: the embedded model, and how a step's times become a result. */
import type { Gpu } from "../gpu/gpu.ts";
import type { TokenPair } from "../circuit/localization.ts";
import type { Model } from "../model/model.ts";
import type { Weight } from "../ops/weight.ts";
import { variantFor } from "../ops/variants.ts";
import { seededRandom } from "../random.ts";
import type { BenchResult } from "./result.ts";
import type { Effort, Timing } from "./timing.ts";

/** See file comment. */
export interface StageContext {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly effort: Effort;
  /** Gradients that slower paths leave for the faster ones to be checked against, by name. */
  readonly gradients: Map<string, ReadonlyMap<Weight | "mask", Float32Array>>;
}

/** One measurement of a stage. */
export interface Stage {
  readonly name: string;
  readonly shape: string;
  /** Part of a quick run. */
  readonly quick: boolean;
  /** The slower path that gives the same numbers, measured before this one. */
  readonly slower?: string;
  readonly run: (context: StageContext) => Promise<BenchResult>;
}

/** A result from a timing and what else is known of a step. */
export function stepResult(
  { gpu }: StageContext,
  { name, shape }: Stage,
  timing: Timing,
  known: { gpuMs?: number | undefined; hostMs?: number; tokens?: number } & Partial<BenchResult>,
): BenchResult {
  const { gpuMs, hostMs, tokens, ...rest } = known;
  return {
    name,
    shape,
    variant: variantFor(gpu),
    ...timing,
    ...(hostMs !== undefined && { host_ms: hostMs }),
    ...(gpuMs !== undefined && { gpu_ms: gpuMs, gpu_share: gpuMs / timing.ms }),
    ...(tokens !== undefined && { tokens_per_second: 1000 * tokens / timing.ms }),
    ...rest,
    adapter: gpu.adapterName,
  };
}

/** Random sequences of these lengths, without the model's special ids. */
export function randomIds({ model }: StageContext, lengths: readonly number[]): number[][] {
  const random = seededRandom("benchmark ids");
  const first = 3;
  return lengths.map((length) =>
    Array.from({ length }, () => first + Math.floor(random() * (model.config.vocabSize - first)))
  );
}

/** Examples with random prefixes of these lengths and random tokens to prefer and to avoid. */
export function randomExamples(context: StageContext, lengths: readonly number[]): TokenPair[] {
  return randomIds(context, lengths.map((length) => length + 2)).map((ids) => ({
    prefix_ids: ids.slice(2),
    desired_token: ids[0]!,
    undesired_token: ids[1]!,
  }));
}
