/** What this adapter reaches at best: multiply-adds in registers, and copying. Everything else is a share of these. */
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import { kernel } from "../ops/kernels.ts";
import type { BenchResult } from "./result.ts";
import { type Effort, measure, runAndWait, type Timing } from "./timing.ts";

/** Measured ceilings in GFLOP/s and GB/s (bytes read plus bytes written), and the measurements behind them. */
export interface Ceilings {
  readonly gflops: number;
  readonly gbps: number;
  readonly results: readonly BenchResult[];
}

const bufferCopy = "buffer copy";

/**
 * Share of the ceilings that work of so many operations and bytes reaches in `ms`. A measured ceiling is the best of a few
 * kernels, not a law: what is faster than it (out of a cache, say) has reached all of it.
 */
export function shareOf({ gflops, gbps }: Ceilings, flops: number, bytes: number, ms: number): number {
  return Math.min(1, Math.max(flops / gflops, bytes / gbps) / 1e6 / ms);
}

/** Measures both ceilings: the best of a few shapes of each kernel, since adapters differ in what they like. */
export async function measureCeilings(gpu: Gpu, effort: Effort): Promise<Ceilings> {
  const results: BenchResult[] = [];
  const time = async (record: (plan: Plan) => void) => {
    using plan = new Plan(gpu, "ceiling");
    record(plan);
    return await measure(effort, (repeats) => runAndWait(plan, repeats));
  };
  const threads = gpu.isSoftware ? 2 ** 14 : 2 ** 20;
  const turns = gpu.isSoftware ? 128 : 1024;
  const sums = gpu.tensor([threads], "ceiling sums");
  for (const [TYPE, CHAINS] of [["f32", 16], ["vec4f", 2], ["vec4f", 4], ["vec4f", 8]] as const) {
    const flops = 2 * threads * turns * 4 * CHAINS * (TYPE === "f32" ? 1 : 4);
    const timing = await time((plan) =>
      plan.dispatch(
        kernel("ceiling_fma", { TYPE, CHAINS, WG: 64 }),
        { y: sums },
        { turns, factor: 0.999, term: 0.001 },
        { invocations: threads },
      )
    );
    const variant = `${TYPE} x${CHAINS}`;
    const gflops = flops / 1e6 / timing.ms;
    results.push({
      name: "ceiling-fma",
      shape: `${threads}`,
      variant,
      ...timing,
      gflops,
      adapter: gpu.adapterName,
    });
  }
  gpu.free(sums);
  for (const mib of gpu.isSoftware ? [1, 16] : [16, 128]) {
    const count = mib * 2 ** 16;
    const from = gpu.tensor([4 * count], "ceiling from");
    const to = gpu.tensor([4 * count], "ceiling to");
    const add = (variant: string, timing: Timing) => {
      const gbps = 32 * count / 1e6 / timing.ms;
      results.push({
        name: "ceiling-copy",
        shape: `${mib} MiB`,
        variant,
        ...timing,
        gbps,
        adapter: gpu.adapterName,
      });
    };
    for (const PER of [1, 4]) {
      const timing = await time((plan) =>
        plan.dispatch(
          kernel("ceiling_copy", { PER, WG: 64 }),
          { x: from, y: to },
          { count },
          { invocations: count / PER },
        )
      );
      add(`kernel, ${PER} a thread`, timing);
    }
    const copies = await measure(effort, async (repeats) => {
      for (let i = 0; i < repeats; i++) gpu.copy(from, to);
      await gpu.fence();
    });
    add(bufferCopy, copies);
    [from, to].forEach((buffer) => gpu.free(buffer));
  }
  const best = (values: (number | undefined)[]) => Math.max(...values.map((value) => value ?? 0));
  return {
    gflops: best(results.map(({ gflops }) => gflops)),
    // What the driver copies by itself is for comparison: no kernel gets there on software Vulkan.
    gbps: best(results.map(({ gbps, variant }) => variant === bufferCopy ? 0 : gbps)),
    results,
  };
}
