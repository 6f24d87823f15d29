/**
 * How the reference model reads a component mask. Component order of a layer: H query heads, K key heads, K value
 * heads, F neurons. Legend: T tokens, W values of a position, L layers.
 */

import type { ModelConfig } from "../model/architecture.ts";

/** [L][components of a layer] */
export type ReferenceMask = readonly ArrayLike<number>[];

/** One layer's mask, by kind of component. */
export interface LayerMask {
  readonly queries: Float64Array;
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly neurons: Float64Array;
}

/** Number of components of each layer: H + 2K + F. */
export function componentsOf(config: ModelConfig): number {
  return config.queryHeads + 2 * config.keyValueHeads + config.mlpWidth;
}

/** Splits one layer's mask [components] by kind. */
export function splitMask(config: ModelConfig, mask: ArrayLike<number>): LayerMask {
  if (mask.length !== componentsOf(config)) {
    throw new Error(`A layer's mask has ${mask.length} components; the model has ${componentsOf(config)}.`);
  }
  const all = Float64Array.from(mask);
  const keys = config.queryHeads;
  const values = keys + config.keyValueHeads;
  const neurons = values + config.keyValueHeads;
  return {
    queries: all.subarray(0, keys),
    keys: all.subarray(keys, values),
    values: all.subarray(values, neurons),
    neurons: all.subarray(neurons),
  };
}

/** A copy of x [T,W] whose row `position`, at start … end of the flat array, is replaced by change(row). */
export function atPosition(
  x: Float64Array,
  position: number,
  tokens: number,
  change: (row: Float64Array, start: number, end: number) => Float64Array,
): Float64Array {
  const width = x.length / tokens;
  const [start, end] = [position * width, (position + 1) * width];
  const changed = x.slice();
  changed.set(change(x.subarray(start, end), start, end), start);
  return changed;
}
