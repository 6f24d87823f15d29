/**
 * Gradients over a whole set of examples: whole prefixes, in packed passes of equal size so that one recorded plan serves
 * them all. Legend: E examples, N tokens a pass, B examples a pass, D hidden.
 */
import { Plan, runTogether } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Depth, GradientSinks } from "../model/backward.ts";
import { encodeSequences, sequenceWords, TokenBatch, tokenWords } from "../model/batch.ts";
import type { ModelConfig } from "../model/architecture.ts";
import type { Model } from "../model/model.ts";
import { recordPairPass } from "../model/training_pass.ts";
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

/** Most bytes of activations kept for the backward pass; above it each layer's are recomputed. */
const keptBytes = 256 * 2 ** 20;

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
  private readonly results: Tensor;
  private readonly batch: TokenBatch;
  private readonly table: Tensor;
  private readonly tensors: Record<"last" | "gather" | "scatter" | "ids" | "weights" | "collected", Tensor>;
  private readonly caches: readonly Tensor[];
  private readonly images: readonly PassImage[];
  private readonly inputs: StepInputs;
  private readonly copyInputs: (encoder: GPUCommandEncoder, pass: number) => void;
  private readonly perPass: number;

  constructor(
    private readonly model: Model,
    private readonly examples: readonly TokenPair[],
    objective: Objective,
    sinks: GradientSinks,
    options: { tokensPerPass?: number; lowest?: { layer: number; depth: Depth }; recompute?: boolean } = {},
  ) {
    const { gpu, config } = model;
    examples.forEach(({ prefix_ids }) => model.checkSequence(prefix_ids));
    using attempt = gpu.attempt();
    const longest = Math.max(...examples.map(({ prefix_ids }) => prefix_ids.length));
    const total = examples.reduce((sum, { prefix_ids }) => sum + prefix_ids.length, 0);
    const room = Math.max(longest, Math.min(total, options.tokensPerPass ?? 1024));
    const groups = packExamples(examples, room);
    this.perPass = Math.max(...groups.map(({ length }) => length));
    const tokens = room + 1; // at least one padding token, where padded rows of the loss point
    this.images = groups.map((group) => this.encode(group, tokens));
    this.table = gpu.upload(Uint32Array.of(0), [1], "empty cache table");
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
    const keepActivations = !(options.recompute ?? tokens * activationBytes(config) > keptBytes);
    // Kept activations need every layer's keys and values; recomputed ones only their own.
    const caches = Array.from(
      { length: keepActivations ? config.layers : 1 },
      () => model.cache(tokens, "cache"),
    );
    this.caches = caches;
    this.plan = new Plan(gpu, "pair pass");
    this.results = recordPairPass(this.plan, model, {
      batch: this.batch,
      caches: Array.from({ length: config.layers }, (_, l) => caches[keepActivations ? l : 0]!),
      keepActivations,
      chosen: { tokens: last, gather, scatter },
      pairs: { ids, weights },
      objective,
      sinks,
      ...(options.lowest && { lowest: options.lowest }),
    });
    attempt.succeeded();
  }

  /** The plan of one pass and how often `run` runs it: for measurement. */
  get recorded(): { readonly plan: Plan; readonly passes: number } {
    return { plan: this.plan, passes: this.images.length };
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
      {
        plan: this.plan,
        times: this.images.length,
        before: this.copyInputs,
        after: (encoder, pass) =>
          encoder.copyBufferToBuffer(this.results.handle, 0, collected.handle, pass * bytes, bytes),
      },
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
    this.inputs[Symbol.dispose]();
    this.batch[Symbol.dispose]();
    [this.table, ...this.caches, ...Object.values(this.tensors)].forEach((tensor) =>
      this.model.gpu.free(tensor)
    );
  }

  /** Packs a group's prefixes; what is left of the pass belongs to a padding sequence that nothing reads. */
  private encode(group: readonly number[], room: number): PassImage {
    let base = 0;
    const { tokens: own, entries } = encodeSequences(group.map((e) => {
      const ids = this.examples[e]!.prefix_ids;
      base += ids.length;
      return { ids, base: base - ids.length };
    }));
    const tokens = new Uint32Array(room * tokenWords);
    tokens.set(own);
    for (let n = base; n < room; n++) tokens.set([0, 0, group.length, 0], n * tokenWords);
    const sequences = new Uint32Array((this.perPass + 1) * sequenceWords);
    sequences.set(entries);
    sequences.set([0, 0, room - 1, 0], group.length * sequenceWords);
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
      if (example) end += example.prefix_ids.length;
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

/** Bytes of one token's activations over all layers (LayerActivations), as f32. */
function activationBytes(
  { layers, hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F }: ModelConfig,
) {
  return 4 * layers * (7 * D + 2 * H * C + (H + 2 * K) * C + 2 * K * C + 2 * H + 3 * F);
}

/** Greedy packing of examples, longest first, into groups of at most `room` tokens. */
function packExamples(examples: readonly TokenPair[], room: number): number[][] {
  const groups: { members: number[]; left: number }[] = [];
  const order = examples.map((_, e) => e)
    .sort((a, b) => examples[b]!.prefix_ids.length - examples[a]!.prefix_ids.length || a - b);
  for (const e of order) {
    const length = examples[e]!.prefix_ids.length;
    let group = groups.find(({ left }) => left >= length);
    if (!group) groups.push(group = { members: [], left: room });
    group.members.push(e);
    group.left -= length;
  }
  return groups.map(({ members }) => members);
}
