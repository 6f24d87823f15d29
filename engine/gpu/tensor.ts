/** What a buffer is for: the parts that memory is planned and reported in. */
export const memoryParts = [
  "weights",
  "cache",
  "activations",
  "logits",
  "mask",
  "rows",
  "gradients",
  "moments",
] as const;

/** See memoryParts; activations are whatever is none of the others. */
export type MemoryPart = typeof memoryParts[number];

/** A shaped run of 4-byte elements in a GPU buffer. The buffer may be larger: sizes are rounded up for pooling. */
export class Tensor {
  /** True once given back to the pool. */
  freed = false;

  /** `scalar` is what the elements are, where that is known; kernels that declare another are refused. */
  constructor(
    readonly handle: GPUBuffer,
    readonly shape: readonly number[],
    readonly label: string,
    public scalar?: "f32" | "u32" | "i32",
    readonly part: MemoryPart = "activations",
  ) {}

  /** Number of elements of the shape. */
  get elements(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }
}
