/** What a patch changes, in numbers; and copies of a patch alone. R rows, I columns. */
import { requireWritable } from "../files.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { type Patch, readPatch, writePatch } from "./patch.ts";
import { type PatchCard, readCard } from "./patch_card.ts";
import { type PatchedComponent, patchedComponents } from "./patched_components.ts";

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
  /** Euclidean norm of the whole change. */
  readonly norm: number;
  /** Per changed matrix. */
  readonly matrices: readonly PatchedMatrix[];
  /** Heads and neurons that the rows belong to, where the model's configuration is known. */
  readonly components?: readonly PatchedComponent[];
}

/**
 * See PatchInfo; `config` is that of the patch's model.
 *
 * @example What a patch changes
 * ```ts
 * import { extractPatch, Gpu, Model, patchInfo } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * console.log(patchInfo(await extractPatch(model), model.config).components);
 * ```
 */
export function patchInfo(
  { base_sha256, tensors }: Patch,
  config?: Pick<ModelConfig, "headWidth">,
): PatchInfo {
  const matrices = tensors.map(({ name, rows, columns, delta }) => ({
    name,
    rows: [...rows],
    columns,
    norm: Math.sqrt(delta.reduce((sum, value) => sum + value * value, 0)),
  }));
  return {
    base_sha256,
    values: tensors.reduce((sum, { delta }) => sum + delta.length, 0),
    norm: Math.hypot(...matrices.map(({ norm }) => norm)),
    matrices,
    ...(config && { components: patchedComponents(config, tensors) }),
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
  const card = await ownFields(source);
  await requireWritable(target);
  await writePatch(target, patch, card);
}

/** What a patch's card says beside what the patch itself says, which writePatch writes anew. */
export async function ownFields(source: string): Promise<PatchCard> {
  const { format: _, base_sha256: __, rows: ___, values: ____, sha256: _____, ...own } = await readCard(
    source,
  );
  return own;
}
