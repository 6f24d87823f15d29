/** The device: acquisition, buffers, pipelines, submission. Knows nothing of models. All buffers hold 4-byte elements. */
import { DeviceError, DeviceLostError } from "../errors.ts";
import { acquireDevice, describeAdapter } from "./device.ts";
import { DeviceWatch } from "./device_watch.ts";
import { expandKernel, type Kernel } from "./shader.ts";
import { mebibytes, sizeClass } from "./sizes.ts";
import { type MemoryPart, Tensor } from "./tensor.ts";

/** Bytes and buffers held on the GPU now, and the most ever held. Pooled, currently unused buffers count as idle. */
export interface MemoryUse {
  /** Bytes of tensors. */
  liveBytes: number;
  /** Number of their buffers. */
  liveBuffers: number;
  /** Most bytes of tensors at once so far. */
  peakBytes: number;
  /** Bytes of freed buffers that are kept for reuse. */
  idleBytes: number;
}

/** How a buffer is made and accounted for. */
export interface TensorOptions {
  /** What it is for; default activations. */
  readonly part?: MemoryPart;
  /** Save the rounding that lets pooled buffers fit again: for what lives as long as its model. */
  readonly exact?: boolean;
}

/** How to open the device. */
export interface OpenOptions {
  /** Most bytes in one buffer of what can be split by rows, where the adapter allows more; tests force splitting by it. */
  readonly splitBytes?: number;
}

/** Most bytes of unused buffers that are kept for reuse; what is above goes back at the next fence or readback. */
export const idleLimit = 256 * 2 ** 20;

/** An open WebGPU device. One per process is usual; `close()` or `using` gives everything back. */
export class Gpu implements Disposable {
  /** What it holds now. */
  readonly memory: MemoryUse = { liveBytes: 0, liveBuffers: 0, peakBytes: 0, idleBytes: 0 };
  /** Dispatches submitted so far. */
  dispatches = 0;
  /** Command buffers submitted so far. */
  submits = 0;
  /** Readbacks so far, each of which waits for the GPU. */
  readbacks = 0;
  /**
   * Told how many dispatches of a submission are done, while it runs, on software adapters: there one can take minutes. What it
   * costs is a submit every fraction of a second.
   */
  onWork: ((done: number, of: number) => void) | undefined;
  /** Told the name of each kernel before it is compiled, which on a software adapter can take a second. */
  onCompile: ((name: string) => void) | undefined;
  /** Milliseconds the host spent recording and submitting so far. */
  hostMs = 0;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly idle = new Map<number, GPUBuffer[]>();
  private readonly staging = new Map<number, GPUBuffer[]>();
  private own = new WeakSet<GPUBuffer>();
  private watch: DeviceWatch;
  private closed = false;
  private readonly attempts: Tensor[][] = [];

  /** See Gpu.open. */
  protected constructor(
    private currentAdapter: GPUAdapter,
    private currentDevice: GPUDevice,
    private readonly options: OpenOptions = {},
  ) {
    this.watch = this.watched(currentDevice);
  }

  /**
   * Opens the adapter the system prefers, with its full limits and those optional features it has.
   * Throws NoAdapterError when there is none.
   */
  static async open(options: OpenOptions = {}): Promise<Gpu> {
    const { adapter, device } = await acquireDevice();
    return new Gpu(adapter, device, options);
  }

  /** What it was opened on, or renewed on. */
  get adapter(): GPUAdapter {
    return this.currentAdapter;
  }

  /** The device in use. */
  get device(): GPUDevice {
    return this.currentDevice;
  }

  /** Whether the device was lost. To be asked after anything failed. */
  lost(): Promise<boolean> {
    return this.watch.lost();
  }

  /**
   * Opens a fresh device in place of one that was lost. What was made on that one is gone: tensors and plans may be freed but
   * are of no use any more.
   *
   * Throws NoAdapterError when there is none.
   */
  async renew() {
    this.watch.end();
    this.device.destroy();
    for (const cache of [this.pipelines, this.idle, this.staging]) cache.clear();
    this.own = new WeakSet();
    Object.assign(this.memory, { liveBytes: 0, liveBuffers: 0, idleBytes: 0 });
    const { adapter, device } = await acquireDevice();
    [this.currentAdapter, this.currentDevice] = [adapter, device];
    this.watch = this.watched(device);
  }

  /** Listens to what becomes of a device. */
  private watched(device: GPUDevice): DeviceWatch {
    return new DeviceWatch(
      device,
      () =>
        `The GPU ran out of memory with ${
          mebibytes(this.memory.liveBytes)
        } in use; try a smaller batch or model.`,
    );
  }

  /** The adapter in words, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)". */
  get adapterName(): string {
    return describeAdapter(this.adapter);
  }

  /** True for a CPU rasterizer such as llvmpipe, which wants other kernel variants than a GPU. */
  get isSoftware(): boolean {
    return /llvmpipe|swiftshader|software/i.test(this.adapterName);
  }

  /**
   * Whether the adapter is reached through OpenGL, which WebGPU does not say: its name may, and it has neither subgroups nor
   * storage textures of BGRA, which Vulkan, Metal and D3D12 all have. It is slow, and only used where Vulkan is missing.
   */
  get isOpenGL(): boolean {
    const { description, vendor, architecture, device } = this.adapter.info;
    return /opengl|\bgles?\b/i.test([description, vendor, architecture, device].join(" ")) ||
      (!this.device.features.has("subgroups") && !this.adapter.features.has("bgra8unorm-storage"));
  }

  /** Bytes that one buffer can hold and one binding can show: what a tensor may take. A multiple of 256. */
  get bindingBytes(): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    return Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 256) * 256;
  }

  /** Bytes that one buffer may take of what is split by rows: weights, their gradients, logits, caches. */
  get splitBytes(): number {
    return Math.min(this.bindingBytes, this.options.splitBytes ?? Infinity);
  }

  /**
   * A tensor of the given shape, from the pool if it has one; its contents are undefined. Free it with `free`.
   *
   * Throws DeviceError where it exceeds one buffer of this adapter.
   */
  tensor(shape: readonly number[], label: string, { exact = false, part }: TensorOptions = {}): Tensor {
    if (this.closed) this.check();
    const needed = Math.ceil(Math.max(1, shape.reduce((a, b) => a * b, 1)) / 64) * 256;
    if (needed > this.bindingBytes) this.refuse(shape, label, needed);
    const bytes = exact ? needed : Math.max(needed, Math.min(sizeClass(needed), this.bindingBytes));
    let handle = this.idle.get(bytes)?.pop();
    if (handle) {
      this.memory.idleBytes -= bytes;
    } else {
      handle = this.device.createBuffer({
        size: bytes,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC |
          GPUBufferUsage.INDIRECT,
        label,
      });
      this.own.add(handle);
    }
    this.memory.liveBytes += bytes;
    this.memory.liveBuffers++;
    this.memory.peakBytes = Math.max(this.memory.peakBytes, this.memory.liveBytes);
    const tensor = new Tensor(handle, shape, label, undefined, part);
    this.attempts.forEach((made) => made.push(tensor));
    return tensor;
  }

  /**
   * For a constructor or other synchronous function that makes several tensors: `using attempt = gpu.attempt()` at its
   * beginning and `attempt.succeeded()` at its end. Where it throws in between, the tensors made since are freed.
   */
  attempt(): Disposable & { succeeded(): void } {
    const made: Tensor[] = [];
    this.attempts.push(made);
    const end = () => {
      const at = this.attempts.indexOf(made);
      if (at >= 0) this.attempts.splice(at, 1);
      return at >= 0;
    };
    return {
      succeeded: end,
      [Symbol.dispose]: () => {
        if (end()) made.forEach((tensor) => tensor.freed || this.free(tensor));
      },
    };
  }

  /** Ends an attempt to make a tensor that exceeds one buffer. */
  protected refuse(shape: readonly number[], label: string, bytes: number) {
    throw new DeviceError(
      `${label} [${shape}] needs ${mebibytes(bytes)} in one buffer; this adapter allows ${
        mebibytes(this.bindingBytes)
      }.`,
    );
  }

  /** Gives a tensor back to the pool; later work on the queue may reuse its memory, earlier work is unaffected. */
  free(tensor: Tensor) {
    if (tensor.freed) throw new Error(`${tensor.label} was freed twice.`);
    tensor.freed = true;
    if (this.closed || !this.own.has(tensor.handle)) return; // went with its device
    const bytes = tensor.handle.size;
    this.memory.liveBytes -= bytes;
    this.memory.liveBuffers--;
    this.memory.idleBytes += bytes;
    keep(this.idle, bytes, tensor.handle);
  }

  /** Destroys pooled buffers nobody uses, once the queue has drained. */
  async trim() {
    await this.fence();
    this.shrinkPool(0);
  }

  /** Destroys pooled buffers, largest first, until at most `most` bytes of them are left; the queue must have drained. */
  private shrinkPool(most: number) {
    if (this.memory.idleBytes <= most) return;
    for (const bytes of [...this.idle.keys()].sort((a, b) => b - a)) {
      const pool = this.idle.get(bytes)!;
      while (this.memory.idleBytes > most && pool.length > 0) {
        pool.pop()!.destroy();
        this.memory.idleBytes -= bytes;
      }
      if (pool.length === 0) this.idle.delete(bytes);
    }
  }

  /** A new tensor holding `data`. */
  upload(
    data: Float32Array | Uint32Array | Int32Array,
    shape: readonly number[],
    label: string,
    options: TensorOptions = {},
  ): Tensor {
    const tensor = this.tensor(shape, label, options);
    tensor.scalar = data instanceof Float32Array ? "f32" : data instanceof Uint32Array ? "u32" : "i32";
    this.write(tensor, data);
    return tensor;
  }

  /** Writes `data` at element `offset`; ordered before anything submitted later. */
  write(tensor: Tensor, data: Float32Array | Uint32Array | Int32Array, offset = 0) {
    if (this.closed) this.check();
    if (data.length === 0) return;
    this.device.queue.writeBuffer(tensor.handle, offset * 4, data as Float32Array<ArrayBuffer>);
  }

  /** Copies the first `count` elements of `source` to element `offset` of `target`, in the order of submission. */
  copy(source: Tensor, target: Tensor, offset = 0, count = source.elements) {
    if (this.closed) this.check();
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source.handle, 0, target.handle, offset * 4, count * 4);
    this.device.queue.submit([encoder.finish()]);
    this.submits++;
  }

  /**
   * Reads elements [from, from + count), by default all from `from` on, once everything submitted before has run. In pieces
   * where a buffer to map would exceed what the adapter allows.
   *
   * Throws DeviceError where the device failed.
   */
  async readBytes(
    tensor: Tensor,
    from: number = 0,
    count: number = tensor.elements - from,
  ): Promise<ArrayBuffer> {
    const most = Math.floor(this.device.limits.maxBufferSize / 4);
    if (count <= most) return await this.readPiece(tensor, from, count);
    const all = new Uint8Array(4 * count);
    for (let at = 0; at < count; at += most) {
      const piece = await this.readPiece(tensor, from + at, Math.min(most, count - at));
      all.set(new Uint8Array(piece), 4 * at);
    }
    return all.buffer;
  }

  /** Reads a part of a tensor that fits one readback buffer. */
  private async readPiece(tensor: Tensor, from: number, count: number): Promise<ArrayBuffer> {
    this.check();
    const size = Math.min(sizeClass(count * 4), this.device.limits.maxBufferSize);
    const staging = this.staging.get(size)?.pop() ??
      this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(tensor.handle, from * 4, staging, 0, count * 4);
    this.device.queue.submit([encoder.finish()]);
    this.submits++;
    this.readbacks++;
    const { watch } = this;
    let copy: ArrayBuffer;
    try {
      await watch.orLost(staging.mapAsync(GPUMapMode.READ, 0, count * 4));
      copy = staging.getMappedRange(0, count * 4).slice(0);
      staging.unmap();
    } catch (error) {
      await watch.lost();
      if (watch.failure) throw watch.failure;
      const why = (error as Error).message.replace(/[.\s]+$/, "");
      throw new DeviceError(`Reading ${tensor.label} back failed (${why}).`, { cause: error });
    }
    if (watch !== this.watch) throw new DeviceLostError("The GPU device was lost while it was read.");
    keep(this.staging, size, staging);
    this.shrinkPool(idleLimit);
    this.check();
    return copy;
  }

  /** readBytes as float32. */
  async read(tensor: Tensor, from?: number, count?: number): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.readBytes(tensor, from, count));
  }

  /** readBytes as uint32. */
  async readU32(tensor: Tensor, from?: number, count?: number): Promise<Uint32Array<ArrayBuffer>> {
    return new Uint32Array(await this.readBytes(tensor, from, count));
  }

  /** Waits until everything submitted has run; throws DeviceError for what failed meanwhile. */
  async fence() {
    if (this.closed) this.check();
    await this.watch.orLost(this.device.queue.onSubmittedWorkDone());
    this.shrinkPool(idleLimit);
    this.check();
  }

  /** Throws the first failure the device reported, if any, and DeviceError after `close`. */
  check() {
    if (this.watch.failure) throw this.watch.failure;
    if (this.closed) throw new DeviceError("This Gpu was closed; open another one.");
  }

  /** The compiled pipeline of a specialised kernel, compiled on first use. */
  pipeline(kernel: Kernel): GPUComputePipeline {
    if (this.closed) this.check();
    const { key, code } = expandKernel(kernel);
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      this.onCompile?.(key);
      const module = this.device.createShaderModule({ code, label: key });
      pipeline = this.device.createComputePipeline({
        label: key,
        layout: "auto",
        compute: { module, entryPoint: "main" },
      });
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /** Names of the pipelines compiled so far. */
  get compiled(): string[] {
    return [...this.pipelines.keys()];
  }

  /** Gives the device back. Tensors of this Gpu are invalid afterwards. */
  close() {
    if (this.closed) return;
    this.closed = true;
    this.watch.end();
    for (const pools of [this.idle, this.staging]) {
      for (const pool of pools.values()) pool.forEach((buffer) => buffer.destroy());
      pools.clear();
    }
    this.device.destroy();
  }

  /** Frees everything on the device and closes it; whatever is used afterwards is refused. */
  [Symbol.dispose]() {
    this.close();
  }
}

/** Puts a buffer into the pool of its size. */
function keep(pools: Map<number, GPUBuffer[]>, size: number, buffer: GPUBuffer) {
  const pool = pools.get(size);
  if (pool) pool.push(buffer);
  else pools.set(size, [buffer]);
}
