/**
 * Float64 twins of the update rules. All arrays have the same length and are changed in place; to move only some
 * rows of a matrix, call a step with `subarray` views of those rows.
 */

/** Values that a step may overwrite. */
export type Writable = Float64Array | Float32Array;

/** Constants of Adam and AdamW, named as in PyTorch's documentation. */
export interface AdamConstants {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Added outside the square root. */
  readonly epsilon: number;
}

/** weights −= learningRate · gradient. */
export function sgdStep(weights: Writable, gradient: ArrayLike<number>, learningRate: number): void {
  for (let i = 0; i < weights.length; i++) weights[i]! -= learningRate * gradient[i]!;
}

/** Updates both moments and returns Adam's bias-corrected step for value i; `step` counts from 1. */
function adamDelta(
  i: number,
  gradient: number,
  first: Writable,
  second: Writable,
  step: number,
  constants: AdamConstants,
): number {
  const { learningRate, beta1, beta2, epsilon } = constants;
  first[i] = beta1 * first[i]! + (1 - beta1) * gradient;
  second[i] = beta2 * second[i]! + (1 - beta2) * gradient ** 2;
  const mean = first[i]! / (1 - beta1 ** step);
  const variance = second[i]! / (1 - beta2 ** step);
  return learningRate * mean / (Math.sqrt(variance) + epsilon);
}

/**
 * AdamW as in PyTorch: weights *= 1 − learningRate · weightDecay, then Adam's step. `first` and `second` are the
 * moments, zero before the first step; `step` counts from 1.
 */
export function adamwStep(
  weights: Writable,
  gradient: ArrayLike<number>,
  first: Writable,
  second: Writable,
  step: number,
  constants: AdamConstants & { readonly weightDecay: number },
): void {
  for (let i = 0; i < weights.length; i++) {
    weights[i]! *= 1 - constants.learningRate * constants.weightDecay;
    weights[i]! -= adamDelta(i, gradient[i]!, first, second, step, constants);
  }
}

/**
 * One Adam step of a component mask with an L1 penalty: the gradient gains regularization · sign(mask), with
 * sign(0) = 0, and the mask is clamped to [0,1] afterwards.
 */
export function maskAdamStep(
  mask: Writable,
  gradient: ArrayLike<number>,
  first: Writable,
  second: Writable,
  step: number,
  constants: AdamConstants & { readonly regularization: number },
): void {
  for (let i = 0; i < mask.length; i++) {
    const penalized = gradient[i]! + constants.regularization * Math.sign(mask[i]!);
    const moved = mask[i]! - adamDelta(i, penalized, first, second, step, constants);
    mask[i] = Math.min(1, Math.max(0, moved));
  }
}
