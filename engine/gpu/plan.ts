/** A recorded sequence of dispatches with its uniforms and temporaries: recorded once per shape, replayed at will. */
import type { Gpu, Kernel } from "./gpu.ts";
import { Tensor } from "./tensor.ts";

/** A uniform field that is a float; plain numbers are u32. */
export interface Float {
  readonly float: number;
}

/** Marks a uniform field as f32. */
export const f32 = (value: number): Float => ({ float: value });

/** Workgroup counts, or a tensor holding them as three u32 (for sizes known only on the GPU). */
export type Grid = readonly [number, number?, number?] | { readonly indirect: Tensor };

interface Step {
  readonly kernel: Kernel;
  readonly bindings: readonly Tensor[];
  readonly params: readonly (number | Float)[];
  readonly grid: Grid;
  pipeline?: GPUComputePipeline;
  group?: GPUBindGroup;
}

/** Milliseconds of GPU time of one dispatch. */
export interface DispatchTime {
  readonly name: string;
  readonly ms: number;
}

/** See file comment. Bindings: 0 is the uniform `params`, 1… are the tensors in order. */
export class Plan implements Disposable {
  private readonly steps: Step[] = [];
  private readonly owned: Tensor[] = [];
  private readonly reusable: Tensor[] = [];
  private uniforms: GPUBuffer | undefined;

  constructor(readonly gpu: Gpu, readonly label: string) {}

  /** Number of dispatches recorded. */
  get length(): number {
    return this.steps.length;
  }

  /** A temporary that lives as long as the plan, unless recycled for later steps of it. Contents undefined. */
  temp(shape: readonly number[], label: string): Tensor {
    const elements = shape.reduce((a, b) => a * b, 1);
    let best = -1;
    for (const [i, { handle }] of this.reusable.entries()) {
      // Not more than twice as large as asked, or one big temporary would be pinned by many small uses.
      if (handle.size < elements * 4 || handle.size > Math.max(elements * 8, 4096)) continue;
      if (best < 0 || handle.size < this.reusable[best]!.handle.size) best = i;
    }
    if (best >= 0) return new Tensor(this.reusable.splice(best, 1)[0]!.handle, shape, label);
    const tensor = this.gpu.tensor(shape, label);
    this.owned.push(tensor);
    return tensor;
  }

  /** Declares that no later step needs these temporaries' contents. */
  recycle(...tensors: (Tensor | undefined)[]) {
    for (const tensor of tensors) if (tensor) this.reusable.push(tensor);
  }

  /** Records one dispatch. */
  dispatch(kernel: Kernel, bindings: readonly Tensor[], params: readonly (number | Float)[], grid: Grid) {
    if (this.uniforms) throw new Error(`Plan ${this.label} was already run; record before running.`);
    this.steps.push({ kernel, bindings, params, grid });
  }

  /** Submits all dispatches, `times` times over, in one command buffer; `before` may record copies ahead of each time. */
  run(times = 1, before?: (encoder: GPUCommandEncoder, time: number) => void) {
    const start = performance.now();
    const { device } = this.gpu;
    this.seal();
    const encoder = device.createCommandEncoder({ label: this.label });
    let pass: GPUComputePassEncoder | undefined;
    for (let i = 0; i < times; i++) {
      if (before) {
        pass?.end();
        pass = undefined;
        before(encoder, i);
      }
      pass ??= encoder.beginComputePass({ label: this.label });
      for (const step of this.steps) encode(pass, step);
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
    this.gpu.dispatches += times * this.steps.length;
    this.gpu.hostMs += performance.now() - start;
  }

  /** Runs once with a timestamp around every dispatch; undefined when the adapter has no timestamp queries. */
  async profile(): Promise<DispatchTime[] | undefined> {
    const { device } = this.gpu;
    if (!device.features.has("timestamp-query")) return undefined;
    this.seal();
    const count = this.steps.length * 2;
    const times: DispatchTime[] = [];
    const resolved = this.gpu.tensor([count * 2], "timestamps");
    const querySize = 2048;
    const target = device.createBuffer({
      size: count * 8,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const sets: GPUQuerySet[] = [];
    const encoder = device.createCommandEncoder();
    for (let first = 0; first < count; first += querySize) {
      const size = Math.min(querySize, count - first);
      const querySet = device.createQuerySet({ type: "timestamp", count: size });
      sets.push(querySet);
      for (let i = 0; i < size; i += 2) {
        const pass = encoder.beginComputePass({
          timestampWrites: { querySet, beginningOfPassWriteIndex: i, endOfPassWriteIndex: i + 1 },
        });
        encode(pass, this.steps[(first + i) / 2]!);
        pass.end();
      }
      encoder.resolveQuerySet(querySet, 0, size, target, first * 8);
    }
    encoder.copyBufferToBuffer(target, 0, resolved.handle, 0, count * 8);
    device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await this.gpu.readBytes(resolved));
    this.steps.forEach((step, i) =>
      times.push({ name: step.kernel.name, ms: Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6 })
    );
    target.destroy();
    sets.forEach((set) => set.destroy());
    this.gpu.free(resolved);
    return times;
  }

  /** Frees the temporaries and uniforms. */
  [Symbol.dispose]() {
    for (const tensor of this.owned) this.gpu.free(tensor);
    this.owned.length = 0;
    const { uniforms } = this;
    // The queue may still read the uniforms, so they go behind a fence.
    if (uniforms) this.gpu.device.queue.onSubmittedWorkDone().then(() => uniforms.destroy(), () => {});
    this.steps.length = 0;
  }

  /** Compiles pipelines, writes all uniforms into one buffer and makes the bind groups. */
  private seal() {
    if (this.uniforms) return;
    const { device } = this.gpu;
    const align = device.limits.minUniformBufferOffsetAlignment;
    const sizes = this.steps.map((step) => Math.ceil(Math.max(1, step.params.length) * 4 / 16) * 16);
    const offsets: number[] = [];
    let total = 0;
    for (const size of sizes) {
      offsets.push(total);
      total += Math.ceil(size / align) * align;
    }
    const data = new DataView(new ArrayBuffer(Math.max(16, total)));
    this.steps.forEach((step, i) =>
      step.params.forEach((param, j) => {
        const at = offsets[i]! + j * 4;
        if (typeof param === "number") data.setUint32(at, param, true);
        else data.setFloat32(at, param.float, true);
      })
    );
    this.uniforms = device.createBuffer({
      size: data.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      label: `${this.label} uniforms`,
    });
    device.queue.writeBuffer(this.uniforms, 0, data.buffer);
    this.steps.forEach((step, i) => {
      step.pipeline = this.gpu.pipeline(step.kernel);
      // Whole eights, so that kernels may read and write several neighbours at once; buffers are no shorter.
      const entries: GPUBindGroupEntry[] = step.bindings.map((tensor, b) => ({
        binding: b + 1,
        resource: { buffer: tensor.handle, size: Math.ceil(Math.max(1, tensor.elements) / 8) * 32 },
      }));
      if (step.params.length > 0) {
        entries.push({
          binding: 0,
          resource: { buffer: this.uniforms!, offset: offsets[i]!, size: sizes[i]! },
        });
      }
      step.group = device.createBindGroup({ layout: step.pipeline.getBindGroupLayout(0), entries });
    });
  }
}

function encode(pass: GPUComputePassEncoder, { pipeline, group, grid }: Step) {
  pass.setPipeline(pipeline!);
  pass.setBindGroup(0, group!);
  if ("indirect" in grid) pass.dispatchWorkgroupsIndirect(grid.indirect.handle, 0);
  else pass.dispatchWorkgroups(grid[0], grid[1] ?? 1, grid[2] ?? 1);
}

/** A grid of enough workgroups of `size` for `count` invocations, folded into two dimensions above the limit of 65,535. */
export function linearGrid(count: number, size: number): readonly [number, number] {
  const groups = Math.max(1, Math.ceil(count / size));
  const y = Math.ceil(groups / 65535);
  return [Math.ceil(groups / y), y];
}
