/** Training of all parameters on sequences: one recorded plan, replayed with every batch. N tokens, S sequences. */
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { InputError } from "../errors.ts";
import type { GradientSinks } from "../model/backward.ts";
import { sequenceWords, TokenBatch } from "../model/batch.ts";
import { recordLanguagePass } from "../model/language_pass.ts";
import type { Model } from "../model/model.ts";
import { allParameters } from "../model/weights.ts";
import { fill } from "../ops/elementwise.ts";
import { emptyScatter, type Scatter, writeScatter } from "../ops/embedding.ts";
import { clipToNorm, squaredNorm, sum } from "../ops/gradient_norm.ts";
import { adamW, writeAdamStep } from "../ops/optimizer.ts";
import { type BatchShape, packBatch, scatteredIds, type TrainingSequence } from "./batches.ts";

/** Constants of the optimizer and the loss. */
export interface TrainingOptions {
  /** Decay of the two moments. */
  readonly betas: readonly [number, number];
  /** Added to the second moment's root. */
  readonly epsilon: number;
  /** Decoupled decay of matrices; norms and biases have none. */
  readonly weightDecay: number;
  /** Largest norm of all gradients together; larger ones are scaled down to it. */
  readonly clip: number;
  /** Weight of the loss at prompt tokens, against 1 at the answer's. */
  readonly promptWeight: number;
}

/** What a step found before it moved anything. */
export interface StepResult {
  /** Weighted mean cross-entropy in nats. */
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly gradientNorm: number;
}

/** A parameter tensor with its gradient and its moments [elements, 2]. */
interface Parameter {
  readonly name: string;
  readonly values: Tensor;
  readonly gradient: Tensor;
  readonly moments: Tensor;
  readonly decays: boolean;
}

/** Steps whose results may wait on the GPU. */
export const stepsPerReadback = 10;

/** See file comment. The model must be stored in f32 and keeps what it learns. */
export class LanguageTraining implements Disposable {
  /** Optimizer steps taken, those of earlier sessions included. */
  taken = 0;
  private readonly gpu: Gpu;
  private readonly parameters: Parameter[] = [];
  private readonly batch: TokenBatch;
  private readonly scatter: Scatter;
  private readonly owned: Tensor[] = [];
  private readonly targets: Tensor;
  private readonly targetWeights: Tensor;
  /** Step constants of matrices and of vectors, which are norms and biases. */
  private readonly constants: { readonly matrices: Tensor; readonly vectors: Tensor };
  /** (loss, squared gradient norm) of the last step and of those since the last `results`. */
  private readonly totals: Tensor;
  private readonly history: Tensor;
  private waiting = 0;
  private readonly plan: Plan;

  /** Training of all parameters of `model`, which must hold them in float32. */
  constructor(
    model: Model,
    private readonly shape: BatchShape,
    private readonly options: TrainingOptions,
  ) {
    const gpu = this.gpu = model.gpu;
    const { matrices, norms, biases } = allParameters(model.weights);
    const unfit = matrices.find(({ storage, chunks }) => storage !== "f32" || chunks.length > 1);
    if (unfit) {
      throw new InputError(
        `${unfit.name} cannot be trained: it must be f32 and fit one buffer of this adapter.`,
      );
    }
    using attempt = gpu.attempt();
    const table = this.own(gpu.upload(Uint32Array.of(0), [1], "empty cache table"));
    const sequences = this.own(gpu.tensor([shape.sequences + 1, sequenceWords], "sequences"));
    this.batch = TokenBatch.empty(gpu, shape.tokens, sequences, table);
    this.scatter = emptyScatter(gpu, scatteredIds(shape), shape.tokens);
    this.targets = this.own(gpu.tensor([shape.tokens], "targets"));
    this.targetWeights = this.own(gpu.tensor([shape.tokens], "target weights"));
    this.constants = {
      matrices: this.own(gpu.tensor([4], "step constants of matrices")),
      vectors: this.own(gpu.tensor([4], "step constants of vectors")),
    };
    this.totals = this.own(gpu.tensor([2], "totals"));
    this.history = this.own(gpu.tensor([stepsPerReadback, 2], "totals of steps"));
    const vector = (tensor: Tensor) => this.addParameter(tensor.label, tensor, false);
    const sinks: GradientSinks = {
      weights: new Map(
        matrices.map((weight) => [weight, this.addParameter(weight.name, weight.chunks[0]!.tensor, true)]),
      ),
      norms: new Map(norms.map((norm) => [norm, vector(norm.weight)])),
      biases: new Map(biases.map((bias) => [bias, vector(bias)])),
    };
    this.plan = new Plan(gpu, "training step");
    this.record(model, sinks);
    attempt.succeeded();
  }

  /** Keeps a tensor to be freed with this. */
  private own(tensor: Tensor): Tensor {
    this.owned.push(tensor);
    return tensor;
  }

  /** Adds a parameter with moments of zero; returns its gradient. */
  private addParameter(name: string, values: Tensor, decays: boolean): Tensor {
    const { gpu } = this;
    const gradient = this.own(gpu.tensor(values.shape, `${name} gradient`, { part: "gradients" }));
    const size = 2 * values.elements;
    const moments = this.own(
      gpu.upload(new Float32Array(size), [...values.shape, 2], `${name} moments`, { part: "moments" }),
    );
    this.parameters.push({ name, values, gradient, moments, decays });
    return gradient;
  }

  /** Records the plans of a step. */
  private record(model: Model, sinks: GradientSinks) {
    const { plan, batch, targets, targetWeights, scatter, totals, options } = this;
    const gradients = this.parameters.map(({ gradient }) => gradient);
    for (const gradient of gradients) fill(plan, gradient, 0);
    const losses = recordLanguagePass(plan, model, {
      batch,
      cacheRows: this.shape.tokens + 1,
      targets,
      targetWeights,
      scatter,
      sinks,
    });
    sum(plan, losses, totals, 0);
    squaredNorm(plan, gradients, totals, 1);
    clipToNorm(plan, gradients, totals, 1, options.clip);
    for (const { values, gradient, moments, decays } of this.parameters) {
      adamW(
        plan,
        decays ? this.constants.matrices : this.constants.vectors,
        gradient,
        moments,
        values,
        options,
      );
    }
  }

  /** Submits one step at this learning rate. Nothing is waited for; read `results` at least every 10 steps. */
  step(batch: readonly TrainingSequence[], rate: number) {
    if (this.waiting === stepsPerReadback) throw new Error("The results of earlier steps were not read.");
    const { gpu, options } = this;
    const packed = packBatch(batch, this.shape, options.promptWeight);
    gpu.write(this.batch.tokens, packed.tokens);
    gpu.write(this.batch.sequences, packed.sequences);
    gpu.write(this.targets, packed.targets);
    gpu.write(this.targetWeights, packed.targetWeights);
    writeScatter(gpu, this.scatter, packed.scatter);
    this.taken++;
    writeAdamStep(gpu, this.constants.matrices, this.taken, rate, options.weightDecay, options.betas);
    writeAdamStep(gpu, this.constants.vectors, this.taken, rate, 0, options.betas);
    this.plan.run();
    gpu.copy(this.totals, this.history, 2 * this.waiting++);
  }

  /** Waits for the steps since the last call. Throws InputError when the loss or the gradient is no longer finite. */
  async results(): Promise<StepResult[]> {
    const values = await this.gpu.read(this.history, 0, 2 * this.waiting);
    const first = this.taken - this.waiting + 1;
    const found = Array.from(
      { length: this.waiting },
      (_, i) => ({ loss: values[2 * i]!, gradientNorm: Math.sqrt(values[2 * i + 1]!) }),
    );
    this.waiting = 0;
    const bad = found.findIndex(({ loss, gradientNorm }) => !Number.isFinite(loss + gradientNorm));
    if (bad >= 0) throw new InputError(`Training diverged at step ${first + bad}; use another seed.`, "seed");
    return found;
  }

  /** The optimizer's moments by parameter tensor, [elements, 2] each. */
  async moments(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const read = new Map<string, Float32Array<ArrayBuffer>>();
    for (const { name, moments } of this.parameters) read.set(name, await this.gpu.read(moments));
    return read;
  }

  /** Goes on from the state after `taken` steps; the model's weights must be those of that state. */
  restore(taken: number, moments: ReadonlyMap<string, Float32Array>) {
    for (const { name, moments: tensor } of this.parameters) {
      const data = moments.get(name);
      if (data?.length !== tensor.elements) throw new InputError(`The checkpoint has no moments of ${name}.`);
      this.gpu.write(tensor, data);
    }
    this.taken = taken;
  }

  /** Frees gradients and moments; the model stays. */
  [Symbol.dispose]() {
    for (const disposable of [this.plan, this.batch, this.scatter]) disposable[Symbol.dispose]();
    this.owned.forEach((tensor) => this.gpu.free(tensor));
  }
}
