/**
 * Checks the engine on this adapter at the true widths of a published model: a random checkpoint is written, loaded the
 * ordinary way, and compared with the float64 reference model, which streams the same checkpoint.
 * Legend: E examples, V vocabulary, L layers, P components a layer, D hidden, F MLP width.
 */
import { join } from "node:path";
import process from "node:process";
import { componentAt, type Selection } from "../circuit/components.ts";
import type { TokenPair } from "../circuit/localization.ts";
import { evaluateMask } from "../circuit/mask_pass.ts";
import { learnMask } from "../circuit/mask_training.ts";
import { type RowValues, SparseUpdate } from "../circuit/update.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { modelConfig } from "../model/config.ts";
import { Model } from "../model/model.ts";
import { partsOf } from "../model/weights.ts";
import { seededRandom, shuffled } from "../random.ts";
import { writeRandomCheckpoint, type WrittenCheckpoint } from "./random_checkpoint.ts";
import { RowGradients } from "../reference/matrices.ts";
import { maskLossAndGradient, pairPass, type ReferenceExample } from "../reference/objectives.ts";
import { adamwStep, maskAdamStep, sgdStep } from "../reference/ops.ts";
import { StreamedMatrices } from "../reference/streamed_matrices.ts";
import { type HiddenResult, ReferenceModel } from "../reference/transformer.ts";
import { type Check, limits, relativeError } from "./golden.ts";

/** How the check of one shape went, apart from its checks. */
export interface ShapeRun {
  /** What was written and loaded. */
  readonly checkpoint: WrittenCheckpoint;
  /** How long it took. */
  readonly seconds: { readonly write: number; readonly load: number; readonly total: number };
  /** The most host memory this process has had so far, where the system tells. */
  readonly peakHostBytes?: number;
  /** The most memory that `gpu` has had in use. */
  readonly peakGpuBytes: number;
}

/** Lengths of the examples' prefixes: ragged, and the longest is neither first nor last. */
const lengths = [6, 8, 7];
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
const maskSettings = { initial: 0.7, rate: 0.05, strength: 0.01 };
/** A rate at which steps are as large as weights, and a decay as large as steps, so that neither hides the other. */
const adamW = { rate: 0.01, weightDecay: 10 };

/**
 * Writes a random model of these sizes (the object of a config.json) into the empty folder `folder`, loads it, and checks
 * logits, one mask step and one update step, reporting each check as it is done.
 *
 * @example A published shape made small
 * ```ts
 * import { Gpu, publishedShapes, verifyShape } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const small = { hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16 };
 * const config = { ...publishedShapes["llama-3.2-1b"], ...small, intermediate_size: 96, vocab_size: 128 };
 * await verifyShape(gpu, config, await Deno.makeTempDir(), ({ name, passed }) => console.log(name, passed));
 * ```
 */
export async function verifyShape(
  gpu: Gpu,
  config: Readonly<Record<string, unknown>>,
  folder: string,
  report: (check: Check) => void,
  seed = 0,
): Promise<ShapeRun> {
  const start = performance.now();
  const secondsSince = (time: number) => (performance.now() - time) / 1000;
  const parsed = modelConfig({ ...config }, join(folder, "config.json"));
  const checkpoint = await writeRandomCheckpoint(folder, config, parsed, seed);
  const write = secondsSince(start);
  const loading = performance.now();
  using model = await Model.load(gpu, folder, { storage: "checkpoint" });
  await gpu.fence();
  const load = secondsSince(loading);
  using matrices = await StreamedMatrices.open(folder);
  const shape = new ShapeCheck(model, matrices, parsed, report, seed);
  const hidden = await shape.checkLogits();
  await shape.checkMaskStep();
  await shape.checkUpdateStep(hidden);
  return {
    checkpoint,
    seconds: { write, load, total: secondsSince(start) },
    ...(Deno.build.os === "linux" && { peakHostBytes: process.resourceUsage().maxRSS * 1024 }),
    peakGpuBytes: gpu.memory.peakBytes,
  };
}

/** Pairs of (our values, the reference's). */
type Pairs = readonly (readonly [ArrayLike<number>, ArrayLike<number>])[];

class ShapeCheck {
  private readonly reference: ReferenceModel<StreamedMatrices>;
  private readonly random: () => number;
  private readonly examples: readonly TokenPair[];
  private readonly referenceExamples: readonly ReferenceExample[];

  constructor(
    private readonly model: Model,
    private readonly matrices: StreamedMatrices,
    private readonly config: ModelConfig,
    private readonly report: (check: Check) => void,
    seed: number,
  ) {
    this.reference = new ReferenceModel(config, matrices);
    this.random = seededRandom(`${seed}/shape check`);
    this.examples = chooseExamples(model, this.random);
    this.referenceExamples = this.examples.map(({ prefix_ids, desired_token, undesired_token }) => ({
      ids: prefix_ids,
      desired: desired_token,
      undesired: undesired_token,
    }));
  }

  /** Logits over the whole vocabulary at each last position and one before; returns the reference's forward passes. */
  async checkLogits(): Promise<HiddenResult[]> {
    const { hiddenSize: D, vocabSize: V } = this.config;
    const hidden: HiddenResult[] = [];
    const ours: Float32Array[] = [];
    const normed: Float64Array[] = [];
    for (const [e, { prefix_ids: ids }] of this.examples.entries()) {
      const positions = e === 0 ? [Math.floor(ids.length / 2), ids.length - 1] : [ids.length - 1];
      ours.push((await this.model.run(ids, { positions })).logits);
      const pass = this.reference.hidden(ids);
      hidden.push(pass);
      for (const p of positions) normed.push(pass.normed.subarray(p * D, (p + 1) * D));
    }
    const { logits } = this.reference.logits(joined(normed));
    let row = 0;
    const pairs = ours.map((values) => {
      const rows = values.length / V;
      row += rows;
      return [values, logits.subarray((row - rows) * V, row * V)] as const;
    });
    this.compare(`logits at ${normed.length} positions`, limits.forward, pairs);
    return hidden;
  }

  /** Loss, differences and gradient under a random mask, and a mask after one step of its training. */
  async checkMaskStep() {
    const { model, config, reference, examples } = this;
    const size = config.layers * model.componentsPerLayer;
    const random = Float32Array.from({ length: size }, () => this.random());
    const expected = maskLossAndGradient(reference, this.referenceExamples, this.byLayer(random));
    const actual = await evaluateMask(model, examples, random);
    this.compare("logit differences under a random mask", limits.forward, [
      [actual.differences, expected.differences],
      [[actual.loss], [expected.loss]],
    ]);
    const gradient = joined(expected.gradient);
    this.compare("mask gradient", limits.gradient, this.headsAndNeurons(actual.gradient, gradient));

    const { initial, rate, strength } = maskSettings;
    const learned = await learnMask(model, examples, {
      rate,
      strength,
      initial,
      epochs: 1,
      batch: examples.length,
      patience: 0,
    });
    const mask = new Float64Array(size).fill(initial);
    const first = maskLossAndGradient(reference, this.referenceExamples, this.byLayer(mask));
    const slope = joined(first.gradient);
    const moments = [new Float64Array(size), new Float64Array(size)] as const;
    maskAdamStep(mask, slope, ...moments, 1, { ...adam, learningRate: rate, regularization: strength });
    const penalized = slope.map((value) => value + strength);
    const moved = (values: ArrayLike<number>) =>
      whereCertain(Float64Array.from(values, (value) => value - initial), penalized);
    this.compare("mask after one Adam step", limits.gradient, [[moved(learned.mask), moved(mask)]]);
    this.compare("loss of the mask step", limits.forward, [
      [learned.losses, [first.loss + strength * initial * size]],
    ]);
  }

  /** Gradient of the rows of some components of the lowest and the top layer, and those rows after one step. */
  async checkUpdateStep(hidden: readonly HiddenResult[]) {
    const { model, examples } = this;
    const columns = this.config.hiddenSize;
    const options = { objective: "logit-difference", weightDecay: 0 } as const;
    const selection = this.chooseComponents();
    using update = new SparseUpdate(model, selection, examples, { ...options, optimizer: "sgd", rate: 0 });
    const parts = this.partsOf(update);
    const gradients = new RowGradients(parts.map(({ name }) => name));
    const expected = pairPass(this.reference, this.referenceExamples, "logit-difference", gradients, {
      hidden,
    });
    const wanted = parts.map(({ name, numbers }) => gradients.of(name, numbers, columns));
    const base = parts.map(({ name, numbers }) => this.matrices.rows(name, numbers, columns));
    const pick = (values: RowValues) =>
      parts.map(({ weight, at }) =>
        joined(at.map((r) => values.get(weight)!.subarray(r * columns, (r + 1) * columns)))
      );

    const actual = await update.gradient();
    this.compare("loss of the update step", limits.forward, [
      [actual.differences, expected.differences],
      [[actual.loss], [expected.loss]],
    ]);
    const paired = (ours: readonly Float64Array[], theirs: readonly Float64Array[]): Pairs =>
      ours.map((values, p) => [values, theirs[p]!]);
    this.compare("gradient of selected rows", limits.gradient, paired(pick(actual.gradients), wanted));

    const change = (rows: readonly Float64Array[]) =>
      rows.map((row, p) => row.map((x, i) => x - base[p]![i]!));
    const rate = largest(joined(base)) / largest(joined(wanted));
    await update.step(rate);
    const stepped = base.map((rows) => rows.slice());
    stepped.forEach((rows, p) => sgdStep(rows, wanted[p]!, rate));
    this.compare(
      "selected rows after one gradient step",
      limits.gradient,
      paired(change(pick(await update.values())), change(stepped)),
    );

    using decayed = new SparseUpdate(model, selection, examples, {
      ...options,
      optimizer: "adamw",
      ...adamW,
    });
    await decayed.step();
    const constants = { ...adam, learningRate: adamW.rate, weightDecay: adamW.weightDecay };
    const adapted = base.map((rows) => rows.slice());
    adapted.forEach((rows, p) => {
      const moments = [new Float64Array(rows.length), new Float64Array(rows.length)] as const;
      adamwStep(rows, wanted[p]!, ...moments, 1, constants);
    });
    const certain = (rows: readonly Float64Array[]) => rows.map((row, p) => whereCertain(row, wanted[p]!));
    this.compare(
      "selected rows after one AdamW step",
      limits.gradient,
      paired(certain(change(pick(await decayed.values()))), certain(change(adapted))),
    );
    model.revert();
  }

  /** In the lowest and the top layer: two heads of each kind that has two, and 16 neurons, the outermost included. */
  private chooseComponents(): Selection {
    const { layers, mlpWidth: F } = this.config;
    const chosen = new Set<string>();
    for (const layer of [0, layers - 1]) {
      for (const kind of ["q", "k", "v"]) {
        const count = kind === "q" ? this.config.queryHeads : this.config.keyValueHeads;
        for (const number of [Math.floor(this.random() * count), count - 1]) {
          chosen.add(`${layer} ${kind} ${number}`);
        }
      }
      const neurons = [0, F - 1, ...Array.from({ length: 14 }, () => Math.floor(this.random() * F))];
      neurons.forEach((number) => chosen.add(`${layer} mlp ${number}`));
    }
    return Array.from({ length: layers * this.model.componentsPerLayer }, (_, i) => {
      const { layer, kind, number } = componentAt(this.config, i);
      return chosen.has(`${layer} ${kind} ${number}`);
    });
  }

  /** The parameters an update moves: name, row numbers in it, and where these rows are among those of the fused matrix. */
  private partsOf(update: SparseUpdate) {
    return update.rows.flatMap(({ layer, matrix, weight, rows }) =>
      partsOf(this.config, layer, matrix).map(({ name, firstRow, rows: count }) => {
        const at = [...rows.keys()].filter((r) => rows[r]! >= firstRow && rows[r]! < firstRow + count);
        return { name, weight, at, numbers: at.map((r) => rows[r]! - firstRow) };
      }).filter(({ at }) => at.length > 0)
    );
  }

  /** A mask [L · P] as one array a layer. */
  private byLayer<T extends Float32Array | Float64Array>(mask: T): T[] {
    const width = mask.length / this.config.layers;
    return Array.from(
      { length: this.config.layers },
      (_, l) => mask.subarray(l * width, (l + 1) * width) as T,
    );
  }

  /**
   * Values of heads apart from those of neurons, which are smaller. Kinds of heads stay together: where each head has a
   * norm, scaling a q or k head changes next to nothing, and only noise would be compared.
   */
  private headsAndNeurons(ours: ArrayLike<number>, theirs: ArrayLike<number>): Pairs {
    const { queryHeads: H, keyValueHeads: K } = this.config;
    const isHead = (i: number) => i % this.model.componentsPerLayer < H + 2 * K;
    return [true, false].map((heads) => {
      const only = (values: ArrayLike<number>) => Array.from(values).filter((_, i) => isHead(i) === heads);
      return [only(ours), only(theirs)];
    });
  }

  private compare(name: string, limit: number, pairs: Pairs) {
    const error = Math.max(...pairs.map(([actual, wanted]) => relativeError(actual, wanted)));
    this.report({ name, error, limit, passed: error <= limit });
  }
}

/** Examples whose ids lie on both sides of every border between chunks of the embedding, as far as there is room. */
function chooseExamples(model: Model, random: () => number): TokenPair[] {
  const { vocabSize } = model.config;
  const { embedding, unembedding } = model.weights;
  const borders = [...embedding.chunks, ...unembedding.chunks].flatMap(({ firstRow, rows }) => [
    firstRow,
    firstRow + rows - 1,
  ]);
  const ids = shuffled([...new Set(borders)], random);
  const next = () => ids.pop() ?? Math.floor(random() * vocabSize);
  return lengths.map((length) => ({
    desired_token: next(),
    undesired_token: next(),
    prefix_ids: Array.from({ length }, next),
  }));
}

/** Values whose gradient is surely not zero: the first Adam step has its sign, which tiny errors turn around zero. */
function whereCertain(values: Float64Array, gradient: Float64Array): Float64Array {
  const least = limits.gradient * largest(gradient);
  return values.filter((_, i) => Math.abs(gradient[i]!) > least);
}

function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}

/** Arrays one after the other, in float64. */
function joined(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
