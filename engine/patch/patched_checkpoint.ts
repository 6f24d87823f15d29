/**
 * Checkpoints with a patch in them. Fused, they keep their own types, like any other checkpoint, and 16-bit rows are
 * rounded; applied, their changed matrices are F32, nothing is rounded, and the rows' original values travel along in
 * original_rows.safetensors for the way back. R rows, I columns.
 */
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { z } from "npm:zod@4.6.7";
import { Fusion, type MatrixSurvival, type Survival } from "./fusion.ts";
import { checkFit, forEachBase } from "./base_rows.ts";
import { fusedMetadata, fusedReadme, resultsOfBase, withDtype } from "./fused_card.ts";
import { addDelta, type Patch } from "./patch.ts";
import type { PatchCard } from "./patch_card.ts";
import { InputError } from "../errors.ts";
import { readTextIfThere } from "../json_objects.ts";
import { readHeaderText, rewriteCheckpoint, type RowReplacement } from "../checkpoint/rewrite_checkpoint.ts";
import { narrowFromFloat32, type Rounding } from "../checkpoint/rounding.ts";
import {
  Checkpoint,
  type FloatType,
  readTensors,
  SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from "../checkpoint/checkpoint.ts";

const originalsFile = "original_rows.safetensors";
const format = "circuit-amp-original-rows-1";
const configFile = "config.json";
const readmeFile = "README.md";

/** config.json with the type that changed matrices have, where it names another. */
async function configWith(model: string, dtypes: readonly FloatType[]): Promise<Record<string, string>> {
  const text = await readTextIfThere(join(model, configFile));
  const changed = text && withDtype(text, dtypes);
  return changed === undefined || changed === text ? {} : { [configFile]: changed };
}

/** What fusing left of an update, and out of the copy. */
export interface FuseReport {
  /** Types of the changed matrices. */
  readonly dtype: string;
  /** How values were rounded. */
  readonly rounding: Rounding;
  /** Of stochastic rounding. */
  readonly seed: number;
  /** What rounding left of the whole patch. */
  readonly survives: Survival;
  /** The same by matrix. */
  readonly matrices: readonly MatrixSurvival[];
  /** Files that hold the old weights in another form or results of the unchanged model, and linked folders. */
  readonly left_out: readonly string[];
}

/**
 * Writes a copy of a checkpoint with base + delta in it, in the checkpoint's own types, files and order, with a model card of
 * its own; `card` is the patch's (readCard). Metadata of the files tell patch, step and rounding. Throws InputError for a patch of other weights, a value the type cannot hold, or a target that cannot be used.
 *
 * @example A checkpoint with the patch in it
 * ```ts
 * import { extractPatch, fuseCheckpoint, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const target = `${await Deno.makeTempDir()}/fused`;
 * await fuseCheckpoint("fixtures/gemma2-mini", await extractPatch(model), target);
 * ```
 */
export async function fuseCheckpoint(
  model: string,
  patch: Patch,
  target: string,
  rounding: Rounding = "nearest",
  seed = 0,
  card: PatchCard = {},
): Promise<FuseReport> {
  using checkpoint = await Checkpoint.open(model);
  const fusion = new Fusion(checkpoint, patch, rounding, seed);
  const replacements = new Map<string, RowReplacement>();
  await forEachBase(checkpoint, patch, (tensor, base) => {
    const dtype = fusion.dtypeOf(tensor.name);
    const bytes = narrowFromFloat32(fusion.rows(tensor, base), dtype); // exact: they are rounded already
    replacements.set(tensor.name, { dtype, rows: tensor.rows, bytes });
  });
  const { dtype, survives, matrices } = fusion;
  const report = { dtype, rounding, seed, survives, matrices };
  const readme = await fusedReadme(model, patch, card, report);
  const left_out = await rewriteCheckpoint(checkpoint, target, replacements, {
    omit: [originalsFile, readmeFile],
    leaveOut: resultsOfBase,
    texts: await configWith(model, [...replacements.values()].map(({ dtype }) => dtype)),
    metadata: (had) => fusedMetadata(had, patch, card, fusion.rounds ? rounding : "none", seed),
    finish: (folder) => Deno.writeTextFile(join(folder, readmeFile), readme),
  });
  return { ...report, left_out };
}

/**
 * Writes a copy of a checkpoint with base + delta in it, its changed matrices F32. Returns what was left out;
 * throws like fuseCheckpoint.
 *
 * @example A checkpoint that keeps what it changed
 * ```ts
 * import { extractPatch, Gpu, Model, patchCheckpoint } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const target = `${await Deno.makeTempDir()}/patched`;
 * await patchCheckpoint("fixtures/gemma2-mini", await extractPatch(model), target);
 * ```
 */
export async function patchCheckpoint(model: string, patch: Patch, target: string): Promise<string[]> {
  using checkpoint = await Checkpoint.open(model);
  const originals: Record<string, TensorToWrite> = {};
  const dtypes: Record<string, FloatType> = {};
  const headers: Record<string, string> = {};
  const replacements = new Map<string, RowReplacement>();
  await forEachBase(checkpoint, patch, (tensor, base, info) => {
    const { name, rows, columns } = tensor;
    originals[`${name}.rows`] = { dtype: "I32", shape: [rows.length], data: rows };
    originals[`${name}.base`] = { dtype: "F32", shape: [rows.length, columns], data: base };
    dtypes[name] = info.dtype as FloatType;
    headers[relative(model, info.file)] = "";
    replacements.set(name, { dtype: "F32", rows, bytes: narrowFromFloat32(addDelta(tensor, base), "F32") });
  });
  for (const file of Object.keys(headers)) headers[file] = await readHeaderText(join(model, file));
  const texts = await configWith(model, ["F32"]);
  const config = configFile in texts ? await readTextIfThere(join(model, configFile)) : undefined;
  return await rewriteCheckpoint(checkpoint, target, replacements, {
    omit: [originalsFile],
    texts,
    finish: (folder) => {
      const texts = {
        format,
        dtypes: JSON.stringify(dtypes),
        headers: JSON.stringify(headers),
        ...(config !== undefined && { config }),
      };
      const sha256 = hashOf(originals, texts);
      return writeSafetensors(join(folder, originalsFile), originals, { ...texts, sha256 });
    },
  });
}

/**
 * Writes the original of an applied copy, bit for bit.
 *
 * @throws {InputError} when `patched` is none.
 *
 * @example And back, bit for bit
 * ```ts
 * import { extractPatch, Gpu, Model, patchCheckpoint, revertCheckpoint } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const folder = await Deno.makeTempDir();
 * await patchCheckpoint("fixtures/gemma2-mini", await extractPatch(model), `${folder}/patched`);
 * await revertCheckpoint(`${folder}/patched`, `${folder}/reverted`);
 * ```
 */
export async function revertCheckpoint(patched: string, target: string): Promise<string[]> {
  const path = join(patched, originalsFile);
  const found = await Deno.stat(path).then(() => true, () => false);
  if (!found) {
    throw new InputError(
      `"${patched}" has no ${originalsFile}, so it is no patched model; pass one that patch apply wrote.`,
    );
  }
  const { texts, sha256, dtypes, headers, config } = await readOriginalsMetadata(path);
  const originals = await readTensors(path);
  // Copies of earlier versions have no hash.
  if (sha256 !== undefined && sha256 !== hashOf(Object.fromEntries(originals), texts)) throw damaged(path);
  using checkpoint = await Checkpoint.open(patched);
  const replacements = new Map<string, RowReplacement>();
  for (const [name, dtype] of Object.entries(dtypes)) {
    const [rows, base] = [originals.get(`${name}.rows`)?.data, originals.get(`${name}.base`)?.data];
    if (!(rows instanceof Int32Array) || !(base instanceof Float32Array)) throw damaged(path);
    checkFit(checkpoint, { name, rows, columns: base.length / rows.length });
    replacements.set(name, { dtype, rows, bytes: narrowFromFloat32(base, dtype) });
  }
  return await rewriteCheckpoint(checkpoint, target, replacements, {
    omit: [originalsFile],
    headers,
    ...(config !== undefined && { texts: { [configFile]: config } }),
  });
}

/** SHA-256 in hexadecimal of everything that the way back hangs on. */
function hashOf(
  tensors: Readonly<Record<string, Pick<TensorToWrite, "data">>>,
  texts: Readonly<Record<string, string>>,
): string {
  const hash = createHash("sha256").update(JSON.stringify(Object.entries(texts).sort()));
  for (const name of Object.keys(tensors).sort()) {
    const { buffer, byteOffset, byteLength } = tensors[name]!.data;
    hash.update(`${name}\0${byteLength}\0`).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}

const originalsSchema = z.object({
  sha256: z.string().optional(),
  format: z.literal(format),
  dtypes: z.string().transform((text) => JSON.parse(text)).pipe(
    z.record(z.string(), z.enum(["F32", "F16", "BF16"])),
  ),
  headers: z.string().transform((text) => JSON.parse(text)).pipe(z.record(z.string(), z.string())).default(
    {},
  ),
  config: z.string().optional(),
});

async function readOriginalsMetadata(
  path: string,
): Promise<z.infer<typeof originalsSchema> & { readonly texts: Readonly<Record<string, string>> }> {
  using file = await SafetensorsFile.open(path);
  const { sha256: _, ...texts } = file.metadata;
  try {
    return { ...originalsSchema.parse(file.metadata), texts };
  } catch {
    throw damaged(path);
  }
}

const damaged = (path: string) =>
  new InputError(`"${path}" is damaged, so the original cannot be written back; apply the patch again.`);
