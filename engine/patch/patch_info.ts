/** What a patch changes, in numbers; and copies of a patch alone. R rows, I columns. */
import { join } from "node:path";
import { requireWritable } from "../files.ts";
import { readJsonObject } from "../json_objects.ts";
import { type Patch, readPatch, writePatch } from "./patch.ts";

/** What a patch changes of one matrix. */
export interface PatchedMatrix {
  /** The parameter in the checkpoint. */
  readonly name: string;
  /** Changed rows [R], ascending. */
  readonly rows: readonly number[];
  /** Width of a row. */
  readonly columns: number;
  /** Euclidean norm of the change. */
  readonly norm: number;
}

/** What a patch changes. */
export interface PatchInfo {
  /** SHA-256 of the base values of all changed rows (baseFingerprint). */
  readonly base_sha256: string;
  /** Number of values in all changed rows. */
  readonly values: number;
  /** Per changed matrix. */
  readonly matrices: readonly PatchedMatrix[];
}

/**
 * See PatchInfo.
 *
 * @example What a patch changes
 * ```ts
 * import { extractPatch, Gpu, Model, patchInfo } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * console.log(patchInfo(await extractPatch(model)).values);
 * ```
 */
export function patchInfo({ base_sha256, tensors }: Patch): PatchInfo {
  return {
    base_sha256,
    values: tensors.reduce((sum, { delta }) => sum + delta.length, 0),
    matrices: tensors.map(({ name, rows, columns, delta }) => ({
      name,
      rows: [...rows],
      columns,
      norm: Math.sqrt(delta.reduce((sum, value) => sum + value * value, 0)),
    })),
  };
}

/**
 * Copies a patch and its card from a run folder (or a patch file, then without card) to `target`.
 *
 * @throws {InputError} for a source that is no patch, a card that is no JSON object, or a target that cannot be written.
 *
 * @example Hand a patch on
 * ```ts
 * import { exportPatch, extractPatch, Gpu, Model, writePatch } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const folder = await Deno.makeTempDir();
 * await writePatch(folder, await extractPatch(model), { step: 0 });
 * await exportPatch(folder, `${folder}/copy`);
 * ```
 */
export async function exportPatch(source: string, target: string): Promise<void> {
  const patch = await readPatch(source);
  // What the patch itself says is written anew.
  const { format: _, base_sha256: __, rows: ___, values: ____, ...card } =
    await readJsonObject(join(source, "patch.json")) ?? {};
  await requireWritable(target);
  await writePatch(target, patch, card);
}
