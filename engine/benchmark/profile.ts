/** Where the time of a stage goes: its kernels by their share, dearest first. */
import type { DispatchTime, Plan } from "../gpu/plan.ts";
import type { ShaderValues } from "../gpu/shader.ts";
import type { KernelShare } from "./result.ts";

/** Kernels that a profile names. */
const named = 5;

/**
 * The dearest kernels of plans that run so many times each: by timestamps around every dispatch, or where the adapter has
 * none one kernel at a time by the wall clock. The plans' tensors hold no results afterwards.
 */
export async function profile(
  plans: readonly { readonly plan: Plan; readonly passes: number }[],
): Promise<KernelShare[]> {
  const found = new Map<string, { dispatches: number; ms: number }>();
  for (const { plan, passes } of plans) {
    await plan.profile(); // the first time finds caches cold and pipelines not compiled
    for (const time of await plan.profile() ?? await plan.timeByKernel()) {
      const name = describe(time);
      const known = found.get(name) ?? { dispatches: 0, ms: 0 };
      found.set(name, { dispatches: known.dispatches + passes, ms: known.ms + passes * time.ms });
    }
  }
  const total = [...found.values()].reduce((sum, { ms }) => sum + ms, 0);
  return [...found].map(([kernel, own]) => ({ kernel, ...own, share: own.ms / total }))
    .sort((a, b) => b.ms - a.ms).slice(0, named);
}

/** Values of kernels that tell a user something: what a product multiplies, and in which format. */
const telling = ["LAYOUT", "DTYPE", "TM", "TN"];

function describe({ name, values }: DispatchTime): string {
  const said = (values: ShaderValues) => telling.filter((key) => key in values).map((key) => values[key]);
  return [name, ...said(values)].join(" ").toLowerCase();
}
