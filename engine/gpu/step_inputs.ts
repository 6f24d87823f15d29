/** Inputs of many replays of a plan, uploaded together, so that one submit can run many steps with their own data. */
import type { Gpu } from "./gpu.ts";
import type { Tensor } from "./tensor.ts";

/** For each target tensor the contents it is to have in each of up to `capacity` steps. */
export class StepInputs implements Disposable {
  private readonly staged: Tensor[];
  private readonly images: Uint32Array<ArrayBuffer>[];
  private filled = 0;

  constructor(
    private readonly gpu: Gpu,
    private readonly targets: readonly Tensor[],
    readonly capacity: number,
  ) {
    this.staged = targets.map(({ elements, label }) =>
      gpu.tensor([capacity, elements], `${label} of ${capacity} steps`)
    );
    this.images = targets.map(({ elements }) => new Uint32Array(capacity * elements));
  }

  /** Number of steps added since the last upload. */
  get length(): number {
    return this.filled;
  }

  /** Adds one step: an array per target, of its size. */
  add(contents: readonly (Uint32Array | Float32Array)[]) {
    contents.forEach((data, t) => {
      const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
      this.images[t]!.set(bits, this.filled * this.targets[t]!.elements);
    });
    this.filled++;
  }

  /** Uploads what was added; returns what copies step i's inputs into place, for Plan.run, and starts over. */
  upload(): (encoder: GPUCommandEncoder, step: number) => void {
    this.images.forEach((image, t) => {
      this.gpu.write(this.staged[t]!, image.subarray(0, this.filled * this.targets[t]!.elements));
    });
    this.filled = 0;
    return (encoder, step) =>
      this.targets.forEach(({ handle, elements }, t) => {
        encoder.copyBufferToBuffer(this.staged[t]!.handle, step * elements * 4, handle, 0, elements * 4);
      });
  }

  [Symbol.dispose]() {
    this.staged.forEach((tensor) => this.gpu.free(tensor));
  }
}
