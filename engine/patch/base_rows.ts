/** The checkpoint's own values of a patch's rows, and whether they are those it was made for. R rows, I columns. */
import { createHash } from "node:crypto";
import { InputError } from "../errors.ts";
import { rowRuns } from "../checkpoint/rewrite_checkpoint.ts";
import {
  type Checkpoint,
  type FloatType,
  isFloat,
  type TensorInfo,
  widenToFloat32,
  wrongType,
} from "../checkpoint/checkpoint.ts";
import { inHashOrder, type Patch, type PatchTensor } from "./patch.ts";

/** Told of the checkpoint's values [R, I] of a matrix's changed rows. */
export type UseBase = (tensor: PatchTensor, base: Float32Array<ArrayBuffer>, info: TensorInfo) => void;

/** Hands over the checkpoint's values, matrix by matrix; returns their fingerprint. @throws {InputError} for rows that do not fit. */
export async function readBases(
  checkpoint: Checkpoint,
  patch: Pick<Patch, "tensors" | "format">,
  use: UseBase = () => {},
): Promise<string> {
  const hash = createHash("sha256"); // as baseFingerprint, but with one matrix in memory at a time
  for (const tensor of inHashOrder(patch)) {
    const info = checkFit(checkpoint, tensor);
    const { rows, columns } = tensor;
    const base = new Float32Array(rows.length * columns);
    for (const { at, first, count } of rowRuns(rows)) {
      const raw = await checkpoint.readRaw(info, first * columns, count * columns);
      base.set(widenToFloat32(raw, info.dtype as FloatType), at * columns);
    }
    hash.update(new Uint8Array(base.buffer));
    use(tensor, base, info);
  }
  return hash.digest("hex");
}

/** Hands over the checkpoint's values [R, I] of the patch's rows, matrix by matrix; throws InputError if they differ. */
export async function forEachBase(
  checkpoint: Checkpoint,
  patch: Patch,
  use?: UseBase,
): Promise<void> {
  if (await readBases(checkpoint, patch, use) !== patch.base_sha256) {
    throw new InputError(
      `The patch was made for other weights than those in ${checkpoint.dir}; use its own model.`,
    );
  }
}

/** The matrix that rows belong to. Throws InputError when they do not fit it. */
export function checkFit(
  checkpoint: Checkpoint,
  { name, rows, columns }: Pick<PatchTensor, "name" | "rows" | "columns">,
): TensorInfo {
  const info = checkpoint.tensor(name);
  const fits = info?.shape.length === 2 && info.shape[1] === columns &&
    rows.every((row, r) => row >= 0 && row < info.shape[0]! && (r === 0 || row > rows[r - 1]!));
  if (!info || !fits) {
    throw new InputError(
      `The patch of ${name} does not fit the model in ${checkpoint.dir}; use the model it was made for.`,
    );
  }
  if (!isFloat(info.dtype)) throw wrongType(info);
  return info;
}
