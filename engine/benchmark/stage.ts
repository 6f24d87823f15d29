/** What stage benchmarks share: the embedded model, and how a step's times become a result. */
import type { Gpu } from "../gpu/gpu.ts";
import type { TokenPair } from "../circuit/localization.ts";
import type { ModelConfig } from "../model/architecture.ts";
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

/** Random sequences of these lengths, without the model's special ids; the first `shared` tokens are the same in all. */
export function idsOf({ vocabSize }: ModelConfig, lengths: readonly number[], shared = 0): number[][] {
  const random = seededRandom("benchmark ids");
  const first = 3;
  const draw = (length: number) =>
    Array.from({ length }, () => first + Math.floor(random() * (vocabSize - first)));
  const beginning = draw(shared);
  return lengths.map((length) => [...beginning, ...draw(length - shared)]);
}

/** Examples with random prefixes of these lengths and random tokens to prefer and to avoid. */
export function examplesOf(config: ModelConfig, lengths: readonly number[], shared = 0): TokenPair[] {
  return idsOf(config, lengths.map((length) => length + 2), shared).map((ids) => ({
    prefix_ids: ids.slice(0, -2),
    desired_token: ids.at(-2)!,
    undesired_token: ids.at(-1)!,
  }));
}

/** idsOf the stage's model. */
export const randomIds = ({ model }: StageContext, lengths: readonly number[]): number[][] =>
  idsOf(model.config, lengths);

/** examplesOf the stage's model. */
export const randomExamples = ({ model }: StageContext, lengths: readonly number[]): TokenPair[] =>
  examplesOf(model.config, lengths);
