/** The beginning that many prompts share, such as few-shot examples, with its keys and values. Method section 6.3. */
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "./model.ts";
import { fillPrefixCache, layOutPrefixes, type PrefixCache } from "./prefix_cache.ts";

/**
 * Keys and values of `ids`, computed when first asked for and copied into every prefix cache that is laid out over them.
 * They are those of the weights at that moment: dispose of the head before weights change, and make another.
 */
export class SharedPrefix implements Disposable {
  private cache: PrefixCache | undefined;

  constructor(private readonly model: Model, readonly ids: readonly number[]) {}

  /** Per layer [rows, 2, K·C]; row p holds position p. */
  get layers(): readonly Tensor[] {
    this.cache ??= fillPrefixCache(this.model, layOutPrefixes([this.ids]), 0);
    return this.cache.layers;
  }

  [Symbol.dispose]() {
    this.cache?.[Symbol.dispose]();
    this.cache = undefined;
  }
}
