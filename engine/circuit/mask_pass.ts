/**
 * Forward and backward of component masks at the cost of one token: interventions and loss live at the last prefix token
 * and attention is causal, so the keys and values of all earlier positions are computed once (method section 6.1).
 * Legend: E examples, B batch, J pairs a position, L layers, P components a layer.
 */
import { InputError } from "../errors.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { encodeSequences, TokenBatch } from "../model/batch.ts";
import type { Model } from "../model/model.ts";
import { fillPrefixCache, layOutPrefixes, type PrefixCache } from "../model/prefix_cache.ts";
import type { SharedHead } from "../model/shared_head.ts";
import { lastTokens, type PairTensors, recordPairPass } from "../model/training_pass.ts";
import type { TokenPair } from "./localization.ts";

/** Records and loads batches of one-token mask passes over a fixed set of examples. */
export class OneTokenMaskPass implements Disposable {
  /** [L · P] */
  readonly mask: Tensor;
  readonly gradient: Tensor;
  private readonly cache: PrefixCache;
  private readonly batch: TokenBatch;
  private readonly pairs: PairTensors;
  private readonly pairsPerToken: number;

  /**
   * With `crossPairs` each position is scored on the pairs of the whole batch (the reference's quirk 1). `head` holds what
   * the prefixes begin with, computed already.
   */
  constructor(
    private readonly model: Model,
    private readonly examples: readonly TokenPair[],
    readonly batchSize: number,
    private readonly crossPairs = false,
    head?: SharedHead,
  ) {
    examples.forEach(({ prefix_ids, desired_token, undesired_token }) => {
      model.checkSequence(prefix_ids);
      model.checkSequence([desired_token, undesired_token]);
    });
    const { gpu } = model;
    this.cache = fillPrefixCache(
      model,
      layOutPrefixes(examples.map(({ prefix_ids }) => prefix_ids.slice(0, -1)), head),
      batchSize,
    );
    this.batch = TokenBatch.empty(gpu, batchSize, batchSize, this.cache.table);
    this.pairsPerToken = crossPairs ? batchSize : 1;
    this.pairs = {
      ids: gpu.tensor([batchSize, 2 * this.pairsPerToken], "pair ids"),
      weights: gpu.tensor([batchSize, this.pairsPerToken], "pair weights"),
    };
    const size = model.config.layers * model.componentsPerLayer;
    this.mask = gpu.tensor([size], "component mask");
    this.gradient = gpu.tensor([size], "component mask gradient");
  }

  /** Records forward and backward; returns results [B, J, 2] of (weighted loss, difference). */
  record(plan: Plan): Tensor {
    return recordPairPass(plan, this.model, {
      batch: this.batch,
      caches: this.cache.layers,
      pairs: this.pairs,
      objective: "logit-difference",
      sinks: { mask: { values: this.mask, gradient: this.gradient } },
      keepActivations: true,
    });
  }

  /** The tensors that differ between batches; `encode` yields their contents in this order. */
  get inputs(): readonly Tensor[] {
    return [this.batch.tokens, this.batch.sequences, this.pairs.ids, this.pairs.weights];
  }

  /** Writes the batch of examples with these indices. */
  load(indices: readonly number[]) {
    this.encode(indices).forEach((data, i) => this.model.gpu.write(this.inputs[i]!, data));
  }

  /** The contents of `inputs` for the batch of examples with these indices; short batches are padded with weight 0. */
  encode(indices: readonly number[]): readonly (Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>)[] {
    const J = this.pairsPerToken;
    const padded = Array.from({ length: this.batchSize }, (_, b) => indices[b] ?? indices[0]!);
    const { tokens, entries } = encodeSequences(padded.map((e, b) => {
      const ids = this.examples[e]!.prefix_ids;
      const firstPosition = ids.length - 1;
      return {
        ids: ids.slice(-1),
        firstPosition,
        table: this.cache.layout.offsets[e]!,
        base: this.cache.layout.rows + b,
      };
    }));
    const ids = new Uint32Array(this.batchSize * 2 * J);
    const weights = new Float32Array(this.batchSize * J);
    padded.forEach((e, b) => {
      for (let j = 0; j < J; j++) {
        const { desired_token, undesired_token } = this.examples[this.crossPairs ? padded[j]! : e]!;
        ids.set([desired_token, undesired_token], (b * J + j) * 2);
        const counts = b < indices.length && (!this.crossPairs || j < indices.length);
        weights[b * J + j] = counts ? 1 / (indices.length * (this.crossPairs ? indices.length : 1)) : 0;
      }
    });
    return [tokens, entries, ids, weights];
  }

  [Symbol.dispose]() {
    const { gpu } = this.model;
    this.cache[Symbol.dispose]();
    this.batch[Symbol.dispose]();
    [this.mask, this.gradient, this.pairs.ids, this.pairs.weights].forEach((tensor) => gpu.free(tensor));
  }
}

/** Loss (mean, without L1), logit differences [E] and mask gradient [L · P] over all examples at once. */
export interface MaskEvaluation {
  readonly loss: number;
  readonly differences: Float32Array;
  readonly gradient: Float32Array;
}

/**
 * Evaluates a mask [L · P] on all examples in one batch. `fullPrefix` recomputes every position of every prefix, as the
 * reference does: the slow path that the one-token path is tested and measured against.
 */
export async function evaluateMask(
  model: Model,
  examples: readonly TokenPair[],
  mask: Float32Array,
  options: { fullPrefix?: boolean } = {},
): Promise<MaskEvaluation> {
  if (mask.length !== model.config.layers * model.componentsPerLayer) {
    throw new InputError(
      `The mask has ${mask.length} values but the model has ${model.config.layers} × ${model.componentsPerLayer} components.`,
    );
  }
  using plan = new Plan(model.gpu, "evaluate mask");
  if (options.fullPrefix) return await evaluateFullPrefix(plan, model, examples, mask);
  using pass = new OneTokenMaskPass(model, examples, examples.length);
  model.gpu.write(pass.mask, mask);
  const results = pass.record(plan);
  pass.load(examples.map((_, e) => e));
  plan.run();
  return await collect(model, results, pass.gradient);
}

async function evaluateFullPrefix(
  plan: Plan,
  model: Model,
  examples: readonly TokenPair[],
  values: Float32Array,
) {
  const { gpu, config } = model;
  const prefixes = examples.map(({ prefix_ids }) => prefix_ids);
  using batch = TokenBatch.wholeSequences(gpu, prefixes);
  using chosen = lastTokens(model, prefixes.map(({ length }) => length));
  const own = [
    gpu.upload(values, [values.length], "component mask"),
    gpu.tensor([values.length], "component mask gradient"),
    model.cache(batch.count, "cache"),
    gpu.upload(pairIds(examples), [examples.length, 2], "pair ids"),
    gpu.upload(
      new Float32Array(examples.length).fill(1 / examples.length),
      [examples.length, 1],
      "pair weights",
    ),
  ] as const;
  const [mask, gradient, cache, ids, weights] = own;
  try {
    const results = recordPairPass(plan, model, {
      batch,
      caches: Array(config.layers).fill(cache),
      chosen,
      pairs: { ids, weights },
      objective: "logit-difference",
      sinks: { mask: { values: mask, gradient } },
    });
    plan.run();
    return await collect(model, results, gradient);
  } finally {
    own.forEach((tensor) => gpu.free(tensor));
  }
}

/** (desired, undesired) of each example, u32 [E, 2]. */
export function pairIds(examples: readonly TokenPair[]): Uint32Array {
  return Uint32Array.from(
    examples.flatMap(({ desired_token, undesired_token }) => [desired_token, undesired_token]),
  );
}

async function collect({ gpu }: Model, results: Tensor, gradient: Tensor): Promise<MaskEvaluation> {
  const values = await gpu.read(results);
  const loss = values.filter((_, i) => i % 2 === 0).reduce((sum, value) => sum + value, 0);
  return { loss, differences: values.filter((_, i) => i % 2 === 1), gradient: await gpu.read(gradient) };
}
