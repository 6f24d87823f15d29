/** Which kernel variant and tile an adapter and shape class get. Tests force every one of them. */
import { int64Feature } from "../gpu/device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Plan } from "../gpu/plan.ts";

/**
 * `parallel`: one workgroup a row, for GPUs. `serial`: one thread a row, registers only, for software Vulkan.
 * `broadcast`: serial, and lanes of a subgroup hand each other what they loaded.
 */
export type Variant = "parallel" | "serial" | "broadcast";

/** The three products by what they are called with; `nt` and `nn` as in the shaders. */
export type Layout = "nt" | "nn";

/**
 * One way to multiply. `register`: WX × WY threads, each with TM rows and TN columns (quads of columns for nn in quads).
 * `tiled`: 16 × 16 threads and workgroup memory. `split`: WX threads share a sum (nt only). `broadcast`: 8 threads that
 * hand each other the left operand; TN counts columns for nt too, in fours.
 */
export interface Tile {
  /** Which of the kernels. */
  readonly kernel: "register" | "tiled" | "split" | "broadcast";
  /** Workgroup width. */
  readonly WX: number;
  /** Workgroup height. */
  readonly WY: number;
  /** Rows of results a thread. */
  readonly TM: number;
  /** Columns of results a thread. */
  readonly TN: number;
}

/** Chooses one of the candidates for a product, or leaves the choice to the tuning. */
export type TileChoice = (candidates: readonly Tile[]) => Tile | undefined;

const forcedVariants = new WeakMap<Gpu, Variant>();
const forcedTiles = new WeakMap<Gpu, TileChoice>();

/**
 * Makes every operator on this device use one variant (undefined: choose by adapter again). For tests and benchmarks.
 *
 * @example Run the kernels that GPUs get, wherever this runs
 * ```ts
 * import { Gpu } from "../../mod.ts";
 * import { forceVariant } from "../../engine/benchmark/mod.ts";
 *
 * using gpu = await Gpu.open();
 * forceVariant(gpu, "parallel");
 * ```
 */
export function forceVariant(gpu: Gpu, variant: Variant | undefined) {
  if (variant) forcedVariants.set(gpu, variant);
  else forcedVariants.delete(gpu);
}

/** Makes every product on this device choose by `choose` (undefined: as tuned). For tests and tuning. */
export function forceTile(gpu: Gpu, choose: TileChoice | undefined) {
  if (choose) forcedTiles.set(gpu, choose);
  else forcedTiles.delete(gpu);
}

/** The variant this adapter gets: llvmpipe runs invocations as SIMD lanes and pays dearly for loads and barriers. */
export function variantFor(gpu: Gpu): Variant {
  return forcedVariants.get(gpu) ??
    (!gpu.isSoftware ? "parallel" : canBroadcast(gpu) ? "broadcast" : "serial");
}

/** Every variant that this adapter can run. */
export function variantsFor(gpu: Gpu): Variant[] {
  return canBroadcast(gpu) ? ["serial", "parallel", "broadcast"] : ["serial", "parallel"];
}

/** Whether a workgroup of 8 is one subgroup, as on llvmpipe. */
export function canBroadcast({ adapter, device }: Gpu): boolean {
  const info = adapter.info as GPUAdapterInfo & { subgroupMinSize?: number; subgroupMaxSize?: number };
  return device.features.has("subgroups") && info.subgroupMinSize === 8 && info.subgroupMaxSize === 8;
}

/**
 * Whether to load 64-bit elements: on llvmpipe, where a load is a loop over lanes and components, they cost no more than
 * 32-bit ones.
 */
export function loadsWide(gpu: Gpu): boolean {
  return variantFor(gpu) === "broadcast" && gpu.device.features.has(int64Feature);
}

/** What one load of a kernel brings where all these sizes, strides and offsets are multiples of 4, and where not. */
export function elementOf(...sizes: readonly number[]): { T: "vec4f" | "f32"; per: 4 | 1 } {
  return sizes.every((size) => size % 4 === 0) ? { T: "vec4f", per: 4 } : { T: "f32", per: 1 };
}

/** What was measured to be best, by shape class; made by engine/ops/tuning.ts. */
export type Tuning = Readonly<Record<string, Tile>>;

const tunings = new WeakMap<Gpu, Tuning>();

/** Makes products on this device follow a tuning; without one the first candidate is taken. */
export function setTuning(gpu: Gpu, tuning: Tuning) {
  tunings.set(gpu, tuning);
}

/** The tuning in force on this device. */
export function tuningOf(gpu: Gpu): Tuning {
  return tunings.get(gpu) ?? {};
}

/** Shapes that share a choice: the layout, how many rows, and whether the walk is in quads. */
export function shapeClass(layout: Layout, m: number, vector: boolean): string {
  const rows = m < 2 ? "1" : m < 16 ? "2-15" : m < 64 ? "16-63" : "64+";
  return `${layout} rows ${rows}${vector ? "" : " scalar"}`;
}

/** Ways worth trying for a product of m rows and n columns (quads of columns for `nn` with `vector`), best guess first. */
export function matmulCandidates(gpu: Gpu, layout: Layout, m: number, n: number, vector: boolean): Tile[] {
  const rows = (most: number) => [16, 8, 4, 2, 1].find((tm) => tm <= most && tm <= Math.max(1, m)) ?? 1;
  const variant = variantFor(gpu);
  if (variant === "broadcast" && vector) {
    const TM = rows(16);
    const quads = TM >= 16 || n <= (layout === "nt" ? 32 : 8) ? 1 : 2;
    return [{ kernel: "broadcast", WX: 8, WY: 1, TM, TN: layout === "nt" ? 4 * quads : quads }];
  }
  if (variant !== "parallel") {
    // Loads dominate, so tiles are as large as registers bear; narrower ones keep all eight lanes busy on few columns.
    const TM = rows(16);
    const columns = TM >= 16 ? 4 : 8;
    const widest = layout === "nn" && vector ? columns / 4 : columns;
    const TN = [8, 4, 2, 1].find((tn) => tn <= widest && tn * 8 <= Math.max(8, n))!;
    return [{ kernel: "register", WX: 8, WY: 1, TM, TN }];
  }
  const few: Tile = { kernel: "register", WX: 64, WY: 1, TM: rows(8), TN: 1 };
  const many: Tile = { kernel: "register", WX: 16, WY: 8, TM: 4, TN: layout === "nt" ? 4 : 1 };
  if (!vector) return m >= 32 ? [many] : [few];
  const tiled = [4, 8].map((T): Tile => ({ kernel: "tiled", WX: 16, WY: 16, TM: T, TN: T }));
  const split = [1, 4].map((TN): Tile => ({ kernel: "split", WX: 64, WY: 1, TM: rows(8), TN }));
  if (m >= 64) return [...tiled, many];
  if (m >= 16) return [tiled[0]!, few, ...(layout === "nt" ? split : [])];
  return layout === "nt" ? [...split, few] : [few];
}

const invariantPlans = new WeakSet<Plan>();

/**
 * Makes every product recorded in `plan` from now on batch-invariant: it gets the kernel that many rows get, however few
 * there are, so that a row's result is the same to the last bit whatever is computed beside it.
 */
export function makeBatchInvariant(plan: Plan) {
  invariantPlans.add(plan);
}

/**
 * How many rows a product of `m` rows in this plan is to be matched with. Kernels for few and for many rows add in another
 * order on GPUs; those of software Vulkan differ in their tiles alone.
 */
export function rowsToMatch(plan: Plan, m: number): number {
  return invariantPlans.has(plan) && variantFor(plan.gpu) === "parallel" ? Math.max(m, 64) : m;
}

/** The way to multiply m rows by n columns: as forced, else as tuned, else the first candidate. */
export function matmulTile(gpu: Gpu, layout: Layout, m: number, n: number, vector = false): Tile {
  const candidates = matmulCandidates(gpu, layout, m, n, vector);
  const chosen = forcedTiles.get(gpu)?.(candidates);
  if (chosen) return chosen;
  const tuned = tuningOf(gpu)[shapeClass(layout, m, vector)];
  return candidates.find((tile) => tuned && tile.kernel === tuned.kernel && tile.TN === tuned.TN) ??
    candidates[0]!;
}
