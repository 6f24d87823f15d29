/** Component masks: scaling by 2·mask at flagged tokens, its gradient, and the Adam step with L1 that learns them. */
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import backwardShader from "../../shaders/component_mask_backward.wgsl" with { type: "text" };
import normShader from "../../shaders/mask_norm.wgsl" with { type: "text" };
import scaleShader from "../../shaders/component_mask.wgsl" with { type: "text" };
import stateShader from "../../shaders/mask_state.wgsl" with { type: "text" };
import stepShader from "../../shaders/mask_step.wgsl" with { type: "text" };

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
    { name: "component_mask", template: scaleShader, values: {} },
    [tokens, slice.mask, y, x],
    [y.elements, y.shape[1]!, slice.width, slice.first],
    linearGrid(y.elements, 64),
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
    { name: "component_mask_backward", template: backwardShader, values: {} },
    [tokens, slice.mask, x, dy, gradient],
    [components, n, width, slice.width, slice.first],
    linearGrid(components, 64),
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

/** One Adam step on gradient + strength·sign(mask), clamped to [0, 1], and its books; see mask_state.wgsl. */
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
    { name: "mask_norm", template: normShader, values: { WG: threads } },
    [training.mask, norm],
    [count],
    [1],
  );
  plan.dispatch(
    { name: "mask_step", template: stepShader, values: {} },
    [training.step, training.state, training.gradient, training.moments, training.mask],
    [
      count,
      f32(options.strength),
      f32(options.betas[0]),
      f32(options.betas[1]),
      f32(1 - options.betas[0]),
      f32(1 - options.betas[1]),
      f32(options.epsilon),
    ],
    linearGrid(count, 64),
  );
  plan.dispatch(
    { name: "mask_state", template: stateShader, values: { WG: threads } },
    [training.mask, results, training.state, training.history, norm],
    [count, results.elements / 2, f32(options.strength), options.patience, options.initial],
    [1],
  );
  plan.recycle(norm);
}
