/** Biases of linear layers. N tokens, O outputs. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";

/** y[N, O] += bias[O]. */
export function addBias(plan: Plan, bias: Tensor, y: Tensor) {
  plan.dispatch(
    kernel("bias"),
    { bias, y },
    { count: y.elements, width: bias.elements },
    { invocations: y.elements },
  );
}

/** gradient[O] += Σ_n dy[N, O]. */
export function biasGradient(plan: Plan, dy: Tensor, gradient: Tensor) {
  const width = gradient.elements;
  plan.dispatch(
    kernel("bias_gradient"),
    { dy, gradient },
    { rows: dy.elements / width, width },
    { invocations: width },
  );
}
