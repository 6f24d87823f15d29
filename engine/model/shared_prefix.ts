/** The beginning that many prompts share, such as few-shot examples, with its keys and values: exact shortcut 3 of the method. */
import { InputError } from "../errors.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "./model.ts";
import { type ComputedPrefix, fillPrefixCache, layOutPrefixes, type PrefixCache } from "./prefix_cache.ts";

/**
 * Keys and values of `ids`, computed when first asked for and copied into every prefix cache that is laid out over them.
 * They are those of the weights at that moment: once weights change it refuses to serve, and another has to be made.
 */
export class SharedPrefix implements ComputedPrefix, Disposable {
  private cache: PrefixCache | undefined;
  private version = -1;

  /** Nothing is computed before it is needed. */
  constructor(private readonly model: Model, readonly ids: readonly number[]) {}

  /**
   * Per layer [rows, 2, K·C]; row p holds position p.
   *
   * @throws {InputError} when the model's weights have changed since they were computed.
   */
  get layers(): readonly Tensor[] {
    if (!this.cache) {
      this.cache = fillPrefixCache(this.model, layOutPrefixes([this.ids]), 0);
      this.version = this.model.weightsVersion;
    }
    if (this.version !== this.model.weightsVersion) {
      throw new InputError(
        "A shared prefix was computed with other weights than the model has now; make another.",
      );
    }
    return this.cache.layers;
  }

  /** Frees keys and values; they are computed again when asked for. */
  [Symbol.dispose]() {
    this.cache?.[Symbol.dispose]();
    this.cache = undefined;
  }
}
