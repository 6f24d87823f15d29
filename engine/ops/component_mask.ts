/** Component masks: scaling by 2·mask at flagged tokens, its gradient, and the Adam step with L1 that learns them. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";

/** Some consecutive components of a mask vector, each `width` channels of the activation. */
export interface MaskSlice {
  readonly mask: Tensor;
  /** Index of the first component in the mask vector. */
  readonly first: number;
  /** Channels per component: C for heads, 1 for neurons. */
  readonly width: number;
}

/** y = x · 2·mask at flagged tokens, x elsewhere; x and y [N, W]. */
export function scaleByMask(plan: Plan, tokens: Tensor, slice: MaskSlice, x: Tensor, y: Tensor) {
  plan.dispatch(
    kernel("component_mask"),
    { tokens, mask: slice.mask, y, x },
    { count: y.elements, width: y.shape[1]!, component_width: slice.width, first: slice.first },
    { invocations: y.elements },
  );
}

/**
 * gradient[components] = 2 · Σ x·dy over flagged tokens and each component's channels; x is the unscaled input. Then
 * dy · 2·mask at flagged tokens, in place: the gradient of x.
 */
export function maskBackward(
  plan: Plan,
  tokens: Tensor,
  slice: MaskSlice,
  x: Tensor,
  dy: Tensor,
  gradient: Tensor,
) {
  const [n, width] = [x.shape[0]!, x.shape[1]!];
  const components = width / slice.width;
  plan.dispatch(
    kernel("component_mask_backward"),
    { tokens, mask: slice.mask, x, dy, gradient },
    { components, tokens: n, width, component_width: slice.width, first: slice.first },
    { invocations: components },
  );
}

const threads = 64;

/** What mask training keeps on the GPU. */
export interface MaskTraining {
  /** [count] */
  readonly mask: Tensor;
  readonly gradient: Tensor;
  /** [count, 2] */
  readonly moments: Tensor;
  /** (rate, 1 - beta1^t, 1 - beta2^t, 0): write before every step. */
  readonly step: Tensor;
  /** u32 (stopped, selected, unchanged, steps); selected starts as `initial`. */
  readonly state: Tensor;
  /** [steps, 2] of (loss with L1, number selected). */
  readonly history: Tensor;
}

/** One Adam step on gradient + strength·sign(mask), clamped to [0, 1], and its record of losses and selected components; see mask_state.wgsl. */
export function maskStep(
  plan: Plan,
  training: MaskTraining,
  results: Tensor,
  options: {
    strength: number;
    patience: number;
    initial: number;
    betas: readonly [number, number];
    epsilon: number;
  },
) {
  const count = training.mask.elements;
  const norm = plan.temp([threads], "mask norm");
  plan.dispatch(
    kernel("mask_norm", { WG: threads }),
    { mask: training.mask, norm },
    { count },
    { workgroups: 1 },
  );
  plan.dispatch(
    kernel("mask_step"),
    {
      step: training.step,
      state: training.state,
      gradient: training.gradient,
      moments: training.moments,
      mask: training.mask,
    },
    {
      count,
      strength: options.strength,
      beta1: options.betas[0],
      beta2: options.betas[1],
      rest1: 1 - options.betas[0],
      rest2: 1 - options.betas[1],
      epsilon: options.epsilon,
    },
    { invocations: count },
  );
  plan.dispatch(
    kernel("mask_state", { WG: threads }),
    { mask: training.mask, results, state: training.state, history: training.history, before: norm },
    {
      count,
      pairs: results.elements / 2,
      strength: options.strength,
      patience: options.patience,
      initial: options.initial,
    },
    { workgroups: 1 },
  );
  plan.recycle(norm);
}
