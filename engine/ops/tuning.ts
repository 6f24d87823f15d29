/**
 * Measures which way to multiply suits this adapter, once, and keeps the answer in the user's cache folder. Only shape
 * classes with several candidates are measured; software Vulkan has one for each and needs no tuning.
 */
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { writeJson } from "../files.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import { seededRandom } from "../random.ts";
import { shaders } from "./kernels.ts";
import { linear, linearBackward } from "./matmul.ts";
import {
  forceTile,
  type Layout,
  matmulCandidates,
  setTuning,
  shapeClass,
  type Tile,
  type Tuning,
} from "./variants.ts";

/** Rows that stand for each shape class. */
const rowsToMeasure: Readonly<Record<Layout, readonly number[]>> = { nt: [1, 8, 32, 512], nn: [8, 32, 512] };
/** Width and depth of the products measured: a layer of a small language model. */
const layerSize = 2048;
const shortestMs = 20;

const tileSchema = z.object({
  kernel: z.enum(["register", "tiled", "split", "broadcast"]),
  WX: z.int(),
  WY: z.int(),
  TM: z.int(),
  TN: z.int(),
});
const fileSchema = z.object({
  key: z.string(),
  tuning: z.record(z.string(), tileSchema),
});

/**
 * Puts the tuning of this adapter in force, from the cache folder if it is there, else measured and stored. Products of
 * `size` outputs and inputs stand for a model's; without a folder every process measures for itself.
 *
 * @example Choose kernels before anything is timed
 * ```ts
 * import { Gpu, tune } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * console.log(await tune(gpu)); // {} where there is no choice
 * ```
 */
export async function tune(
  gpu: Gpu,
  folder: string | undefined = cacheFolder(),
  size: number = layerSize,
): Promise<Tuning> {
  const slug = gpu.adapterName.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const path = folder && join(folder, `tuning-${slug}.json`);
  const key = tuningKey(gpu, size);
  const stored = path && await readTuning(path, key);
  const tuning = stored || await measureTuning(gpu, size);
  if (!stored && path && Object.keys(tuning).length > 0) {
    // A folder that cannot be written only means measuring again next time.
    await Deno.mkdir(folder, { recursive: true })
      .then(() => writeJson(path, { key, tuning }))
      .catch(() => {});
  }
  setTuning(gpu, tuning);
  return tuning;
}

const tuned = new WeakMap<Gpu, Promise<Tuning>>();

/** Tunes a Gpu once, however often it is asked to; whoever loads a model asks. */
export function tuneOnce(gpu: Gpu): Promise<Tuning> {
  const known = tuned.get(gpu) ?? tune(gpu);
  tuned.set(gpu, known);
  return known;
}

/** Times every candidate of every shape class and keeps the fastest. */
export async function measureTuning(gpu: Gpu, size = layerSize): Promise<Tuning> {
  const tuning: Record<string, Tile> = {};
  for (const layout of ["nt", "nn"] as const) {
    for (const m of rowsToMeasure[layout]) {
      const candidates = matmulCandidates(gpu, layout, m, layout === "nn" ? size / 4 : size, true);
      if (candidates.length < 2) continue;
      const times: number[] = [];
      for (const tile of candidates) times.push(await timeTile(gpu, layout, m, size, tile));
      tuning[shapeClass(layout, m, true)] = candidates[times.indexOf(Math.min(...times))]!;
    }
  }
  return tuning;
}

/** Milliseconds of one product in this tile, the best of three measurements. */
async function timeTile(gpu: Gpu, layout: Layout, m: number, size: number, tile: Tile): Promise<number> {
  // Values as products have them: zeros, denormals and NaN of uninitialised memory can cost other times.
  const random = seededRandom("tuning");
  const values = (count: number) => Float32Array.from({ length: count }, () => random() - 0.5);
  const x = gpu.upload(values(m * size), [m, size], "tuning input");
  const y = gpu.tensor([m, size], "tuning output");
  const matrix = gpu.upload(values(size * size), [size, size], "tuning weight");
  const weight = {
    name: "tuning weight",
    rows: size,
    columns: size,
    storage: "f32" as const,
    chunks: [{ tensor: matrix, firstRow: 0, rows: size }],
  };
  try {
    using plan = new Plan(gpu, "tuning");
    forceTile(gpu, () => tile);
    if (layout === "nt") linear(plan, x, weight, y);
    else linearBackward(plan, x, weight, y);
    forceTile(gpu, undefined);
    plan.run();
    await gpu.fence();
    let best = Infinity;
    for (let repeats = 1, measured = 0; measured < 3;) {
      const start = performance.now();
      plan.run(repeats);
      await gpu.fence();
      const elapsed = performance.now() - start;
      if (elapsed < shortestMs && repeats < 4096) {
        repeats *= 4;
        continue;
      }
      best = Math.min(best, elapsed / repeats);
      measured++;
    }
    return best;
  } finally {
    forceTile(gpu, undefined);
    [x, y, matrix].forEach((tensor) => gpu.free(tensor));
  }
}

/** What a measurement holds for: these shaders on this adapter and, as software adapters run on it, this processor. */
export function tuningKey(gpu: Gpu, size: number): string {
  const hash = createHash("sha256");
  for (const [name, text] of Object.entries(shaders)) if (/^(matmul|weights)/.test(name)) hash.update(text);
  return [hash.digest("hex").slice(0, 16), gpu.adapterName, processor(), size].join(" | ");
}

/** The processor's name, where this process may know it. */
function processor(): string {
  if (Deno.permissions.querySync({ name: "sys", kind: "cpus" }).state !== "granted") return Deno.build.arch;
  try {
    return cpus()[0]?.model ?? Deno.build.arch;
  } catch {
    return Deno.build.arch;
  }
}

async function readTuning(path: string, key: string): Promise<Tuning | undefined> {
  try {
    const file = fileSchema.parse(JSON.parse(await Deno.readTextFile(path)));
    if (file.key === key) return file.tuning;
  } catch {
    // Missing, damaged or of an earlier form: measure again.
  }
  return undefined;
}

/** Where measurements are kept; undefined where this process may not know or write it, and asks nobody. */
function cacheFolder(): string | undefined {
  if (Deno.permissions.querySync({ name: "env" }).state !== "granted") {
    const names = ["HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"];
    const known = (variable: string) =>
      Deno.permissions.querySync({ name: "env", variable }).state === "granted";
    if (!names.every(known)) return undefined;
  }
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? Deno.env.get("LOCALAPPDATA") ??
    (home && join(home, ".cache"));
  const folder = cache && join(cache, "circuit-amp");
  const allowed = (name: "read" | "write") =>
    Deno.permissions.querySync({ name, path: folder! }).state === "granted";
  return folder && allowed("read") && allowed("write") ? folder : undefined;
}
