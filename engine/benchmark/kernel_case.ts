/** A kernel benchmark: one operator on one shape, its float64 twin, and the same work for other libraries. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Variant } from "../ops/variants.ts";
import type { Storage, Weight } from "../ops/weight.ts";
import { bytesOf } from "../ops/weight.ts";
import { seededRandom } from "../random.ts";
import type { AdamStep } from "../reference/elements.ts";

/** What other libraries are asked to do; all arrays row-major f32. */
export type PeerWork =
  /** y[m, n] = a[m, k] · b[n, k]ᵀ, or · b[k, n] with `plain`. */
  | {
    readonly kind: "matmul";
    readonly plain: boolean;
    readonly a: Float32Array<ArrayBuffer>;
    readonly b: Float32Array<ArrayBuffer>;
    readonly m: number;
    readonly n: number;
    readonly k: number;
  }
  /** Causal attention of one sequence: q [T, H, C], keys and values [T, K, C]. */
  | {
    readonly kind: "attention";
    readonly q: Float32Array<ArrayBuffer>;
    readonly keys: Float32Array<ArrayBuffer>;
    readonly values: Float32Array<ArrayBuffer>;
    readonly tokens: number;
    readonly queryHeads: number;
    readonly keyValueHeads: number;
    readonly headWidth: number;
    readonly scale: number;
  }
  /** One AdamW step. */
  | {
    readonly kind: "adamw";
    readonly values: Float32Array<ArrayBuffer>;
    readonly gradient: Float32Array<ArrayBuffer>;
    readonly first: Float32Array<ArrayBuffer>;
    readonly second: Float32Array<ArrayBuffer>;
    readonly step: AdamStep;
  };

/** What an output must hold: f32 close to the twin's, or u32 that the twin accepts. */
export type Expectation =
  | {
    readonly output: Tensor;
    readonly expected: (at: number) => number;
    /** Of the largest expected value. */
    readonly tolerance: number;
  }
  | { readonly output: Tensor; readonly accepts: (at: number, value: number) => boolean };

/** A case made ready on the GPU. */
export interface Work {
  readonly record: (plan: Plan) => void;
  readonly expectations: readonly Expectation[];
  readonly peer?: PeerWork;
}

/** See file comment. */
export interface KernelCase {
  readonly name: string;
  readonly shape: string;
  /** What tells apart cases of one name and shape, e.g. the weight's storage. */
  readonly detail?: string;
  /** Variants that the operator tells apart; empty where there is only one. */
  readonly variants: readonly Variant[];
  /** Measure all of these variants, not only the adapter's own. */
  readonly compare?: boolean;
  /** Part of a quick run. */
  readonly quick?: boolean;
  /** Floating-point operations, and bytes that must move at least once. */
  readonly flops: number;
  readonly bytes: number;
  readonly prepare: (bench: Workbench) => Work;
}

/** Errors allowed, over the largest expected value: forward kernels and gradients. */
export const forwardTolerance = 1e-5, gradientTolerance = 1e-4;

/** The tensors of one case, freed together. */
export class Workbench implements Disposable {
  private readonly tensors: Tensor[] = [];
  private readonly disposables: Disposable[] = [];
  private readonly random = seededRandom("benchmark");

  constructor(readonly gpu: Gpu) {}

  /** Values in [-size, size). */
  randoms(count: number, size = 1): Float32Array<ArrayBuffer> {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = size * (2 * this.random() - 1);
    return values;
  }

  /** Integers in [0, below). */
  integers(count: number, below: number): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: count }, () => Math.floor(this.random() * below));
  }

  /** A tensor holding `data`. */
  upload(data: Float32Array | Uint32Array, ...shape: number[]): Tensor {
    const tensor = this.gpu.upload(data, shape.length ? shape : [data.length], "benchmark input");
    this.tensors.push(tensor);
    return tensor;
  }

  /** A tensor of NaN, so that what a kernel leaves unwritten fails its check. */
  output(...shape: number[]): Tensor {
    const tensor = this.gpu.tensor(shape, "benchmark output"); // of no declared type, so any kernel may write it
    this.tensors.push(tensor);
    this.gpu.write(tensor, new Float32Array(tensor.elements).fill(NaN));
    return tensor;
  }

  /** A random weight [rows, columns] in one chunk, and its exact values. */
  weight(
    rows: number,
    columns: number,
    storage: Storage,
  ): { weight: Weight; values: Float32Array<ArrayBuffer> } {
    const raw = this.randoms(rows * columns);
    const [values, words] = narrow(raw, storage);
    const tensor = this.upload(words, rows * columns * bytesOf(storage) / 4);
    const chunks = [{ tensor, firstRow: 0, rows }];
    return { weight: { name: "benchmark weight", rows, columns, storage, chunks }, values };
  }

  /** Frees something with the rest. */
  own<T extends Disposable>(disposable: T): T {
    this.disposables.push(disposable);
    return disposable;
  }

  [Symbol.dispose]() {
    this.disposables.forEach((disposable) => disposable[Symbol.dispose]());
    this.tensors.forEach((tensor) => this.gpu.free(tensor));
  }
}

/** Values rounded to a storage format (still float32), and their words as kernels read them. */
function narrow(
  raw: Float32Array<ArrayBuffer>,
  storage: Storage,
): [values: Float32Array<ArrayBuffer>, words: Float32Array | Uint32Array] {
  if (storage === "f32") return [raw, raw];
  if (storage === "f16") {
    const halves = Float16Array.from(raw);
    return [Float32Array.from(halves), new Uint32Array(halves.buffer)];
  }
  const bits = Uint16Array.from(new Uint32Array(raw.buffer), (word) => word >>> 16);
  const values = new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
  return [values, new Uint32Array(bits.buffer)];
}
