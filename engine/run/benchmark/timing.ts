/** Timing: enough repeats that a sample outlasts the fence's 10 ms quantum, and the median of several samples. */
import type { Plan } from "../../gpu/plan.ts";

/** How long to measure. */
export interface Effort {
  /** Least milliseconds of one sample. */
  readonly sampleMs: number;
  readonly samples: number;
}

/** See Effort. Two samples are all that work of more than two seconds gets. */
export const usual: Effort = { sampleMs: 150, samples: 5 };
export const quick: Effort = { sampleMs: 30, samples: 3 };

/** The median milliseconds of one repeat. */
export interface Timing {
  readonly ms: number;
  readonly repeats: number;
  readonly samples: number;
}

/** Dispatches per submit: enough to keep the GPU busy while the host records the next ones. */
const dispatchesPerSubmit = 512;

/** Times `run(repeats)`, which must end only when the work is done. The first call is not counted: it compiles. */
export async function measure(effort: Effort, run: (repeats: number) => Promise<unknown>): Promise<Timing> {
  const time = async (repeats: number) => {
    const start = performance.now();
    await run(repeats);
    return performance.now() - start;
  };
  await time(1);
  let repeats = 1;
  let first = await time(repeats);
  while (first < effort.sampleMs) {
    repeats = Math.ceil(repeats * Math.min(10, Math.max(1.5, 1.2 * effort.sampleMs / first)));
    first = await time(repeats);
  }
  const samples = [first];
  const wanted = first > 2000 ? 2 : effort.samples;
  while (samples.length < wanted) samples.push(await time(repeats));
  return { ms: median(samples) / repeats, repeats, samples: samples.length };
}

/** Runs a plan `repeats` times in submits of a few hundred dispatches, and waits for it. */
export async function runAndWait(plan: Plan, repeats: number): Promise<void> {
  const each = Math.max(1, Math.floor(dispatchesPerSubmit / plan.length));
  for (let left = repeats; left > 0; left -= each) plan.run(Math.min(left, each));
  await plan.gpu.fence();
}

/** Median GPU milliseconds of one run of a plan by timestamps; undefined where the adapter has none. */
export async function gpuTime(plan: Plan, runs = 3): Promise<number | undefined> {
  const totals: number[] = [];
  for (let i = 0; i < runs; i++) {
    const times = await plan.profile();
    if (!times) return undefined;
    totals.push(times.reduce((sum, { ms }) => sum + ms, 0));
  }
  return median(totals);
}

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}
