/** Parameter updates. The same kernels serve whole matrices and, as the sparse masked update, the selected rows alone. */
import type { Gpu } from "../gpu/gpu.ts";
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import adamwShader from "../../shaders/adamw.wgsl" with { type: "text" };
import gradientStepShader from "../../shaders/gradient_step.wgsl" with { type: "text" };
import { loadsWide } from "./variants.ts";

/** PyTorch's defaults. */
export const adamDefaults = { betas: [0.9, 0.999], epsilon: 1e-8 } as const;

/** values -= rate · gradient, with step = (rate, …). */
export function gradientStep(plan: Plan, step: Tensor, gradient: Tensor, values: Tensor) {
  plan.dispatch(
    { name: "gradient_step", template: gradientStepShader, values: {} },
    [step, gradient, values],
    [values.elements],
    linearGrid(values.elements, 64),
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
    { name: "adamw", template: adamwShader, values: { WIDE } },
    [step, gradient, moments, values],
    [
      count,
      f32(options.betas[0]),
      f32(options.betas[1]),
      f32(1 - options.betas[0]),
      f32(1 - options.betas[1]),
      f32(options.epsilon),
    ],
    linearGrid(count, 64),
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
