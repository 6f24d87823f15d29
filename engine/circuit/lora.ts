/**
 * Low-rank factors of a matrix (LoRA, Hu et al., arXiv 2106.09685): W = W0 + B · A, of which A and B move and W0 does not. The product
 * lies in the matrix's overlay, so that nothing else need know of it. R rows, I columns, r rank.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { add, fill } from "../ops/elementwise.ts";
import { matmulNN, matmulNT, weightGradient } from "../ops/matmul.ts";
import { adamW } from "../ops/optimizer.ts";
import type { RowChunk, Weight } from "../ops/weight.ts";
import { seededRandom } from "../random.ts";

/** Settings of low-rank factors; their product is not scaled (alpha = rank). */
export interface LoraOptions {
  /** r. */
  readonly rank: number;
  /** Of A, which starts uniform in ± 1/√I; B starts at zero, so that nothing is changed before the first step. */
  readonly seed: number;
}

/** A value with its gradient and AdamW's moments. */
interface Factor {
  readonly values: Tensor;
  readonly gradient: Tensor;
  readonly moments: Tensor;
}

/** The factors of one matrix whose every row is overlaid. */
export class LoraFactors implements Disposable {
  /** Values that move: r · (R + I). */
  readonly size: number;
  /** A [r, I]. */
  private readonly down: Factor;
  /** Per buffer of the overlay: B [rows, r], W0 [rows, I]. */
  private readonly chunks: readonly { readonly up: Factor; readonly base: Tensor }[];

  /** `gradients` of the whole matrix [R, I], in buffers like the overlay's. */
  constructor(
    private readonly gpu: Gpu,
    private readonly weight: Weight,
    private readonly gradients: readonly RowChunk[],
    private readonly options: LoraOptions,
  ) {
    const { rank, seed } = options;
    const { columns, name, overlay } = weight;
    const random = seededRandom(`${seed}/lora/${name}`);
    using start = new Plan(gpu, "start of low-rank factors");
    const factor = (shape: readonly [number, number], label: string): Factor => {
      const made = {
        values: gpu.tensor(shape, `${name} ${label}`, { part: "rows" }),
        gradient: gpu.tensor(shape, `${name} ${label} gradient`, { part: "gradients" }),
        moments: gpu.tensor([...shape, 2], `${name} ${label} moments`, { part: "moments" }),
      };
      fill(start, made.values, 0);
      fill(start, made.moments, 0);
      return made;
    };
    this.size = rank * (weight.rows + columns);
    this.down = factor([rank, columns], "A");
    this.chunks = overlay!.chunks.map(({ tensor, rows }) => {
      const base = gpu.tensor([rows, columns], `${name} base`, { part: "rows" });
      fill(start, base, 0);
      add(start, tensor, base);
      return { up: factor([rows, rank], "B"), base };
    });
    start.run();
    const bound = 1 / Math.sqrt(columns);
    gpu.write(
      this.down.values,
      Float32Array.from({ length: rank * columns }, () => bound * (2 * random() - 1)),
    );
  }

  /** Records AdamW's step of both factors from the gradient of their product, and the product itself. */
  recordStep(plan: Plan, constants: Tensor) {
    const { weight: { columns, overlay }, down, options: { rank } } = this;
    this.chunks.forEach(({ up }, i) => {
      const gradient = this.gradients[i]!;
      weightGradient(plan, up.values, gradient.tensor, down.gradient, i > 0); // dA = Bᵀ · dW
      matmulNT(plan, gradient.tensor, { tensor: down.values, storage: "f32" }, up.gradient, {
        m: gradient.rows,
        n: rank,
        k: columns,
        yStride: rank,
        yOffset: 0,
      }); // dB = dW · Aᵀ
    });
    for (const { values, gradient, moments } of [down, ...this.chunks.map(({ up }) => up)]) {
      adamW(plan, constants, gradient, moments, values);
    }
    this.chunks.forEach(({ up, base }, i) => {
      const { tensor, rows } = overlay!.chunks[i]!;
      matmulNN(plan, up.values, { tensor: down.values, storage: "f32" }, tensor, {
        m: rows,
        n: columns,
        k: rank,
        aOffset: 0,
        aRow: rank,
        aColumn: 1,
        accumulate: false,
      });
      add(plan, base, tensor);
    });
  }

  /** What steps move besides the product in the overlay. */
  get moved(): readonly Tensor[] {
    return [this.down, ...this.chunks.map(({ up }) => up)].flatMap((
      { values, moments },
    ) => [values, moments]);
  }

  [Symbol.dispose]() {
    const factors = [this.down, ...this.chunks.map(({ up }) => up)];
    for (const { values, gradient, moments } of factors) {
      [values, gradient, moments].forEach((tensor) => this.gpu.free(tensor));
    }
    this.chunks.forEach(({ base }) => this.gpu.free(base));
  }
}
