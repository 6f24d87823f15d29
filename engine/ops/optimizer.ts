/** Parameter updates. The same kernels serve whole matrices and, as the sparse masked update, the selected rows alone. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { loadsWide } from "./variants.ts";

/** PyTorch's defaults. */
export const adamDefaults = { betas: [0.9, 0.999], epsilon: 1e-8 } as const;

/** values -= rate · gradient, with step = (rate, …). */
export function gradientStep(plan: Plan, step: Tensor, gradient: Tensor, values: Tensor) {
  plan.dispatch(
    kernel("gradient_step"),
    { step, gradient, values },
    { count: values.elements },
    { invocations: values.elements },
  );
}

/** AdamW on values with moments [count, 2]; step from `writeAdamStep`. */
export function adamW(
  plan: Plan,
  step: Tensor,
  gradient: Tensor,
  moments: Tensor,
  values: Tensor,
  options: { betas: readonly [number, number]; epsilon: number } = adamDefaults,
) {
  const WIDE = loadsWide(plan.gpu);
  const count = Math.ceil(values.elements / (WIDE ? 8 : 4));
  plan.dispatch(
    kernel("adamw", { WIDE }),
    { step, gradient, moments, values },
    {
      count,
      beta1: options.betas[0],
      beta2: options.betas[1],
      rest1: 1 - options.betas[0],
      rest2: 1 - options.betas[1],
      epsilon: options.epsilon,
    },
    { invocations: count },
  );
}

/** Writes the constants of AdamW's step t = 1, 2, … before its plan runs. */
export function writeAdamStep(
  gpu: Gpu,
  step: Tensor,
  t: number,
  rate: number,
  weightDecay: number,
  betas: readonly [number, number] = adamDefaults.betas,
) {
  gpu.write(step, Float32Array.of(rate, weightDecay, 1 - betas[0] ** t, 1 - betas[1] ** t));
}
