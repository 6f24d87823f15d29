/**
 * Checkpoints with a patch in them: a copy whose changed matrices are F32, so that no update is lost to rounding, and
 * the way back. The rows' original values travel along in original_rows.safetensors.
 */
import { join } from "node:path";
import type { Patch } from "../circuit/patch.ts";
import { fingerprint } from "../circuit/patch.ts";
import { InputError } from "../errors.ts";
import { type Replacement, rewriteCheckpoint } from "../model/rewrite_checkpoint.ts";
import {
  Checkpoint,
  type FloatType,
  readTensors,
  SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from "../model/safetensors.ts";

const originalsFile = "original_rows.safetensors";
const format = "circuit-amp-original-rows-1";

/** Writes a copy of a checkpoint with base + delta in it. Throws InputError for a patch of other weights. */
export async function patchCheckpoint(model: string, patch: Patch, target: string): Promise<void> {
  using checkpoint = await Checkpoint.open(model);
  const originals: Record<string, TensorToWrite> = {};
  const dtypes: Record<string, string> = {};
  const bases: Float32Array<ArrayBuffer>[] = [];
  const replacements = new Map<string, Replacement>();
  for (const { name, rows, delta, columns } of patch.tensors) {
    const info = checkpoint.tensor(name);
    if (!info || info.shape[1] !== columns || rows.some((row) => row < 0 || row >= info.shape[0]!)) {
      throw new InputError(
        `The patch of ${name} does not fit the model in ${model}; use the model it was made for.`,
      );
    }
    const data = await checkpoint.readFloat32(name);
    const base = new Float32Array(delta.length);
    rows.forEach((row, r) => {
      for (let c = 0; c < columns; c++) {
        const value = data[row * columns + c]!;
        base[r * columns + c] = value;
        data[row * columns + c] = value + delta[r * columns + c]!;
      }
    });
    bases.push(base);
    originals[`${name}.rows`] = { dtype: "I32", shape: [rows.length], data: rows };
    originals[`${name}.base`] = { dtype: "F32", shape: [rows.length, columns], data: base };
    dtypes[name] = info.dtype;
    replacements.set(name, { dtype: "F32", bytes: new Uint8Array(data.buffer) });
  }
  if (await fingerprint(bases) !== patch.base_sha256) {
    throw new InputError(`The patch was made for other weights than those in ${model}; use its own model.`);
  }
  await rewriteCheckpoint(model, target, replacements);
  await writeSafetensors(join(target, originalsFile), originals, { format, dtypes: JSON.stringify(dtypes) });
}

/** Writes the original of a patched copy, bit for bit. Throws InputError when `patched` is none. */
export async function revertCheckpoint(patched: string, target: string): Promise<void> {
  const path = join(patched, originalsFile);
  const found = await Deno.stat(path).then(() => true, () => false);
  if (!found) {
    throw new InputError(
      `"${patched}" has no ${originalsFile}, so it is no patched model; pass one that patch apply wrote.`,
    );
  }
  const dtypes = await (async () => {
    using file = await SafetensorsFile.open(path);
    return JSON.parse(file.metadata.dtypes ?? "{}") as Record<string, FloatType>;
  })();
  const originals = await readTensors(path);
  using checkpoint = await Checkpoint.open(patched);
  const replacements = new Map<string, Replacement>();
  for (const [name, dtype] of Object.entries(dtypes)) {
    const data = await checkpoint.readFloat32(name);
    const base = originals.get(`${name}.base`)!;
    const columns = base.shape[1]!;
    originals.get(`${name}.rows`)!.data.forEach((row, r) => {
      data.set(base.data.subarray(r * columns, (r + 1) * columns) as Float32Array, row * columns);
    });
    replacements.set(name, { dtype, bytes: narrow(data, dtype) });
  }
  await rewriteCheckpoint(patched, target, replacements, [originalsFile]);
}

/** Values that came from a dtype back to it, exactly. */
function narrow(data: Float32Array<ArrayBuffer>, dtype: FloatType): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(data.buffer);
  if (dtype === "F16") return new Uint8Array(new Float16Array(data).buffer);
  return new Uint8Array(Uint16Array.from(new Uint32Array(data.buffer), (bits) => bits >>> 16).buffer);
}
