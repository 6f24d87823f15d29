/**
 * The targeted update (method section 3): only rows of selected components move, held in f32 beside the checkpoint.
 * Gradients, moments and copies exist for those rows alone, and nothing below the lowest selected layer is differentiated.
 */
import { InputError, NonFiniteError } from "../errors.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Lowest } from "../model/layers.ts";
import type { Model } from "../model/model.ts";
import { fill } from "../ops/elementwise.ts";
import { squaredNorm } from "../ops/gradient_norm.ts";
import type { Objective } from "../ops/loss.ts";
import { adamW, gradientStep, writeAdamStep } from "../ops/optimizer.ts";
import { readRows, type RowChunk, type Weight, writeRows } from "../ops/weight.ts";
import { AnchorPasses, type AnchorSequence } from "./anchor_passes.ts";
import { rowsOf, type SelectedRows, type Selection } from "./components.ts";
import { checkPairs, type TokenPair } from "./localization.ts";
import { LoraFactors, type LoraOptions } from "./lora.ts";
import { overlayRows } from "./overlay.ts";
import { PairPasses, type PairResults } from "./pair_passes.ts";

/** `sgd`: W -= rate · gradient, as in the paper. `adamw`: sparse masked AdamW. */
export type OptimizerName = "sgd" | "adamw";

/** Settings of an update. */
export interface UpdateOptions {
  /** Divide every step by the norm of the selected rows' gradient, so that `rate` is the norm of a step; `sgd` only. Default false. */
  readonly normalize?: boolean;
  /** What a step lowers. */
  readonly objective: Objective;
  /** How a step follows the gradient. */
  readonly optimizer: OptimizerName;
  /** Learning rate. */
  readonly rate: number;
  /** Decoupled weight decay of AdamW, on selected rows only. */
  readonly weightDecay: number;
  /** Tokens per forward and backward pass; see PairPassOptions. */
  readonly tokensPerPass?: number;
  /** Keep the model's distributions where they are, at a price; see AnchorPasses. */
  readonly anchor?: { readonly sequences: readonly AnchorSequence[]; readonly weight: number } | undefined;
  /** Move low-rank factors of every row given instead of the rows themselves; `adamw` only. */
  readonly lora?: LoraOptions | undefined;
  /** Whether what all examples begin with is computed once a step; default: where that saves a quarter of the tokens. */
  readonly sharePrefix?: boolean;
}

/** Values of the overlaid rows, per matrix. */
export type RowValues = ReadonlyMap<Weight, Float32Array<ArrayBuffer>>;

/** The name of the first matrix that holds NaN or infinity. */
export function firstNonFinite(values: RowValues): string | undefined {
  for (const [{ name }, data] of values) if (!data.every(Number.isFinite)) return name;
}

/** An update that came to NaN or infinity: in which step, and what of it. */
export function diverged(rate: number, step: number, what: string): NonFiniteError {
  return new NonFiniteError(
    `The update diverged at rate ${rate}: in step ${step} ${what} is NaN or infinite; use a smaller rate.`,
    "rate",
  );
}

/** An update in progress on a model, whose selected rows it overlays; the overlays stay when it is disposed. */
export class SparseUpdate implements Disposable {
  /** The rows that move. */
  readonly rows: readonly SelectedRows[];
  private readonly gradients = new Map<Weight, readonly RowChunk[]>();
  private readonly moments: Tensor[] = [];
  private readonly factors: LoraFactors[] = [];
  private readonly constants: Tensor;
  private passes!: PairPasses;
  private readonly anchor: AnchorPasses | undefined;
  private readonly clearing: Plan;
  private norming!: Plan;
  private readonly stepping: Plan;
  private steps = 0;

  /**
   * Overlays the selected rows of `model` with themselves.
   * @throws {InputError} for no example, no selected component, and tokens that the model does not have.
   */
  constructor(
    private readonly model: Model,
    selection: Selection | readonly SelectedRows[],
    examples: readonly TokenPair[],
    private readonly options: UpdateOptions,
  ) {
    if (examples.length === 0) {
      throw new InputError("No localization examples to update on; use more problems.");
    }
    if (options.normalize && options.optimizer !== "sgd") {
      throw new InputError(
        "Only steps of sgd can be normalized; AdamW sets its own.",
        "normalize",
        "optimizer",
      );
    }
    const { gpu } = model;
    checkPairs(model, examples);
    if (options.lora && options.optimizer !== "adamw") {
      throw new InputError("LoRA is updated by adamw.", "optimizer");
    }
    this.rows = rowsOf(model, selection);
    if (this.rows.length === 0) {
      throw new InputError("No component is selected, so there is nothing to update.");
    }
    using attempt = gpu.attempt();
    using overlaid = new DisposableStack(); // goes first where this throws, so that no freed row stays overlaid
    overlaid.defer(() => model.revert());
    this.clearing = new Plan(gpu, "clear gradients");
    this.stepping = new Plan(gpu, "optimizer step");
    this.constants = gpu.tensor([4], "optimizer step constants");
    using zeroing = new Plan(gpu, "zero moments");
    for (const { weight, rows } of this.rows) {
      overlayRows(model, weight, rows);
      const { columns, name } = weight;
      this.gradients.set(
        weight,
        weight.overlay!.chunks.map(({ tensor: values, firstRow, rows }) => {
          const gradient = gpu.tensor([rows, columns], `${name} gradient`, { part: "gradients" });
          fill(this.clearing, gradient, 0);
          if (options.lora) return { tensor: gradient, firstRow, rows };
          if (options.optimizer === "adamw") {
            const moments = gpu.tensor([rows, columns, 2], `${name} moments`, { part: "moments" });
            this.moments.push(moments);
            fill(zeroing, moments, 0);
            adamW(this.stepping, this.constants, gradient, moments, values);
          } else {
            gradientStep(this.stepping, this.constants, gradient, values);
          }
          return { tensor: gradient, firstRow, rows };
        }),
      );
      if (options.lora) {
        const lora = new LoraFactors(gpu, weight, this.gradients.get(weight)!, options.lora);
        this.factors.push(lora);
        lora.recordStep(this.stepping, this.constants);
      }
    }
    zeroing.run();
    if (options.anchor) {
      const { sequences, weight } = options.anchor;
      this.anchor = new AnchorPasses(model, sequences, weight, { weights: this.gradients }, this.lowest);
    }
    this.record(examples);
    overlaid.move();
    attempt.succeeded();
  }

  /** Records the passes over examples. */
  private record(examples: readonly TokenPair[]) {
    const { model, options } = this;
    this.passes = new PairPasses(model, examples, options.objective, { weights: this.gradients }, {
      lowest: this.lowest,
      ...(options.tokensPerPass !== undefined && { tokensPerPass: options.tokensPerPass }),
      ...(options.sharePrefix !== undefined && { sharePrefix: options.sharePrefix }),
    });
    const tensors = [...this.gradients.values()].flat().map(({ tensor }) => tensor);
    const { totals, at } = this.passes.squaredGradientAt;
    this.norming = new Plan(model.gpu, "norm of the gradient");
    squaredNorm(this.norming, tensors, totals, at);
  }

  /** Where the backward pass ends: nothing below the lowest row that moves is differentiated. */
  private get lowest(): Lowest {
    const layer = Math.min(...this.rows.map(({ layer }) => layer));
    const attention = this.rows.some(({ layer: l, matrix }) =>
      l === layer && (matrix === "qkv" || matrix === "output")
    );
    return { layer, depth: attention ? "attention" : "mlp" };
  }

  /**
   * Goes on with other examples; rows, moments and the number of steps stay.
   * @throws {InputError} for no example, and tokens that the model does not have.
   */
  use(examples: readonly TokenPair[]) {
    if (examples.length === 0) throw new InputError("No examples to go on with.");
    checkPairs(this.model, examples);
    this.passes[Symbol.dispose]();
    this.norming[Symbol.dispose]();
    this.record(examples);
  }

  /** The plans of a step and how often it runs each: for measurement. */
  get recorded(): readonly { readonly plan: Plan; readonly passes: number }[] {
    const once = [this.clearing, this.norming, this.stepping].map((plan) => ({ plan, passes: 1 }));
    return [...this.passes.recorded, ...once];
  }

  /** Number of f32 values that may move. */
  get size(): number {
    if (this.factors.length > 0) return this.factors.reduce((sum, { size }) => sum + size, 0);
    return this.rows.reduce((sum, { rows, weight }) => sum + rows.length * weight.columns, 0);
  }

  /** Gradients at the current values, per matrix [R, I]; nothing moves. */
  async gradient(): Promise<PairResults & { gradients: RowValues }> {
    const results = await this.passes.run([this.clearing, ...this.anchor?.plans ?? []], [this.norming]);
    return { ...results, gradients: await this.readAll(this.gradients) };
  }

  /**
   * One step on the gradient over all examples; returns loss, differences and the gradient's squared norm before it.
   *
   * @throws {NonFiniteError} before anything moves, when the loss or the gradient is not finite.
   */
  async step(rate = this.options.rate): Promise<PairResults> {
    const results = await this.passes.run([this.clearing, ...this.anchor?.plans ?? []], [this.norming]);
    if (!Number.isFinite(results.loss) || !Number.isFinite(results.squaredGradient)) {
      const bad = firstNonFinite(await this.readAll(this.gradients));
      const of = Number.isFinite(results.loss) ? "gradient" : "loss, and the gradient";
      throw diverged(rate, this.steps + 1, bad ? `the ${of} of ${bad}` : `the ${of}`);
    }
    const { squaredGradient } = results;
    const scale = this.options.normalize && squaredGradient > 0 ? 1 / Math.sqrt(squaredGradient) : 1;
    writeAdamStep(this.model.gpu, this.constants, ++this.steps, rate * scale, this.options.weightDecay);
    this.stepping.run();
    this.model.weightsChanged();
    return results;
  }

  /** Mean divergence from the anchored distributions before the last step, in nats; undefined without an anchor. */
  async divergence(): Promise<number | undefined> {
    return await this.anchor?.divergence();
  }

  /** The current values of the selected rows. */
  values(): Promise<RowValues> {
    return this.readAll(new Map(this.rows.map(({ weight }) => [weight, weight.overlay!.chunks])));
  }

  /** Puts row values back. */
  restore(values: RowValues) {
    for (const [weight, data] of values) writeRows(this.model.gpu, weight.overlay!.chunks, data);
    this.model.weightsChanged();
  }

  /** All that steps move: rows, moments and factors. */
  private get moved(): readonly Tensor[] {
    const rows = this.rows.flatMap(({ weight }) => weight.overlay!.chunks.map(({ tensor }) => tensor));
    return [...rows, ...this.moments, ...this.factors.flatMap(({ moved }) => moved)];
  }

  /** Bytes of a snapshot. */
  snapshotBytes(best: RowValues | undefined): number {
    const ofBest = best ? [...best.values()].reduce((sum, { byteLength }) => sum + byteLength, 0) : 0;
    return this.moved.reduce((sum, { elements }) => sum + 4 * elements, ofBest);
  }

  /** All that steps move, and the best rows so far, to go on from. */
  async snapshot(best: RowValues | undefined): Promise<Float32Array<ArrayBuffer>[]> {
    const moved = await Promise.all(this.moved.map((tensor) => this.model.gpu.read(tensor)));
    return [...moved, ...best ? this.rows.map(({ weight }) => best.get(weight)!) : []];
  }

  /** Goes on where a snapshot was taken after so many steps of an update like this one; returns the best rows that it holds. */
  resume(steps: number, snapshot: readonly Float32Array<ArrayBuffer>[]): RowValues | undefined {
    const { moved } = this;
    moved.forEach((tensor, i) => this.model.gpu.write(tensor, snapshot[i]!));
    this.steps = steps;
    this.model.weightsChanged();
    const best = snapshot.slice(moved.length);
    return best.length > 0 ? new Map(this.rows.map(({ weight }, i) => [weight, best[i]!])) : undefined;
  }

  /** Frees gradients and moments; the model keeps its overlays. */
  [Symbol.dispose]() {
    for (const disposable of [this.passes, this.clearing, this.norming, this.stepping]) {
      disposable[Symbol.dispose]();
    }
    const gradients = [...this.gradients.values()].flat().map(({ tensor }) => tensor);
    for (const tensor of [...gradients, ...this.moments, this.constants]) this.model.gpu.free(tensor);
    this.factors.forEach((factors) => factors[Symbol.dispose]());
    this.anchor?.[Symbol.dispose]();
  }

  /** Reads rows of matrices. */
  private async readAll(rows: ReadonlyMap<Weight, readonly RowChunk[]>): Promise<RowValues> {
    const values = new Map<Weight, Float32Array<ArrayBuffer>>();
    for (const [weight, chunks] of rows) values.set(weight, await readRows(this.model.gpu, chunks));
    return values;
  }
}
