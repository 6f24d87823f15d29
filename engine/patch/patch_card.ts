/** What patch.json says of the patch beside it: the model it was made for, and how. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";

const cardFile = "patch.json";

const cardSchema = z.looseObject({
  model: z.string().optional(),
  commit: z.string().optional(),
  step: z.number().optional(),
  scale: z.number().optional(),
  sha256: z.string().optional(),
});

/** Fields of patch.json that are read again; it may have others, for people. */
export interface PatchCard {
  /** The model's folder or Hugging Face id. */
  readonly model?: string | undefined;
  /** The commit of the id. */
  readonly commit?: string | undefined;
  /** The update's step. */
  readonly step?: number | undefined;
  /** What the deltas were multiplied by since. */
  readonly scale?: number | undefined;
  /** SHA-256 of patch.safetensors. */
  readonly sha256?: string | undefined;
  /** Whatever else it holds. */
  readonly [field: string]: unknown;
}

/**
 * The card of a patch in a folder; empty for a patch.safetensors alone.
 *
 * @throws {InputError} for a card that is no JSON object or has fields of other types.
 *
 * @example Which model a patch is for
 * ```ts
 * import { extractPatch, Gpu, Model, readCard, writePatch } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const folder = await Deno.makeTempDir();
 * await writePatch(folder, await extractPatch(model), { model: model.directory });
 * console.log((await readCard(folder)).model); // fixtures/gemma2-mini
 * ```
 */
export async function readCard(path: string): Promise<PatchCard> {
  const file = join(path, cardFile);
  const card = cardSchema.safeParse(await readJsonObject(file) ?? {});
  if (card.success) return card.data;
  throw new InputError(`"${file}" is damaged; write the patch again.`);
}
