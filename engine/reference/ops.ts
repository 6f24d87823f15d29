/**
 * Slow, readable float64 twins of the engine's operators, forward and backward. They exist to be compared with:
 * plain loops, no tricks, one small function an operator. Inputs may be any typed array; results are Float64Array.
 * Matrices are row-major; `[R,W]` means R rows of W values.
 * Legend: N rows, T tokens, D model width, H query heads, K key/value heads, C head width, F MLP width, V vocabulary.
 */

import type { Activation } from "../model/architecture.ts";

export { attention, attentionBackward, type AttentionShape } from "./attention.ts";
export {
  crossEntropy,
  klDivergence,
  logProbability,
  pairLoss,
  type PairObjective,
  softplus,
} from "./losses.ts";
export { type AdamConstants, adamwStep, maskAdamStep, sgdStep, type Writable } from "./optimizers.ts";
export {
  argmax,
  filterLogits,
  philox4x32,
  sampleIndex,
  type SamplingFilter,
  uniformFromBits,
} from "./sampling.ts";

/** Any array of numbers: Float32Array, Float64Array, Uint32Array or a plain array. */
export type Numbers = ArrayLike<number>;

/** Token embedding: table [V,D], ids [N] → [N,D], every value times `scale` (sqrt(D) for Gemma). */
export function embedding(table: Numbers, ids: Numbers, width: number, scale = 1): Float64Array {
  const y = new Float64Array(ids.length * width);
  for (let n = 0; n < ids.length; n++) {
    for (let d = 0; d < width; d++) y[n * width + d] = table[ids[n]! * width + d]! * scale;
  }
  return y;
}

/** Gradient of `embedding`: dy [N,D] → dtable [V,D]; rows of repeated ids add up. */
export function embeddingBackward(
  dy: Numbers,
  ids: Numbers,
  vocabulary: number,
  width: number,
  scale = 1,
): Float64Array {
  const dtable = new Float64Array(vocabulary * width);
  for (let n = 0; n < ids.length; n++) {
    for (let d = 0; d < width; d++) dtable[ids[n]! * width + d]! += dy[n * width + d]! * scale;
  }
  return dtable;
}

/** a [M,K] · bᵀ with b [N,K] → [M,N]. A linear layer's forward: x · Wᵀ. */
export function matmulNT(a: Numbers, b: Numbers, m: number, n: number, k: number): Float64Array {
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p]! * b[j * k + p]!;
      y[i * n + j] = sum;
    }
  }
  return y;
}

/** a [M,K] · b [K,N] → [M,N]. A linear layer's input gradient: dy · W. */
export function matmulNN(a: Numbers, b: Numbers, m: number, n: number, k: number): Float64Array {
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      for (let j = 0; j < n; j++) y[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
    }
  }
  return y;
}

/** aᵀ · b with a [K,M], b [K,N] → [M,N]. A linear layer's weight gradient: dyᵀ · x. */
export function matmulTN(a: Numbers, b: Numbers, m: number, n: number, k: number): Float64Array {
  const y = new Float64Array(m * n);
  for (let p = 0; p < k; p++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) y[i * n + j]! += a[p * m + i]! * b[p * n + j]!;
    }
  }
  return y;
}

/** 1 / sqrt(mean(x²) + ε) of one row of x [R,W]. */
function inverseRms(x: Numbers, row: number, width: number, epsilon: number): number {
  let squares = 0;
  for (let w = 0; w < width; w++) squares += x[row * width + w]! ** 2;
  return 1 / Math.sqrt(squares / width + epsilon);
}

/** RMSNorm of each row: x [R,W], weight [W] → [R,W]; the gain is `offset + weight`. */
export function rmsNorm(
  x: Numbers,
  weight: Numbers,
  rows: number,
  width: number,
  epsilon: number,
  offset: 0 | 1 = 0,
): Float64Array {
  const y = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const inverse = inverseRms(x, r, width, epsilon);
    for (let w = 0; w < width; w++) y[r * width + w] = x[r * width + w]! * inverse * (offset + weight[w]!);
  }
  return y;
}

/** Gradient of `rmsNorm`: dy, x [R,W], weight [W] → dx [R,W], dweight [W]. */
export function rmsNormBackward(
  dy: Numbers,
  x: Numbers,
  weight: Numbers,
  rows: number,
  width: number,
  epsilon: number,
  offset: 0 | 1 = 0,
): { dx: Float64Array; dweight: Float64Array } {
  const dx = new Float64Array(rows * width);
  const dweight = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const inverse = inverseRms(x, r, width, epsilon);
    let projection = 0; // Σ x · gain · dy
    for (let w = 0; w < width; w++) {
      const at = r * width + w;
      projection += x[at]! * (offset + weight[w]!) * dy[at]!;
      dweight[w]! += x[at]! * inverse * dy[at]!;
    }
    for (let w = 0; w < width; w++) {
      const at = r * width + w;
      dx[at] = inverse * (offset + weight[w]!) * dy[at]! - x[at]! * inverse ** 3 * projection / width;
    }
  }
  return { dx, dweight };
}

/**
 * Rotary position embedding, Hugging Face's "rotate_half": x [T,heads,C], positions [T] → [T,heads,C].
 * Value i of the first half pairs with value i of the second and turns by position · θ^(−2i/C).
 * Where positions are stretched, a function gives each pair's radians per position instead of θ.
 * `inverse` turns back, which is also the gradient: dx = rotary(dy, …, true).
 */
export function rotary(
  x: Numbers,
  positions: Numbers,
  heads: number,
  headWidth: number,
  theta: number | ((pair: number) => number),
  inverse = false,
): Float64Array {
  const y = new Float64Array(x.length);
  const half = headWidth / 2;
  for (let t = 0; t < positions.length; t++) {
    for (let i = 0; i < half; i++) {
      const frequency = typeof theta === "number" ? theta ** (-2 * i / headWidth) : theta(i);
      const angle = positions[t]! * frequency * (inverse ? -1 : 1);
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const first = (t * heads + h) * headWidth + i;
        const second = first + half;
        y[first] = x[first]! * cos - x[second]! * sin;
        y[second] = x[second]! * cos + x[first]! * sin;
      }
    }
  }
  return y;
}

const GELU_SLOPE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** silu(x) = x · sigmoid(x), or the tanh approximation of GELU. */
export function activate(x: number, activation: Activation): number {
  if (activation === "silu") return x / (1 + Math.exp(-x));
  return 0.5 * x * (1 + Math.tanh(GELU_SLOPE * (x + GELU_CUBIC * x ** 3)));
}

/** Derivative of `activate` at x. */
export function activateDerivative(x: number, activation: Activation): number {
  if (activation === "silu") {
    const sigmoid = 1 / (1 + Math.exp(-x));
    return sigmoid * (1 + x * (1 - sigmoid));
  }
  const tanh = Math.tanh(GELU_SLOPE * (x + GELU_CUBIC * x ** 3));
  const inner = GELU_SLOPE * (1 + 3 * GELU_CUBIC * x ** 2);
  return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh ** 2) * inner;
}

/** Gated MLP's elementwise part: gate, up [N,F] → activation(gate) · up [N,F], the input of down_proj. */
export function gatedMlp(gate: Numbers, up: Numbers, activation: Activation): Float64Array {
  return Float64Array.from(gate, (g, i) => activate(g, activation) * up[i]!);
}

/** Gradient of `gatedMlp`: dy, gate, up [N,F] → dgate, dup [N,F]. */
export function gatedMlpBackward(
  dy: Numbers,
  gate: Numbers,
  up: Numbers,
  activation: Activation,
): { dgate: Float64Array; dup: Float64Array } {
  const dgate = Float64Array.from(gate, (g, i) => dy[i]! * up[i]! * activateDerivative(g, activation));
  const dup = Float64Array.from(gate, (g, i) => dy[i]! * activate(g, activation));
  return { dgate, dup };
}

/** Soft cap: cap · tanh(x / cap) of every value; cap 0 leaves x as it is. */
export function softCap(x: Numbers, cap: number): Float64Array {
  return Float64Array.from(x, (value) => cap === 0 ? value : cap * Math.tanh(value / cap));
}

/** Gradient of `softCap`, from dy and the uncapped x. */
export function softCapBackward(dy: Numbers, x: Numbers, cap: number): Float64Array {
  return Float64Array.from(dy, (d, i) => cap === 0 ? d : d * (1 - Math.tanh(x[i]! / cap) ** 2));
}

/**
 * Component intervention: x [N, M·W] made of M components of W values each, mask [M] → x · 2·mask[component].
 * 1 doubles a component, 0.5 leaves it alone, 0 ablates it.
 */
export function scaleComponents(x: Numbers, mask: Numbers, componentWidth: number): Float64Array {
  return Float64Array.from(x, (value, i) => value * 2 * mask[componentOf(i, mask.length, componentWidth)]!);
}

/** Gradient of `scaleComponents`: dy, x [N, M·W], mask [M] → dx [N, M·W], dmask [M] (summed over the N rows). */
export function scaleComponentsBackward(
  dy: Numbers,
  x: Numbers,
  mask: Numbers,
  componentWidth: number,
): { dx: Float64Array; dmask: Float64Array } {
  const dx = scaleComponents(dy, mask, componentWidth);
  const dmask = new Float64Array(mask.length);
  for (let i = 0; i < x.length; i++) {
    dmask[componentOf(i, mask.length, componentWidth)]! += 2 * dy[i]! * x[i]!;
  }
  return { dx, dmask };
}

/** Component that flat index i of [N, M·W] belongs to. */
function componentOf(i: number, components: number, componentWidth: number): number {
  return Math.floor(i / componentWidth) % components;
}

/** x + y, value by value. */
export function add(x: Numbers, y: Numbers): Float64Array {
  return Float64Array.from(x, (value, i) => value + y[i]!);
}
