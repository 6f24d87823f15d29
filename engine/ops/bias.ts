/** Biases of linear layers. N tokens, O outputs. */
import { linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import forward from "../../shaders/bias.wgsl" with { type: "text" };
import gradientShader from "../../shaders/bias_gradient.wgsl" with { type: "text" };

/** y[N, O] += bias[O]. */
export function addBias(plan: Plan, bias: Tensor, y: Tensor) {
  plan.dispatch(
    { name: "bias", template: forward, values: {} },
    [bias, y],
    [y.elements, bias.elements],
    linearGrid(y.elements, 64),
  );
}

/** gradient[O] += Σ_n dy[N, O]. */
export function biasGradient(plan: Plan, dy: Tensor, gradient: Tensor) {
  const width = gradient.elements;
  plan.dispatch(
    { name: "bias_gradient", template: gradientShader, values: {} },
    [dy, gradient],
    [dy.elements / width, width],
    [Math.ceil(width / 64)],
  );
}
