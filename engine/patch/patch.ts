/**
 * Patches: the sparse weight delta that an update made. Per changed matrix of the checkpoint, `NAME.rows` (I32 [R]) and
 * `NAME.delta` (F32 [R, I]); the amplified row is base + delta in float32, so applying is exact and can be undone.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError, NonFiniteError } from "../errors.ts";
import { sha256OfFile, writeJson } from "../files.ts";
import { readJsonObject } from "../json_objects.ts";
import { readCard } from "./patch_card.ts";
import type { Model } from "../model/model.ts";
import {
  readTensors,
  SafetensorsFile,
  safetensorsPieces,
  type TensorToWrite,
  writeSafetensors,
} from "../checkpoint/checkpoint.ts";
import { partsOf } from "../model/weights.ts";
import { readRows, type Weight, writeRows } from "../ops/weight.ts";
import { overlayRows, readBaseRows } from "../circuit/overlay.ts";

/** Changed rows of one matrix of the checkpoint. */
export interface PatchTensor {
  /** The parameter's name in the checkpoint. */
  readonly name: string;
  /** Changed rows [R], ascending. */
  readonly rows: Int32Array<ArrayBuffer>;
  /** [R, columns] */
  readonly delta: Float32Array<ArrayBuffer>;
  /** Width of a row. */
  readonly columns: number;
}

/** Formats of patch files: the second hashes base rows by sorted names, the first in the order of the file. */
export const patchFormats = ["circuit-amp-patch-1", "circuit-amp-patch-2"] as const;

/** A patch and the fingerprint of the rows it was made for. */
export interface Patch {
  /** Per changed matrix. */
  readonly tensors: readonly PatchTensor[];
  /** SHA-256 of the base values of all changed rows (baseFingerprint). */
  readonly base_sha256: string;
  /** What `base_sha256` follows; default the newest. */
  readonly format?: typeof patchFormats[number];
}

const fileName = "patch.safetensors";

/** The tensors of a patch in the order in which their base rows are hashed. */
export function inHashOrder({ tensors, format }: Pick<Patch, "tensors" | "format">): readonly PatchTensor[] {
  if (format === "circuit-amp-patch-1") return tensors;
  return [...tensors].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** SHA-256 in hexadecimal of the base values of a patch's rows: [R, I] in float32 per tensor, in `inHashOrder`. */
export function baseFingerprint(
  patch: Pick<Patch, "tensors" | "format">,
  baseOf: (tensor: PatchTensor) => Float32Array<ArrayBuffer>,
): string {
  const hash = createHash("sha256");
  for (const tensor of inHashOrder(patch)) {
    const base = baseOf(tensor);
    hash.update(new Uint8Array(base.buffer, base.byteOffset, base.byteLength));
  }
  return hash.digest("hex");
}

/** Base and delta [R, I] of some rows to the values that take their place. */
export type RowChange = (tensor: PatchTensor, base: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer>;

/** The amplified rows: base + delta in float32; where delta is zero the base keeps its bits, even of a negative zero. */
export const addDelta: RowChange = ({ delta }, base) =>
  base.map((value, i) => delta[i] === 0 ? value : value + delta[i]!);

/** The matrices of a model that can carry a patch, with their parts' names in the checkpoint. */
function patchable(model: Model): { weight: Weight; parts: ReturnType<typeof partsOf> }[] {
  return model.weights.layers.flatMap((layer, l) =>
    (["qkv", "output", "gateUp", "down"] as const).map((matrix) => ({
      weight: layer[matrix],
      parts: partsOf(model.config, l, matrix),
    }))
  );
}

/**
 * The patch of the model's present overlays. Overlaid values become exactly base + delta (a change in the last bit at
 * most), so that what is measured afterwards is what the patch reproduces.
 *
 * @example What an update changed
 * ```ts
 * import { extractPatch, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * console.log((await extractPatch(model)).tensors.length); // 0: nothing yet
 * ```
 */
export async function extractPatch(model: Model): Promise<Patch> {
  const tensors: PatchTensor[] = [];
  const bases = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { weight, parts } of patchable(model)) {
    if (!weight.overlay) continue;
    const { rows, chunks } = weight.overlay;
    const { columns } = weight;
    const base = await readBaseRows(model, weight, rows);
    const now = await readRows(model.gpu, chunks);
    const delta = now.map((value, i) => value - base[i]!);
    const values = base.map((value, i) => value + delta[i]!);
    if (weight.overlay.kept) overlayRows(model, weight, rows, values);
    else {
      writeRows(model.gpu, chunks, values);
      model.weightsChanged();
    }
    for (const { name, firstRow, rows: count } of parts) {
      const inside = [...rows.keys()].filter((r) => rows[r]! >= firstRow && rows[r]! < firstRow + count);
      if (inside.length === 0) continue;
      // Rows are ascending, so those of one part lie together.
      const [from, to] = [inside[0]! * columns, (inside.at(-1)! + 1) * columns];
      tensors.push({
        name,
        rows: Int32Array.from(inside, (r) => rows[r]! - firstRow),
        delta: delta.slice(from, to),
        columns,
      });
      bases.set(name, base.subarray(from, to));
    }
  }
  return { tensors, base_sha256: baseFingerprint({ tensors }, ({ name }) => bases.get(name)!) };
}

/** Rows of a matrix of a model under a patch; values are [R, I] on the host. */
export interface PatchedRows {
  /** The matrix on the GPU. */
  readonly weight: Weight;
  /** Ascending row numbers in it. */
  readonly rows: Uint32Array<ArrayBuffer>;
  /** The checkpoint's values. */
  readonly base: Float32Array<ArrayBuffer>;
  /** The patch's. */
  readonly delta: Float32Array<ArrayBuffer>;
  /** What takes the base's place. */
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * What a patch puts over the matrices of a model.
 * @throws {InputError} when the patch was made for other weights, or makes a value infinite.
 */
export async function planPatch(
  model: Model,
  patch: Patch,
  change: RowChange = addDelta,
): Promise<PatchedRows[]> {
  const known = new Set(patchable(model).flatMap(({ parts }) => parts.map(({ name }) => name)));
  const stranger = patch.tensors.find(({ name }) => !known.has(name));
  if (stranger) {
    throw new InputError(`The patch changes ${stranger.name}, which ${model.directory} does not have.`);
  }
  const planned: PatchedRows[] = [];
  const bases = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { weight, parts } of patchable(model)) {
    const own = parts.flatMap((part) => {
      const tensor = patch.tensors.find(({ name }) => name === part.name);
      return tensor ? [{ part, tensor }] : [];
    });
    if (own.length === 0) continue;
    for (const { part, tensor } of own) {
      const bad = tensor.rows.find((row, r) =>
        row < 0 || row >= part.rows || (r > 0 && row <= tensor.rows[r - 1]!)
      );
      if (bad !== undefined || tensor.columns !== weight.columns) {
        throw new InputError(
          `The patch of ${tensor.name} does not fit its shape [${part.rows}, ${weight.columns}].`,
        );
      }
    }
    const rows = Uint32Array.from(
      own.flatMap(({ part, tensor }) => [...tensor.rows].map((row) => part.firstRow + row)),
    );
    const base = await readBaseRows(model, weight, rows);
    const [values, delta] = [new Float32Array(base.length), new Float32Array(base.length)];
    let at = 0;
    for (const { tensor } of own) {
      const before = base.subarray(at, at + tensor.delta.length);
      bases.set(tensor.name, before);
      values.set(change(tensor, before), at);
      delta.set(tensor.delta, at);
      at += tensor.delta.length;
    }
    planned.push({ weight, rows, base, delta, values });
  }
  if (baseFingerprint(patch, ({ name }) => bases.get(name)!) !== patch.base_sha256) {
    throw new InputError(
      `The patch was made for other weights than those in ${model.directory}; use its own model.`,
    );
  }
  planned.forEach(({ weight, values }) => requireFinite(weight, values));
  return planned;
}

/** Throws NonFiniteError for patched rows that float32 cannot hold. */
export function requireFinite({ name }: Weight, values: Float32Array) {
  if (values.every(Number.isFinite)) return;
  throw new NonFiniteError(`The patch makes ${name} infinite; write the patch again.`);
}

/**
 * Overlays the model with base + delta, or with what `change` makes of them.
 *
 * @throws {InputError} when the patch was made for other weights.
 *
 * @example Put a patch into a model and take it out
 * ```ts
 * import { applyPatch, extractPatch, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * await applyPatch(model, await extractPatch(model));
 * model.revert();
 * ```
 */
export async function applyPatch(model: Model, patch: Patch, change: RowChange = addDelta): Promise<void> {
  const planned = await planPatch(model, patch, change);
  model.revert();
  for (const { weight, rows, values } of planned) overlayRows(model, weight, rows, values);
}

/**
 * Writes patch.safetensors and patch.json into a folder; `card` holds what a reader should know about the patch.
 *
 * @example Save a patch
 * ```ts
 * import { extractPatch, Gpu, Model, writePatch } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * await writePatch(await Deno.makeTempDir(), await extractPatch(model), { step: 0 });
 * ```
 */
export async function writePatch(
  directory: string,
  patch: Patch,
  card: Record<string, unknown>,
): Promise<void> {
  const { tensors, metadata } = fileContents(patch);
  await writeSafetensors(join(directory, fileName), tensors, metadata);
  const json = {
    format: metadata.format,
    base_sha256: patch.base_sha256,
    rows: Object.fromEntries(patch.tensors.map(({ name, rows }) => [name, rows.length])),
    values: patch.tensors.reduce((sum, { delta }) => sum + delta.length, 0),
    ...card,
    sha256: await sha256OfFile(join(directory, fileName)),
  };
  await writeJson(join(directory, "patch.json"), json);
}

/** What patch.safetensors holds of a patch. */
function fileContents(patch: Patch) {
  const tensors: Record<string, TensorToWrite> = {};
  for (const { name, rows, delta, columns } of patch.tensors) {
    tensors[`${name}.rows`] = { dtype: "I32", shape: [rows.length], data: rows };
    tensors[`${name}.delta`] = { dtype: "F32", shape: [rows.length, columns], data: delta };
  }
  const format = patch.format ?? patchFormats.at(-1)!;
  return { tensors, metadata: { format, base_sha256: patch.base_sha256 } };
}

/** SHA-256 in hexadecimal of the patch.safetensors that writePatch writes: what tells patches apart. */
export function patchSha256(patch: Patch): string {
  const { tensors, metadata } = fileContents(patch);
  const hash = createHash("sha256");
  for (const piece of safetensorsPieces(tensors, metadata)) hash.update(piece);
  return hash.digest("hex");
}

const metadataSchema = z.object({ format: z.enum(patchFormats), base_sha256: z.string() });

/** Why a folder holds no patch: a finished run may have none, or the run has not come that far. */
async function whyNoPatch(directory: string): Promise<string> {
  const update = await readJsonObject(join(directory, "update.json"));
  if (update?.best_step === 0) {
    return `The run in "${directory}" left no patch: no step of its update beat the unchanged model in validation.`;
  }
  const isRun = await Deno.stat(join(directory, "config.json")).then(() => true, () => false);
  return isRun
    ? `"${directory}" holds no ${fileName}: it is no run that has finished its update; start amplify on it again, or name another.`
    : `"${directory}" holds no ${fileName}; name the folder of a run or of an exported patch.`;
}

/** Makes sure that a patch's file is the one that its patch.json was written with. */
async function requireUndamaged(directory: string) {
  const file = join(directory, fileName);
  const isThere = await Deno.stat(file).then(() => true, (error) => !(error instanceof Deno.errors.NotFound));
  if (!isThere) throw new InputError(await whyNoPatch(directory));
  const { sha256 } = await readCard(directory); // earlier versions wrote no hash
  if (sha256 === undefined || !await Deno.stat(file).then(({ isFile }) => isFile, () => false)) return;
  if (sha256 === await sha256OfFile(file)) return;
  throw new InputError(`"${file}" is not what its patch.json was written with; write the patch again.`);
}

/**
 * Reads a patch from its folder or its safetensors file.
 *
 * @throws {InputError} for anything else, and for a folder whose file was changed after it was written.
 *
 * @example Save a patch and read it
 * ```ts
 * import { extractPatch, Gpu, Model, readPatch, writePatch } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const folder = await Deno.makeTempDir();
 * await writePatch(folder, await extractPatch(model), { step: 0 });
 * console.log((await readPatch(folder)).tensors.length);
 * ```
 */
export async function readPatch(path: string): Promise<Patch> {
  const isFolder = await Deno.stat(path).then((info) => info.isDirectory, () => false);
  const file = isFolder ? join(path, fileName) : path;
  if (isFolder) await requireUndamaged(path);
  const metadata = await (async () => {
    using opened = await SafetensorsFile.open(file);
    return metadataSchema.safeParse(opened.metadata);
  })();
  if (!metadata.success) {
    throw new InputError(
      `${file} is no patch of this program (its metadata lacks "${patchFormats.at(-1)}").`,
    );
  }
  const stored = await readTensors(file);
  const tensors = [...stored.keys()].filter((key) => key.endsWith(".rows")).map((key): PatchTensor => {
    const name = key.slice(0, -".rows".length);
    const rows = stored.get(key)!.data;
    const delta = stored.get(`${name}.delta`);
    if (
      !(rows instanceof Int32Array) || !(delta?.data instanceof Float32Array) ||
      delta.shape[0] !== rows.length
    ) {
      throw new InputError(`${file} is damaged: ${name} has no delta for its rows; write the patch again.`);
    }
    if (!delta.data.every(Number.isFinite)) {
      throw new InputError(`${file} is damaged: ${name} holds NaN or infinity; write the patch again.`);
    }
    return { name, rows, delta: delta.data, columns: delta.shape[1] ?? 0 };
  });
  return { tensors, ...metadata.data };
}
