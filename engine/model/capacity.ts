/**
 * How much one pass and one cache hold: what a binding has room for, and the share of memory that caches may take.
 * Legend: D hidden, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { mebibytes } from "../gpu/sizes.ts";
import type { ModelConfig } from "./architecture.ts";

/** What of a model decides how much fits. */
export interface CapacityOf {
  readonly gpu: Gpu;
  readonly config: ModelConfig;
  /** Most bytes of keys and values, over all layers, that a stage holds at once. */
  readonly cacheBytes: number;
}

/** Bytes of one position's keys and values in one layer's cache [rows, 2, K, C]. */
export function rowBytes({ keyValueHeads, headWidth }: ModelConfig): number {
  return 8 * keyValueHeads * headWidth;
}

/** Bytes that caches may take unless told otherwise: a quarter of the weights, at least 2 GiB. */
export function defaultCacheBytes(weightBytes: number): number {
  return Math.max(2 ** 31, Math.floor(weightBytes / 4));
}

/** Rows of each layer's cache: within the caches' share of memory and one binding. */
export function cacheRows({ gpu, config, cacheBytes }: CapacityOf): number {
  return Math.floor(Math.min(cacheBytes / config.layers, gpu.splitBytes) / rowBytes(config));
}

/** Rows of logits [rows, V] that one buffer holds. */
export function logitRows({ gpu, config }: CapacityOf): number {
  return Math.max(1, Math.floor(gpu.splitBytes / (4 * config.vocabSize)));
}

/** Tokens of one pass without a loss: at most 1,024, and no activation above one binding. In 64s where they fit. */
export function passTokens({ gpu, config }: CapacityOf): number {
  const { hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F } = config;
  const most = Math.min(1024, Math.floor(gpu.splitBytes / (4 * Math.max(D, 2 * F, (H + 2 * K) * C))));
  return most < 64 ? Math.max(1, most) : most - most % 64;
}

/**
 * Tokens of the longest sequence whose keys and values in a layer fit one buffer, beside the row for padding. Attention walks a
 * sequence in one loop, and software Vulkan ends loops after 65,535 turns.
 */
export function longestContext(gpu: Gpu, config: ModelConfig): number {
  return Math.min(bufferContext(gpu, config), gpu.isSoftware ? 65535 : Infinity);
}

const bufferContext = (gpu: Gpu, config: ModelConfig) => Math.floor(gpu.bindingBytes / rowBytes(config)) - 1;

/**
 * The context to load a model with: `wanted`, or the model's own limit up to 8,192 and up to what fits.
 * Throws InputError when the keys and values of `wanted` tokens exceed one buffer, saying what would fit, and when rotary
 * positions of the kind the model has would be others for so long a sequence.
 */
export function fittingContext(gpu: Gpu, config: ModelConfig, wanted: number | undefined): number {
  const most = longestContext(gpu, config);
  if (most < 1 || (wanted ?? 0) > most) {
    const tokens = wanted ?? 1;
    const cause = tokens > bufferContext(gpu, config)
      ? `needs ${mebibytes((tokens + 1) * rowBytes(config))} of keys and values a layer in one buffer, and ` +
        `${gpu.adapterName} allows ${mebibytes(gpu.bindingBytes)}`
      : `is more than ${gpu.adapterName} can attend to in one loop`;
    const remedy = most < 1 ? "use another adapter" : `shorten it to ${most} or use another adapter`;
    throw new InputError(`A context of ${tokens} tokens ${cause}; ${remedy}.`);
  }
  const turning = Math.min(
    config.rope.longestSequence ?? Infinity,
    config.slidingRope.longestSequence ?? Infinity,
  );
  if ((wanted ?? 0) > turning) {
    throw new InputError(
      `A context of ${wanted} tokens exceeds the ${turning} beyond which the model's rotary positions, dynamic or ` +
        `longrope, change with every sequence's length, which is not computed; shorten it to ${turning}.`,
    );
  }
  return wanted ?? Math.min(config.maxPositions, 8192, most, turning);
}
