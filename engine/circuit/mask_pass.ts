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
import { layOutPrefixes } from "../model/prefix_cache.ts";
import { cacheRows } from "../model/capacity.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { lastTokens, type PairTensors, recordPairPass } from "../model/training_pass.ts";
import { ExamplePrefixes } from "./example_prefixes.ts";
import { checkPairs, type TokenPair } from "./localization.ts";

/** Records and loads batches of one-token mask passes over a fixed set of examples. */
export class OneTokenMaskPass implements Disposable {
  /** [L · P] */
  readonly mask: Tensor;
  readonly gradient: Tensor;
  /** Keys and values of everything before the last tokens. */
  readonly prefixes: ExamplePrefixes;
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
    sharedPrefix?: SharedPrefix,
  ) {
    checkPairs(model, examples);
    const { gpu } = model;
    using attempt = gpu.attempt();
    this.prefixes = new ExamplePrefixes(model, examples.map(beforeLast), batchSize, sharedPrefix);
    this.batch = TokenBatch.empty(gpu, batchSize, batchSize, this.prefixes.table);
    this.pairsPerToken = crossPairs ? batchSize : 1;
    this.pairs = {
      ids: gpu.tensor([batchSize, 2 * this.pairsPerToken], "pair ids"),
      weights: gpu.tensor([batchSize, this.pairsPerToken], "pair weights"),
    };
    const size = model.config.layers * model.componentsPerLayer;
    this.mask = gpu.tensor([size], "component mask", { part: "mask" });
    this.gradient = gpu.tensor([size], "component mask gradient", { part: "mask" });
    attempt.succeeded();
  }

  /** Records forward and backward; returns results [B, J, 2] of (weighted loss, difference). */
  record(plan: Plan): Tensor {
    return recordPairPass(plan, this.model, {
      batch: this.batch,
      caches: this.prefixes.layers,
      pairs: this.pairs,
      objective: "logit-difference",
      sinks: { mask: { values: this.mask, gradient: this.gradient } },
      keepFrom: 0,
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

  /**
   * The contents of `inputs` for the batch of examples with these indices; short batches are padded with weight 0.
   * Unless `prefixes.keepsAll`, the batch must run before the next one is encoded.
   */
  encode(indices: readonly number[]): readonly (Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>)[] {
    const J = this.pairsPerToken;
    const padded = Array.from({ length: this.batchSize }, (_, b) => indices[b] ?? indices[0]!);
    const offsets = this.prefixes.prepare(padded);
    const { tokens, entries } = encodeSequences(padded.map((e, b) => {
      const ids = this.examples[e]!.prefix_ids;
      const firstPosition = ids.length - 1;
      return {
        ids: ids.slice(-1),
        firstPosition,
        table: offsets[b]!,
        base: this.prefixes.ownRow + b,
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
    this.prefixes[Symbol.dispose]();
    this.batch[Symbol.dispose]();
    [this.mask, this.gradient, this.pairs.ids, this.pairs.weights].forEach((tensor) => gpu.free(tensor));
  }
}

/** Loss (mean, without L1), logit differences [E] and mask gradient [L · P] over all examples at once. */
export interface MaskEvaluation {
  /** Mean over the examples. */
  readonly loss: number;
  /** Of each example: logit of the desired token minus that of the undesired one, f32 [examples]. */
  readonly differences: Float32Array;
  /** d loss / d mask, f32 [components]. */
  readonly gradient: Float32Array;
}

/**
 * Evaluates a mask [L · P] on all examples, in as few batches as the cache takes. `fullPrefix` recomputes every position of every prefix, as the
 * reference does: the slow path that the one-token path is tested and measured against.
 *
 * @example What the model says with half of every component
 * ```ts
 * import { evaluateMask, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?\nA: 3 + 4 =");
 * const [seven, eight] = ["7", "8"].map((digit) => model.tokenizer.encode(` ${digit}`).at(-1)!);
 * const examples = [{ prefix_ids: ids, desired_token: seven!, undesired_token: eight! }];
 * const { loss } = await evaluateMask(model, examples, new Float32Array(1568).fill(0.5));
 * console.log(loss);
 * ```
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
  checkPairs(model, examples);
  if (options.fullPrefix) {
    using plan = new Plan(model.gpu, "evaluate mask over whole prefixes");
    return await evaluateFullPrefix(plan, model, examples, mask);
  }
  let loss = 0;
  const differences: number[] = [];
  const gradient = new Float32Array(mask.length);
  for (const group of groupsThatFit(model, examples)) {
    const share = group.length / examples.length;
    const own = await evaluateGroup(model, group, mask);
    loss += own.loss * share;
    differences.push(...own.differences);
    own.gradient.forEach((value, i) => gradient[i]! += value * share);
    await model.gpu.fence(); // what the group held is free for the next
  }
  return { loss, differences: Float32Array.from(differences), gradient };
}

async function evaluateGroup(model: Model, examples: readonly TokenPair[], mask: Float32Array) {
  using plan = new Plan(model.gpu, "evaluate mask");
  using pass = new OneTokenMaskPass(model, examples, examples.length);
  model.gpu.write(pass.mask, mask);
  const results = pass.record(plan);
  pass.load(examples.map((_, e) => e));
  plan.run();
  return await collect(model, results, pass.gradient);
}

/** Runs of examples whose prefixes, and a row each besides, fit the cache; one at least. */
function groupsThatFit(model: Model, examples: readonly TokenPair[]): TokenPair[][] {
  const fits = (group: readonly TokenPair[]) =>
    layOutPrefixes(group.map(beforeLast)).rows + group.length < cacheRows(model);
  if (fits(examples)) return [[...examples]];
  const groups: TokenPair[][] = [];
  for (const example of examples) {
    const group = groups.at(-1);
    if (group && fits([...group, example])) group.push(example);
    else groups.push([example]);
  }
  return groups;
}

/** The prefix without its last token: what the cache holds. */
const beforeLast = ({ prefix_ids }: TokenPair) => prefix_ids.slice(0, -1);

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
    gpu.upload(values, [values.length], "component mask", { part: "mask" }),
    gpu.tensor([values.length], "component mask gradient", { part: "mask" }),
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
