/** Sums on the GPU, and clipping of gradients by their norm over all tensors together. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";

/** Elements that one thread squares and adds: at least this many, and more where there would be too many threads. */
const elementsPerThread = 256, mostPartials = 2 ** 20;

/** totals[at] = Σ values; up to 4 million values, since one workgroup adds them. */
export function sum(plan: Plan, values: Tensor, totals: Tensor, at: number) {
  plan.dispatch(kernel("sum"), { values, totals }, { count: values.elements, at }, { workgroups: 1 });
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
      kernel("sum_squares"),
      { values: tensor, partials },
      { count: tensor.elements, threads: threads[i]!, first },
      { invocations: threads[i]! },
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
      kernel("clip_norm"),
      { totals, values: tensor },
      { count: tensor.elements, at, limit },
      { invocations: tensor.elements },
    );
  }
}
