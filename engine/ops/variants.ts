/** Which kernel variant and tile an adapter and shape class get. Tests force every variant through `forceVariant`. */
import type { Gpu } from "../gpu/gpu.ts";

/**
 * `parallel`: one workgroup a row, for GPUs. `serial`: one thread a row, registers only, for software Vulkan.
 * `broadcast`: serial, and lanes of a subgroup hand each other what they loaded.
 */
export type Variant = "parallel" | "serial" | "broadcast";

/** A register tile: workgroup of WX × WY threads, each with TM rows and TN columns (or quads of columns). */
export interface Tile {
  readonly WX: number;
  readonly WY: number;
  readonly TM: number;
  readonly TN: number;
}

let forced: Variant | undefined;

/** Makes every operator use one variant (undefined: choose by adapter again). For tests and benchmarks. */
export function forceVariant(variant: Variant | undefined) {
  forced = variant;
}

/** The variant this adapter gets: llvmpipe runs invocations as SIMD lanes and pays dearly for loads and barriers. */
export function variantFor(gpu: Gpu): Variant {
  return forced ?? (!gpu.isSoftware ? "parallel" : canBroadcast(gpu) ? "broadcast" : "serial");
}

/** Whether a workgroup of 8 is one subgroup, as on llvmpipe. */
export function canBroadcast({ adapter, device }: Gpu): boolean {
  const info = adapter.info as GPUAdapterInfo & { subgroupMinSize?: number; subgroupMaxSize?: number };
  return device.features.has("subgroups") && info.subgroupMinSize === 8 && info.subgroupMaxSize === 8;
}

/** The register tile for a product of m rows and n columns (quads of columns for `nn` with `vector`). */
export function matmulTile(gpu: Gpu, layout: "nt" | "nn", m: number, n: number, vector = false): Tile {
  const rows = (most: number) => [16, 8, 4, 2, 1].find((tm) => tm <= most && tm <= Math.max(1, m)) ?? 1;
  if (variantFor(gpu) !== "parallel") {
    // Loads dominate, so tiles are as large as registers bear; narrower ones keep all eight lanes busy on few columns.
    const TM = rows(16);
    const columns = TM >= 16 ? 4 : 8;
    const widest = layout === "nn" && vector ? columns / 4 : columns;
    const TN = [8, 4, 2, 1].find((tn) => tn <= widest && tn * 8 <= Math.max(8, n))!;
    return { WX: 8, WY: 1, TM, TN };
  }
  const TN = layout === "nt" ? 4 : 1;
  return m >= 32 ? { WX: 16, WY: 8, TM: 4, TN } : { WX: 64, WY: 1, TM: rows(8), TN: 1 };
}
