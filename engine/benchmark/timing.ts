/** Timing: enough repeats that a sample outlasts the fence's 10 ms quantum, and the median of several samples. */
import type { Plan } from "../gpu/plan.ts";

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

/** GPU milliseconds of one of `runs` runs of a plan by its own clock; undefined where the adapter has no timestamps. */
export async function gpuTime(plan: Plan, runs: number): Promise<number | undefined> {
  const { gpu } = plan;
  const { device } = gpu;
  if (!device.features.has("timestamp-query")) return undefined;
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = device.createBuffer({
    size: 16,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const stamps = gpu.tensor([4], "timestamps");
  // Empty passes before the first run and after the last but one: a pass per dispatch would cost more than small kernels.
  plan.run(runs + 1, (encoder, time) => {
    if (time > 0 && time < runs) return;
    const beginningOfPassWriteIndex = time === 0 ? 0 : 1;
    encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex } }).end();
    if (time === 0) return;
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, stamps.handle, 0, 16);
  });
  const [from, to] = new BigUint64Array(await gpu.readBytes(stamps));
  gpu.free(stamps);
  querySet.destroy();
  resolved.destroy();
  return to! > from! ? Number(to! - from!) / 1e6 / runs : undefined;
}

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}
