/**
 * A Gpu without a device behind it: buffers have sizes but no contents, dispatches do nothing and what is read back is
 * zero. The engine's own stages run on it in no time and tell what they would hold.
 */
import { Gpu, type TensorOptions } from "./gpu.ts";
import type { MemoryPart, Tensor } from "./tensor.ts";

/** The limits of an adapter that sizes depend on, in bytes. */
export interface BufferLimits {
  /** Bytes of the largest buffer. */
  readonly maxBufferSize: number;
  /** Bytes of the largest binding. */
  readonly maxStorageBufferBindingSize: number;
}

/** A buffer by what it is for and its bytes. */
export interface SizedBuffer {
  /** What it is for. */
  readonly label: string;
  /** Of the tensor. */
  readonly shape: readonly number[];
  /** Its size. */
  readonly bytes: number;
}

/** See file comment. */
export class SizingGpu extends Gpu {
  /** Largest buffer asked for since `startStage`. */
  largest: SizedBuffer = { label: "nothing", shape: [0], bytes: 0 };
  /** Buffers asked for that exceed one binding, by label. */
  readonly excessive = new Map<string, SizedBuffer>();
  /** Per part, bytes held now and the most held since `startStage`. */
  private readonly held = new Map<MemoryPart, number>();
  private readonly most = new Map<MemoryPart, number>();

  /** `software` sizes for the variants of software Vulkan. */
  constructor(readonly limits: BufferLimits, software: boolean) {
    super(adapterOf(software), deviceOf(limits));
  }

  /** Counts peaks anew from what is held now. */
  startStage() {
    this.memory.peakBytes = this.memory.liveBytes;
    this.largest = { label: "nothing", shape: [0], bytes: 0 };
    this.excessive.clear();
    this.most.clear();
    for (const [part, bytes] of this.held) this.most.set(part, bytes);
  }

  /** Most bytes of each part held at any time since `startStage`. */
  get parts(): ReadonlyMap<MemoryPart, number> {
    return this.most;
  }

  override tensor(shape: readonly number[], label: string, options?: TensorOptions): Tensor {
    const tensor = super.tensor(shape, label, options);
    const bytes = tensor.handle.size;
    if (bytes > this.largest.bytes) this.largest = { label, shape, bytes };
    this.hold(tensor.part, bytes);
    return tensor;
  }

  override pipeline(): GPUComputePipeline {
    return noPipeline;
  }

  override free(tensor: Tensor) {
    super.free(tensor);
    this.hold(tensor.part, -tensor.handle.size);
  }

  /** Notes what would be refused and goes on, so that a plan can state the rest too. */
  protected override refuse(shape: readonly number[], label: string, bytes: number) {
    this.excessive.set(label, { label, shape, bytes });
  }

  private hold(part: MemoryPart, bytes: number) {
    const held = (this.held.get(part) ?? 0) + bytes;
    this.held.set(part, held);
    this.most.set(part, Math.max(held, this.most.get(part) ?? 0));
  }
}

function adapterOf(software: boolean): GPUAdapter {
  return { info: { description: software ? "software without a device" : "no device" } } as GPUAdapter;
}

const noPipeline = { getBindGroupLayout: () => ({}) } as unknown as GPUComputePipeline;

/** The methods of a device that Gpu and Plan call, doing nothing. */
function deviceOf(limits: BufferLimits): GPUDevice {
  const nothing = () => {};
  const pass = {
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: nothing,
    dispatchWorkgroupsIndirect: nothing,
    end: nothing,
  };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: nothing,
    finish: () => ({}),
  };
  const device = {
    // llvmpipe's threads a workgroup; on GPUs no kernel asks.
    limits: { maxComputeInvocationsPerWorkgroup: 1024, ...limits, minUniformBufferOffsetAlignment: 256 },
    features: new Set<string>(),
    lost: new Promise<never>(nothing),
    addEventListener: nothing,
    destroy: nothing,
    queue: { submit: nothing, writeBuffer: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    createCommandEncoder: () => encoder,
    createBindGroup: () => ({}),
    createBuffer: ({ size }: GPUBufferDescriptor) => ({
      size,
      destroy: nothing,
      mapAsync: () => Promise.resolve(),
      getMappedRange: (_offset: number, size: number) => new ArrayBuffer(size),
      unmap: nothing,
    }),
  };
  return device as unknown as GPUDevice;
}
