/** Weight matrices on the GPU: stored f32, f16 or bf16, split by rows where a binding cannot hold them, some rows overlaid in f32. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../gpu/tensor.ts";

/** How a weight's elements are stored on the GPU; arithmetic is always f32. */
export type Storage = "f32" | "f16" | "bf16";

/** Consecutive rows of a matrix in one buffer. */
export interface RowChunk {
  /** [rows, columns] of the matrix. */
  readonly tensor: Tensor;
  /** Number in the matrix of its first row. */
  readonly firstRow: number;
  /** How many rows it holds. */
  readonly rows: number;
}

/**
 * Selected rows held in f32 beside their matrix, taking the place of the base rows. The base keeps its bits, so an
 * overlay can be dropped again, and a small update is not swallowed by a 16-bit format.
 */
export interface RowOverlay {
  /** Row numbers in the matrix, ascending. */
  readonly rows: Uint32Array;
  /** The same on the GPU, u32 [R]. */
  readonly index: Tensor;
  /** f32 [R, columns] in as many buffers as it takes. */
  readonly chunks: readonly OverlayChunk[];
  /** Whether someone keeps it to put it back: dropping it then frees nothing, and nobody writes into it. */
  readonly kept?: boolean;
}

/** Consecutive rows of an overlay; `firstRow` counts overlaid rows. */
export interface OverlayChunk extends RowChunk {
  /** Their row numbers in the matrix, u32 [rows]. */
  readonly index: Tensor;
}

/** The gradient of a matrix or of overlaid rows, in one buffer or by rows in several. */
export type Gradient = Tensor | readonly RowChunk[];

/** A matrix [rows, columns], row-major as in the checkpoint ([outputs, inputs] for a linear layer). */
export interface Weight {
  /** In checkpoints and errors. */
  readonly name: string;
  /** Outputs R. */
  readonly rows: number;
  /** Inputs I. */
  readonly columns: number;
  /** How values are held. */
  readonly storage: Storage;
  /** Its rows, in pieces that fit a binding. */
  readonly chunks: readonly RowChunk[];
  /** Rows that an update or a patch has put over it. */
  overlay?: RowOverlay | undefined;
}

/** Bytes per element of a storage format. */
export const bytesOf = (storage: Storage): number => storage === "f32" ? 4 : 2;

/** Makes the buffers of `rows` rows of `rowBytes` bytes, as few as one binding each allows. */
export function splitRows(
  gpu: Gpu,
  rows: number,
  rowBytes: number,
  make: (rows: number, firstRow: number) => Tensor,
): RowChunk[] {
  const chunkRows = Math.max(1, Math.floor(gpu.splitBytes / rowBytes));
  const chunks: RowChunk[] = [];
  try {
    for (let firstRow = 0; firstRow < rows; firstRow += chunkRows) {
      const count = Math.min(chunkRows, rows - firstRow);
      chunks.push({ tensor: make(count, firstRow), firstRow, rows: count });
    }
  } catch (error) {
    chunks.forEach(({ tensor }) => gpu.free(tensor));
    throw error;
  }
  return chunks;
}

/** The buffers of a gradient with their rows. */
export function chunksOf(gradient: Gradient): readonly RowChunk[] {
  return "shape" in gradient ? [{ tensor: gradient, firstRow: 0, rows: gradient.shape[0]! }] : gradient;
}

/** Reads f32 rows back from their buffers as one array [rows, columns]. */
export async function readRows(gpu: Gpu, rows: Gradient): Promise<Float32Array<ArrayBuffer>> {
  const parts = [];
  for (const { tensor } of chunksOf(rows)) parts.push(await gpu.read(tensor));
  if (parts.length === 1) return parts[0]!;
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Writes f32 rows [rows, columns] to their buffers. */
export function writeRows(gpu: Gpu, rows: Gradient, values: Float32Array) {
  let at = 0;
  for (const { tensor } of chunksOf(rows)) gpu.write(tensor, values.subarray(at, at += tensor.elements));
}

/** Frees a weight's buffers, overlay included. */
export function freeWeight(gpu: Gpu, weight: Weight) {
  for (const chunk of weight.chunks) gpu.free(chunk.tensor);
  freeOverlay(gpu, weight);
}

/** Drops a weight's overlay, if any: the base rows count again. */
export function freeOverlay(gpu: Gpu, weight: Weight) {
  if (weight.overlay && !weight.overlay.kept) freeRows(gpu, weight.overlay);
  weight.overlay = undefined;
}

/** Frees the buffers of an overlay that no weight has any more. */
export function freeRows(gpu: Gpu, { index, chunks }: RowOverlay) {
  gpu.free(index);
  for (const chunk of chunks) {
    if (chunk.index !== index) gpu.free(chunk.index);
    gpu.free(chunk.tensor);
  }
}
