/** A shaped run of 4-byte elements in a GPU buffer. The buffer may be larger: sizes are rounded up for pooling. */
export class Tensor {
  /** True once given back to the pool. */
  freed = false;

  constructor(readonly handle: GPUBuffer, readonly shape: readonly number[], readonly label: string) {}

  /** Number of elements of the shape. */
  get elements(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }
}
