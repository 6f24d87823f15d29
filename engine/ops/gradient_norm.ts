/** Sums on the GPU, and clipping of gradients by their norm over all tensors together. */
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import clipShader from "../../shaders/clip_norm.wgsl" with { type: "text" };
import squaresShader from "../../shaders/sum_squares.wgsl" with { type: "text" };
import sumShader from "../../shaders/sum.wgsl" with { type: "text" };

/** Elements that one thread squares and adds: at least this many, and more where there would be too many threads. */
const elementsPerThread = 256, mostPartials = 2 ** 20;

/** totals[at] = Σ values; up to 4 million values, since one workgroup adds them. */
export function sum(plan: Plan, values: Tensor, totals: Tensor, at: number) {
  plan.dispatch({ name: "sum", template: sumShader, values: {} }, [values, totals], [values.elements, at], [
    1,
  ]);
}

/** totals[at] = Σ of the squares of all elements of `tensors`. */
export function squaredNorm(plan: Plan, tensors: readonly Tensor[], totals: Tensor, at: number) {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const each = Math.max(elementsPerThread, Math.ceil(elements / mostPartials));
  const threads = tensors.map((tensor) => Math.ceil(tensor.elements / each));
  const partials = plan.temp([threads.reduce((a, b) => a + b, 0)], "sums of squares");
  let first = 0;
  tensors.forEach((tensor, i) => {
    plan.dispatch(
      { name: "sum_squares", template: squaresShader, values: {} },
      [tensor, partials],
      [tensor.elements, threads[i]!, first],
      linearGrid(threads[i]!, 64),
    );
    first += threads[i]!;
  });
  sum(plan, partials, totals, at);
  plan.recycle(partials);
}

/** Scales `tensors` down so that their norm together is at most `limit`; totals[at] holds its square (`squaredNorm`). */
export function clipToNorm(
  plan: Plan,
  tensors: readonly Tensor[],
  totals: Tensor,
  at: number,
  limit: number,
) {
  for (const tensor of tensors) {
    plan.dispatch(
      { name: "clip_norm", template: clipShader, values: {} },
      [totals, tensor],
      [tensor.elements, at, f32(limit)],
      linearGrid(tensor.elements, 64),
    );
  }
}
