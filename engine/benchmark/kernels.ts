/** Runs kernel cases: checks each against its float64 twin, then times it, on every variant asked for. */
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import {
  canBroadcast,
  forceTile,
  forceVariant,
  type Tile,
  type Variant,
  variantFor,
} from "../ops/variants.ts";
import { type Ceilings, shareOf } from "./ceiling.ts";
import { check, CheckError } from "./check.ts";
import { type KernelCase, Workbench } from "./kernel_case.ts";
import { type Peer, timePeers } from "./peers.ts";
import type { BenchResult } from "./result.ts";
import { type Effort, gpuTime, measure, runAndWait } from "./timing.ts";

/** What kernel benchmarks share. */
export interface KernelOptions {
  readonly effort: Effort;
  readonly ceilings: Ceilings;
  readonly peers: readonly Peer[];
}

/**
 * Checks and times one case: on the adapter's own variant and, with `compare`, on the others it can run and, for
 * products, in every tile they offer. A kernel that is wrong yields a CheckError in place of a result.
 */
export async function* runKernel(
  gpu: Gpu,
  kernel: KernelCase,
  options: KernelOptions,
): AsyncGenerator<BenchResult | CheckError> {
  const { variants, compare } = kernel;
  const preferred = variantFor(gpu);
  // Where an operator has no broadcast kernel, broadcast is serial.
  const own = variants.length === 0 ? undefined : variants.includes(preferred) ? preferred : "serial";
  const measured = async (choice: Choice) => {
    try {
      return await runChoice(gpu, kernel, choice, options);
    } catch (error) {
      if (error instanceof CheckError) return error;
      throw error;
    }
  };
  const others = variants.filter((variant) =>
    variant !== own && (variant !== "broadcast" || canBroadcast(gpu))
  );
  for (const variant of [own, ...(compare ? others : [])]) {
    const choice: Choice = { variant, own: variant === own, offered: [] };
    yield await measured(choice);
    if (!compare || choice.offered.length < 2) continue;
    for (const tile of choice.offered) yield await measured({ variant, tile, own: false, offered: [] });
  }
}

interface Choice {
  readonly variant: Variant | undefined;
  /** The tile to force, default the tuned one. */
  readonly tile?: Tile;
  /** Set while recording: the tiles there are. */
  offered: readonly Tile[];
  /** Whether this adapter uses it: then other libraries are compared with it. */
  readonly own: boolean;
}

async function runChoice(
  gpu: Gpu,
  kernel: KernelCase,
  choice: Choice,
  { effort, ceilings, peers }: KernelOptions,
): Promise<BenchResult> {
  const { variant, tile, own } = choice;
  const way = tile && `${tile.kernel} ${tile.TM}x${tile.TN}`;
  const label = [variant, way, kernel.detail].filter(Boolean).join(" ") || "only";
  forceVariant(gpu, variant);
  forceTile(gpu, (candidates) => {
    choice.offered = candidates;
    return tile && candidates.find((other) => JSON.stringify(other) === JSON.stringify(tile));
  });
  try {
    using bench = new Workbench(gpu);
    const work = kernel.prepare(bench);
    using plan = new Plan(gpu, kernel.name);
    work.record(plan);
    plan.run();
    const what = `${kernel.name} ${kernel.shape} (${label})`;
    let error = 0;
    for (const expectation of work.expectations) {
      error = Math.max(error, await check(gpu, what, expectation));
    }
    const output = own && work.peer && peers.length
      ? await gpu.read(work.expectations[0]!.output)
      : undefined;
    const timing = await measure(effort, (repeats) => runAndWait(plan, repeats));
    const compared = output && await timePeers(what, peers, work.peer!, output, effort, timing.ms);
    // On a GPU the wall clock of small kernels is the host's; on software Vulkan both are the same processor.
    const gpuMs = gpu.isSoftware ? undefined : await gpuTime(plan, Math.min(64, timing.repeats));
    const { flops, bytes } = kernel;
    return {
      name: kernel.name,
      shape: kernel.shape,
      variant: label,
      ...timing,
      ...(flops > 0 && { gflops: flops / 1e6 / timing.ms }),
      gbps: bytes / 1e6 / timing.ms,
      share: shareOf(ceilings, flops, bytes, timing.ms),
      ...(gpuMs !== undefined && { gpu_ms: gpuMs }),
      ...compared,
      error,
      adapter: gpu.adapterName,
    };
  } finally {
    forceVariant(gpu, undefined);
    forceTile(gpu, undefined);
  }
}
