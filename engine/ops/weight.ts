/** Weight matrices on the GPU: stored f32, f16 or bf16, split by rows where a binding cannot hold them, some rows overlaid in f32. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../gpu/tensor.ts";

/** How a weight's elements are stored on the GPU; arithmetic is always f32. */
export type Storage = "f32" | "f16" | "bf16";

/** Consecutive rows of a matrix in one buffer. */
export interface RowChunk {
  readonly tensor: Tensor;
  readonly firstRow: number;
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
  /** f32 [R, columns]. */
  readonly values: Tensor;
}

/** A matrix [rows, columns], row-major as in the checkpoint ([outputs, inputs] for a linear layer). */
export interface Weight {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly storage: Storage;
  readonly chunks: readonly RowChunk[];
  overlay?: RowOverlay | undefined;
}

/** Bytes per element of a storage format. */
export const bytesOf = (storage: Storage): number => storage === "f32" ? 4 : 2;

/** Frees a weight's buffers, overlay included. */
export function freeWeight(gpu: Gpu, weight: Weight) {
  for (const chunk of weight.chunks) gpu.free(chunk.tensor);
  freeOverlay(gpu, weight);
}

/** Drops a weight's overlay, if any: the base rows count again. */
export function freeOverlay(gpu: Gpu, weight: Weight) {
  if (!weight.overlay) return;
  gpu.free(weight.overlay.index);
  gpu.free(weight.overlay.values);
  weight.overlay = undefined;
}
