/**
 * Where the reference model's weights are, how they multiply, and where their gradients go. Tests hold whole models in
 * memory; a model of real size is streamed (streamed_matrices.ts). Weight names are Hugging Face's.
 * Legend: T tokens, I inputs, O outputs, R rows.
 */
import { matmulNN, matmulNT, matmulTN } from "./ops.ts";

/** The weights of one model, as the reference model uses them. Methods but `has` throw for a name without a weight. */
export interface Matrices {
  has(name: string): boolean;
  /** A weight of one dimension, whole. */
  vector(name: string): Float64Array;
  /** Rows [R,width] of a matrix by number. */
  rows(name: string, numbers: readonly number[], width: number): Float64Array;
  /** x [T,I] · Wᵀ with W [O,I] → [T,O]. */
  product(x: Float64Array, name: string, tokens: number, outputs: number, inputs: number): Float64Array;
  /** dy [T,O] · W with W [O,I] → [T,I]. */
  transposedProduct(
    dy: Float64Array,
    name: string,
    tokens: number,
    outputs: number,
    inputs: number,
  ): Float64Array;
}

/** What a backward pass does with gradients of weights; every method adds to what it was given before. */
export interface GradientSink {
  /** The gradient dyᵀ · x of a matrix [O,I], from dy [T,O] and x [T,I]. */
  matrix(name: string, dy: Float64Array, x: Float64Array, tokens: number): void;
  /** The gradient of rows of a matrix [*,I], from dy [R,I]; a number may come up more than once. */
  rows(name: string, numbers: readonly number[], dy: Float64Array): void;
  /** The gradient of a weight of one dimension. */
  vector(name: string, gradient: Float64Array): void;
}

/** A sink for passes that want no gradients of weights. */
export const noGradients: GradientSink = { matrix() {}, rows() {}, vector() {} };

/** Matrices held whole, in float64. */
export class WholeMatrices implements Matrices {
  constructor(private readonly weights: ReadonlyMap<string, Float64Array>) {}

  has(name: string): boolean {
    return this.weights.has(name);
  }

  vector(name: string): Float64Array {
    const weight = this.weights.get(name);
    if (!weight) throw new Error(`The reference model has no weight "${name}".`);
    return weight;
  }

  rows(name: string, numbers: readonly number[], width: number): Float64Array {
    const weight = this.vector(name);
    const rows = new Float64Array(numbers.length * width);
    numbers.forEach((row, r) => rows.set(weight.subarray(row * width, (row + 1) * width), r * width));
    return rows;
  }

  product(x: Float64Array, name: string, tokens: number, outputs: number, inputs: number): Float64Array {
    return matmulNT(x, this.vector(name), tokens, outputs, inputs);
  }

  transposedProduct(
    dy: Float64Array,
    name: string,
    tokens: number,
    outputs: number,
    inputs: number,
  ): Float64Array {
    return matmulNN(dy, this.vector(name), tokens, inputs, outputs);
  }
}

/** The gradient of every parameter, whole. */
export class WholeGradients implements GradientSink {
  readonly byName = new Map<string, Float64Array>();

  /** Of these weights, whose sizes gradients of single rows need. */
  constructor(private readonly weights: ReadonlyMap<string, Float64Array>) {}

  matrix(name: string, dy: Float64Array, x: Float64Array, tokens: number): void {
    this.vector(name, matmulTN(dy, x, dy.length / tokens, x.length / tokens, tokens));
  }

  rows(name: string, numbers: readonly number[], dy: Float64Array): void {
    const width = dy.length / numbers.length;
    const gradient = this.byName.get(name) ?? new Float64Array(this.weights.get(name)!.length);
    numbers.forEach((row, r) => {
      for (let i = 0; i < width; i++) gradient[row * width + i]! += dy[r * width + i]!;
    });
    this.byName.set(name, gradient);
  }

  vector(name: string, gradient: Float64Array): void {
    accumulate(this.byName, name, gradient);
  }
}

/** Gradients of some rows of some matrices: what they are made of is kept, and multiplied out only for rows asked for. */
export class RowGradients implements GradientSink {
  readonly #terms = new Map<string, { dy: Float64Array; x: Float64Array; tokens: number }[]>();

  /** Of the matrices with these names. */
  constructor(names: Iterable<string>) {
    for (const name of names) this.#terms.set(name, []);
  }

  matrix(name: string, dy: Float64Array, x: Float64Array, tokens: number): void {
    this.#terms.get(name)?.push({ dy, x, tokens });
  }

  rows(): void {}

  vector(): void {}

  /** The gradient [R,I] of rows of the matrix `name`. */
  of(name: string, numbers: readonly number[], width: number): Float64Array {
    const gradient = new Float64Array(numbers.length * width);
    for (const { dy, x, tokens } of this.#terms.get(name)!) {
      const outputs = dy.length / tokens;
      const own = Float64Array.from(
        { length: tokens * numbers.length },
        (_, i) => dy[Math.floor(i / numbers.length) * outputs + numbers[i % numbers.length]!]!,
      );
      matmulTN(own, x, numbers.length, width, tokens).forEach((value, i) => gradient[i]! += value);
    }
    return gradient;
  }
}

/** Adds a gradient to the one already held under its name, or starts it. */
export function accumulate(
  gradients: Map<string, Float64Array>,
  name: string,
  gradient: Float64Array,
): void {
  const held = gradients.get(name);
  gradients.set(name, held ? held.map((value, i) => value + gradient[i]!) : gradient);
}
