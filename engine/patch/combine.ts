/** Patches made of patches: sums and multiples. R rows, I columns. */
import { InputError } from "../errors.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { forEachBase, readBases } from "./base_rows.ts";
import type { Patch, PatchTensor } from "./patch.ts";

/** Rows of a matrix that several patches change. */
export interface Collision {
  /** The parameter in the checkpoint. */
  readonly name: string;
  /** Ascending. */
  readonly rows: readonly number[];
}

/** The sum of patches, and where they meet. */
export interface MergedPatch {
  /** Made for the same weights. */
  readonly patch: Patch;
  /** Rows that more than one of them changes, whose changes are added. */
  readonly collisions: readonly Collision[];
}

/** The sum of some changes of one matrix: all their rows, changes of the same row added in float32. */
export function sumTensors(tensors: readonly PatchTensor[]): PatchTensor {
  const [{ name, columns }] = tensors as [PatchTensor];
  const rows = Int32Array.from(new Set(tensors.flatMap(({ rows }) => [...rows]))).sort();
  const place = new Map([...rows].map((row, r) => [row, r]));
  const delta = new Float32Array(rows.length * columns);
  for (const tensor of tensors) {
    tensor.rows.forEach((row, r) => {
      const at = place.get(row)! * columns;
      for (let c = 0; c < columns; c++) delta[at + c]! += tensor.delta[r * columns + c]!;
    });
  }
  return { name, rows, delta, columns };
}

/**
 * Adds patches that were all made for the weights of `checkpoint`.
 *
 * @throws {InputError} for a patch of other weights, or a sum that float32 cannot hold.
 *
 * @example Two patches in one
 * ```ts
 * import { Checkpoint, extractPatch, Gpu, mergePatches, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * using checkpoint = await Checkpoint.open(model.directory);
 * const [one, other] = [await extractPatch(model), await extractPatch(model)];
 * console.log((await mergePatches(checkpoint, [one, other])).collisions); // rows that both change
 * ```
 */
export async function mergePatches(checkpoint: Checkpoint, patches: readonly Patch[]): Promise<MergedPatch> {
  for (const patch of patches) await forEachBase(checkpoint, patch);
  const byName = Map.groupBy(patches.flatMap(({ tensors }) => tensors), ({ name }) => name);
  const tensors = [...byName.values()].map(sumTensors);
  tensors.forEach(requireFinite);
  const collisions = [...byName].flatMap(([name, own]) => {
    const times = Map.groupBy(own.flatMap(({ rows }) => [...rows]), (row) => row);
    const rows = [...times].filter(([, { length }]) => length > 1).map(([row]) => row).sort((a, b) => a - b);
    return rows.length > 0 ? [{ name, rows }] : [];
  });
  return { patch: { tensors, base_sha256: await readBases(checkpoint, { tensors }) }, collisions };
}

/**
 * The patch with all changes multiplied, in float32.
 *
 * @throws {InputError} for a factor that is 0 or not finite, or changes that float32 cannot hold.
 *
 * @example Half a patch
 * ```ts
 * import { extractPatch, Gpu, Model, scalePatch } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const half = scalePatch(await extractPatch(model), 0.5);
 * ```
 */
export function scalePatch(patch: Patch, factor: number): Patch {
  if (!Number.isFinite(factor) || factor === 0) {
    throw new InputError(`Factor ${factor} is not a finite number other than 0.`);
  }
  const tensors = patch.tensors.map((tensor) => ({
    ...tensor,
    delta: tensor.delta.map((value) => value * factor),
  }));
  tensors.forEach(requireFinite);
  return { ...patch, tensors };
}

function requireFinite({ name, rows, delta, columns }: PatchTensor) {
  const bad = delta.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new InputError(
    `The change of row ${rows[Math.floor(bad / columns)]} of ${name} becomes larger than float32 holds.`,
  );
}
