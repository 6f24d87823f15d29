/**
 * Gradients over a whole set of examples: whole prefixes, in packed passes of equal size so that one recorded plan serves
 * them all. What all prefixes begin with runs forward and backward once a step, the passes hold only what follows it.
 * Legend: E examples, N tokens a pass, B examples a pass, S shared tokens, D hidden.
 */
import { Plan, runTogether } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { GradientSinks } from "../model/backward.ts";
import { encodeSequences, sequenceWords, TokenBatch, tokenWords } from "../model/batch.ts";
import type { ModelConfig } from "../model/architecture.ts";
import type { LayersPass, Lowest } from "../model/layers.ts";
import type { Model } from "../model/model.ts";
import { rowBytes } from "../model/capacity.ts";
import { commonLength } from "../model/prefix_cache.ts";
import { recordPrefix, recordPrefixBackward } from "../model/prefix_pass.ts";
import { recordPairPass } from "../model/training_pass.ts";
import { fill } from "../ops/elementwise.ts";
import type { Objective } from "../ops/loss.ts";
import type { TokenPair } from "./localization.ts";

/** What one pass over the examples computes besides gradients. */
export interface PairResults {
  /** Mean loss. */
  readonly loss: number;
  /** logit[desired] - logit[undesired] per example. */
  readonly differences: Float32Array;
  /** Square of the norm of the gradient, where the passes were given a plan that computes it; else 0. */
  readonly squaredGradient: number;
}

/** How the work is laid out; for tests and measurement beside `lowest`. */
export interface PairPassOptions {
  /** Tokens per forward and backward pass, default 1,024 or as many as the longest example takes. */
  readonly tokensPerPass?: number;
  /** Where the backward pass ends, default at the embedding. */
  readonly lowest?: Lowest;
  /** Whether what all examples begin with is computed once for all; default: where that saves a quarter of the tokens. */
  readonly sharePrefix?: boolean;
  /** Most bytes of activations kept for the backward pass, in the upper layers; lower ones' are recomputed. */
  readonly keptBytes?: number;
}

/** What differs between the passes, as the GPU reads it. */
interface PassImage {
  readonly examples: readonly number[];
  readonly tokens: Uint32Array;
  readonly sequences: Uint32Array;
  /** The last tokens' entries again. */
  readonly last: Uint32Array;
  readonly gather: Uint32Array;
  readonly scatter: Uint32Array;
  readonly ids: Uint32Array;
  readonly weights: Float32Array;
}

/** Forward and backward of the mean pair loss over all examples into fixed gradient sinks. */
export class PairPasses implements Disposable {
  private readonly plan: Plan;
  private readonly prefix: SharedBeginning | undefined;
  private readonly results: Tensor;
  private readonly batch: TokenBatch;
  private readonly table: Tensor;
  private readonly tensors: Record<"last" | "gather" | "scatter" | "ids" | "weights" | "collected", Tensor>;
  private readonly caches: readonly Tensor[];
  private readonly images: readonly PassImage[];
  private readonly inputs: StepInputs;
  private readonly copyInputs: (encoder: GPUCommandEncoder, pass: number) => void;
  private readonly perPass: number;
  /** Tokens that all examples begin with and that run once. */
  private readonly shared: number;

  constructor(
    private readonly model: Model,
    private readonly examples: readonly TokenPair[],
    objective: Objective,
    sinks: GradientSinks,
    options: PairPassOptions = {},
  ) {
    const { gpu, config } = model;
    examples.forEach(({ prefix_ids }) => model.checkSequence(prefix_ids));
    using attempt = gpu.attempt();
    const shared = this.shared = sharedTokens(examples, options.sharePrefix);
    const lengths = examples.map(({ prefix_ids }) => prefix_ids.length - shared);
    const groups = packExamples(lengths, options.tokensPerPass ?? 1024);
    this.perPass = Math.max(...groups.map(({ length }) => length));
    const sum = (group: readonly number[]) => group.reduce((sum, e) => sum + lengths[e]!, 0);
    const tokens = Math.max(...groups.map(sum)) + 1; // at least one padding token, where padded rows of the loss point
    this.images = groups.map((group) => this.encode(group, tokens));
    this.table = gpu.upload(
      Uint32Array.from({ length: Math.max(1, shared) }, (_, position) => position),
      [Math.max(1, shared)],
      "cache table",
    );
    this.batch = TokenBatch.empty(gpu, tokens, this.perPass + 1, this.table);
    this.tensors = {
      last: gpu.tensor([this.perPass, tokenWords], "last tokens"),
      gather: gpu.tensor([this.perPass, 2], "gather last tokens"),
      scatter: gpu.tensor([this.perPass, 2], "scatter last tokens"),
      ids: gpu.tensor([this.perPass, 2], "pair ids"),
      weights: gpu.tensor([this.perPass, 1], "pair weights"),
      // Per pass (loss, difference) of each example, and behind them the squared norm of the gradient.
      collected: gpu.tensor([groups.length * this.perPass * 2 + 1], "pair results"),
    };
    const { last, gather, scatter, ids, weights } = this.tensors;
    const inputs = [this.batch.tokens, this.batch.sequences, last, gather, scatter, ids, weights];
    this.inputs = new StepInputs(gpu, inputs, this.images.length);
    for (const image of this.images) {
      this.inputs.add([
        image.tokens,
        image.sequences,
        image.last,
        image.gather,
        image.scatter,
        image.ids,
        image.weights,
      ]);
    }
    this.copyInputs = this.inputs.upload(); // the same in every run
    const lowest = options.lowest ?? { layer: 0, depth: "input" };
    // What the update holds besides rows of weights stays within half of what caches may take, if it can.
    const cacheBytes = shared > 0 ? config.layers * (2 * shared + tokens) * rowBytes(config) : 0;
    const keptBytes = options.keptBytes ?? Math.max(0, model.cacheBytes / 2 - cacheBytes);
    const keptLayers = Math.floor(keptBytes / ((shared + tokens) * activationBytes(config)));
    const keepFrom = Math.max(lowest.layer, config.layers - keptLayers);
    // Keys and values of a layer stay where the backward pass finds them or examples share some; else one cache serves all.
    const ownCache = (l: number) => shared > 0 || l >= keepFrom;
    const caches = new Map<number, Tensor>();
    const layerCaches = Array.from({ length: config.layers }, (_, l) => {
      const key = ownCache(l) ? l : -1;
      if (!caches.has(key)) caches.set(key, model.cache(shared + tokens, "cache"));
      return caches.get(key)!;
    });
    this.caches = [...caches.values()];
    const pass = { caches: layerCaches, sinks, lowest, keepFrom };
    this.prefix = shared === 0
      ? undefined
      : new SharedBeginning(model, examples[0]!.prefix_ids.slice(0, shared), pass);
    this.plan = new Plan(gpu, "pair pass", this.prefix?.backward);
    this.results = recordPairPass(this.plan, model, {
      ...pass,
      batch: this.batch,
      chosen: { tokens: last, gather, scatter },
      pairs: { ids, weights },
      objective,
      ...(this.prefix && { dPrefix: this.prefix.gradients }),
    });
    attempt.succeeded();
  }

  /** The plans and how often `run` runs each: for measurement. */
  get recorded(): readonly { readonly plan: Plan; readonly passes: number }[] {
    const own = { plan: this.plan, passes: this.images.length };
    const { prefix } = this;
    return prefix ? [{ plan: prefix.forward, passes: 1 }, own, { plan: prefix.backward, passes: 1 }] : [own];
  }

  /** Where a plan that runs behind the passes may leave the squared norm of the gradient: an element of a tensor. */
  get squaredGradientAt(): { readonly totals: Tensor; readonly at: number } {
    const totals = this.tensors.collected;
    return { totals, at: totals.elements - 1 };
  }

  /**
   * Submits all passes, between what runs before and after them, as one command buffer; gradients are added to the sinks.
   * Awaiting the result waits for the GPU.
   */
  async run(before: readonly Plan[] = [], after: readonly Plan[] = []): Promise<PairResults> {
    const { gpu } = this.model;
    const { collected } = this.tensors;
    const bytes = this.perPass * 2 * 4;
    runTogether(gpu, "pair passes", [
      ...before.map((plan) => ({ plan })),
      ...(this.prefix ? [{ plan: this.prefix.forward }] : []),
      {
        plan: this.plan,
        times: this.images.length,
        before: this.copyInputs,
        after: (encoder, pass) =>
          encoder.copyBufferToBuffer(this.results.handle, 0, collected.handle, pass * bytes, bytes),
      },
      ...(this.prefix ? [{ plan: this.prefix.backward }] : []),
      ...after.map((plan) => ({ plan })),
    ]);
    const values = await gpu.read(collected);
    const differences = new Float32Array(this.examples.length);
    let loss = 0;
    this.images.forEach(({ examples }, i) =>
      examples.forEach((example, b) => {
        const at = (i * this.perPass + b) * 2;
        loss += values[at]!;
        differences[example] = values[at + 1]!;
      })
    );
    return { loss, differences, squaredGradient: after.length > 0 ? values.at(-1)! : 0 };
  }

  [Symbol.dispose]() {
    this.plan[Symbol.dispose]();
    this.prefix?.[Symbol.dispose]();
    this.inputs[Symbol.dispose]();
    this.batch[Symbol.dispose]();
    [this.table, ...this.caches, ...Object.values(this.tensors)].forEach((tensor) =>
      this.model.gpu.free(tensor)
    );
  }

  /** Packs what follows the shared beginning in a group's prefixes; the rest of the pass is a padding sequence that nothing reads. */
  private encode(group: readonly number[], room: number): PassImage {
    const { shared } = this;
    let base = 0;
    const { tokens: own, entries } = encodeSequences(group.map((e) => {
      const ids = this.examples[e]!.prefix_ids.slice(shared);
      base += ids.length;
      return { ids, firstPosition: shared, base: shared + base - ids.length };
    }));
    const tokens = new Uint32Array(room * tokenWords);
    tokens.set(own);
    for (let n = base; n < room; n++) tokens.set([0, 0, group.length, 0], n * tokenWords);
    const sequences = new Uint32Array((this.perPass + 1) * sequenceWords);
    sequences.set(entries);
    sequences.set([0, 0, shared + room - 1, 0], group.length * sequenceWords);
    const image = {
      last: new Uint32Array(this.perPass * tokenWords),
      gather: new Uint32Array(this.perPass * 2),
      scatter: new Uint32Array(this.perPass * 2),
      ids: new Uint32Array(this.perPass * 2),
      weights: new Float32Array(this.perPass),
    };
    let end = -1;
    for (let b = 0; b < this.perPass; b++) {
      const example = this.examples[group[b] ?? -1];
      if (example) end += example.prefix_ids.length - shared;
      const token = example ? end : room - 1;
      image.last.set(tokens.subarray(token * tokenWords, (token + 1) * tokenWords), b * tokenWords);
      image.gather.set([token, b], b * 2);
      image.scatter.set([b, token], b * 2);
      image.ids.set([example?.desired_token ?? 0, example?.undesired_token ?? 0], b * 2);
      image.weights[b] = example ? 1 / this.examples.length : 0;
    }
    return { examples: group, tokens, sequences, ...image };
  }
}

/** What all examples begin with: its forward pass, what the examples send back to it, and its backward pass. */
class SharedBeginning implements Disposable {
  readonly forward: Plan;
  readonly backward: Plan;
  /** Per layer [S, 2, K·C]. */
  readonly gradients: readonly Tensor[];
  private readonly batch: TokenBatch;

  /** `pass.caches` have the rows 0 … S - 1 for it. */
  constructor(private readonly model: Model, ids: readonly number[], pass: Omit<LayersPass, "batch">) {
    const { gpu, config } = model;
    this.batch = TokenBatch.of(gpu, [{ ids, base: 0 }]);
    this.forward = new Plan(gpu, "shared beginning, forward");
    const shape = [ids.length, 2, config.keyValueHeads * config.headWidth];
    this.gradients = Array.from(
      { length: config.layers },
      () => gpu.tensor(shape, "d kv of the shared beginning", { part: "cache" }),
    );
    this.gradients.forEach((gradient) => fill(this.forward, gradient, 0));
    const own = { ...pass, batch: this.batch };
    const recorded = recordPrefix(this.forward, model, own);
    this.backward = new Plan(gpu, "shared beginning, backward", this.forward);
    recordPrefixBackward(this.backward, model, own, recorded, this.gradients);
  }

  [Symbol.dispose]() {
    [this.backward, this.forward, this.batch].forEach((disposable) => disposable[Symbol.dispose]());
    this.gradients.forEach((tensor) => this.model.gpu.free(tensor));
  }
}

/** Bytes of one token's activations that a layer keeps for its backward pass at most (LayerActivations), as f32. */
function activationBytes({
  hiddenSize: D,
  queryHeads: H,
  keyValueHeads: K,
  headWidth: C,
  mlpWidth: F,
  architecture: { norms, queryKeyNorm },
}: ModelConfig) {
  const normed = Object.keys(norms).length * D; // inputs or outputs of the branches
  return 4 * (2 * D + 2 * H * C + 2 * H + 2 * F + normed + (queryKeyNorm === "none" ? 0 : (H + 2 * K) * C));
}

/** How many tokens at the beginning of all examples run once for all; every example keeps its last token to itself. */
function sharedTokens(examples: readonly TokenPair[], wanted: boolean | undefined): number {
  const lengths = examples.map(({ prefix_ids }) => prefix_ids.length);
  const first = examples[0]!.prefix_ids;
  const common = Math.min(
    ...lengths.map((length) => length - 1),
    ...examples.map(({ prefix_ids }) => commonLength(first, prefix_ids)),
  );
  const total = lengths.reduce((a, b) => a + b, 0);
  return wanted ?? common * (examples.length - 1) >= total / 4 ? common : 0;
}

/**
 * Packs examples of these lengths into groups of at most `room` tokens, or of the longest example's: greedily, longest first;
 * or evenly over as many groups where that makes them an eighth smaller, since all passes are as long as the longest.
 */
function packExamples(lengths: readonly number[], room: number): number[][] {
  const most = Math.max(room, ...lengths);
  const order = lengths.map((_, e) => e).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const pack = (groups: { members: number[]; tokens: number }[], choose: (length: number) => number) => {
    for (const e of order) {
      const length = lengths[e]!;
      let g = choose(length);
      if (g < 0) g = groups.push({ members: [], tokens: 0 }) - 1;
      groups[g]!.members.push(e);
      groups[g]!.tokens += length;
    }
    return groups;
  };
  const greedy: { members: number[]; tokens: number }[] = [];
  pack(greedy, (length) => greedy.findIndex(({ tokens }) => tokens + length <= most));
  const even = greedy.map(() => ({ members: [] as number[], tokens: 0 }));
  pack(even, () => {
    const fewest = Math.min(...even.map(({ tokens }) => tokens));
    return even.findIndex(({ tokens }) => tokens === fewest);
  });
  const longest = (groups: typeof even) => Math.max(...groups.map(({ tokens }) => tokens));
  const chosen = longest(even) <= longest(greedy) * 7 / 8 ? even : greedy;
  return chosen.map(({ members }) => members);
}
