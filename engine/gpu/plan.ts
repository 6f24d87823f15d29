/** A recorded sequence of dispatches with its uniforms and temporaries: recorded once per shape, replayed at will. */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";
import { evaluateIterations } from "./kernel_interface.ts";
import { expandKernel, type Kernel, type ShaderValues } from "./shader.ts";
import { type MemoryPart, Tensor } from "./tensor.ts";

/** Tensors by the names that the kernel's WGSL gives its bindings. */
export type Bindings = Readonly<Record<string, Tensor>>;

/** Numbers by the names of the fields of the kernel's `struct Params`, which also says their types. */
export type Parameters = Readonly<Record<string, number>>;

/**
 * How much of a kernel runs: at least so many invocations, so many workgroups (folded into two dimensions above the limit of
 * 65,535, or by dimension), or as a tensor of three u32 says, for sizes known only on the GPU.
 */
export type Grid =
  | { readonly invocations: number }
  | { readonly workgroups: number | readonly [number, number?, number?] }
  | { readonly indirect: Tensor };

interface Step {
  readonly kernel: Kernel;
  /** In the order of the kernel's bindings. */
  readonly tensors: readonly Tensor[];
  readonly words: Uint32Array<ArrayBuffer>;
  readonly grid: readonly [number, number, number] | { readonly indirect: Tensor };
  pipeline?: GPUComputePipeline;
  group?: GPUBindGroup;
}

/** llvmpipe silently ends all loops of an invocation after so many turns. */
const mostSoftwareIterations = 65535;

/** Milliseconds of GPU time of one dispatch. */
export interface DispatchTime {
  /** Of the kernel. */
  readonly name: string;
  /** What the kernel was specialised with. */
  readonly values: ShaderValues;
  /** Milliseconds of this dispatch. */
  readonly ms: number;
}

/** See file comment. Host and kernel agree by name: what WGSL declares must be given, no more and no less, when recording. */
export class Plan implements Disposable {
  private readonly steps: Step[] = [];
  private readonly owned: Tensor[] = [];
  private readonly reusable: Tensor[] = [];
  private readonly borrowed: readonly Tensor[];
  private uniforms: GPUBuffer | undefined;

  /**
   * An empty plan; `label` names it in errors and profiles. Plans that run one after the other may share temporaries: what `lender` has recycled by now serves this plan too, which
   * then must not outlive it.
   */
  constructor(readonly gpu: Gpu, readonly label: string, lender?: Plan) {
    this.borrowed = lender ? [...lender.reusable] : [];
    this.reusable.push(...this.borrowed);
  }

  /** Number of dispatches recorded. */
  get length(): number {
    return this.steps.length;
  }

  /** A temporary that lives as long as the plan, unless recycled for later steps of it. Contents undefined. */
  temp(shape: readonly number[], label: string, part?: MemoryPart): Tensor {
    const elements = shape.reduce((a, b) => a * b, 1);
    let best = -1;
    for (const [i, { handle }] of this.reusable.entries()) {
      // Not more than twice as large as asked, or one big temporary would be pinned by many small uses.
      if (handle.size < elements * 4 || handle.size > Math.max(elements * 8, 4096)) continue;
      if (best < 0 || handle.size < this.reusable[best]!.handle.size) best = i;
    }
    if (best >= 0) return new Tensor(this.reusable.splice(best, 1)[0]!.handle, shape, label);
    const tensor = this.gpu.tensor(shape, label, part && { part });
    this.owned.push(tensor);
    return tensor;
  }

  /** Whether the tensor is a temporary of this plan, so that it may recycle it. */
  owns(tensor: Tensor): boolean {
    return [this.owned, this.borrowed].some((own) => own.some(({ handle }) => handle === tensor.handle));
  }

  /**
   * Declares that no later step needs these temporaries' contents.
   *
   * Throws an Error for a tensor that is not this plan's, or was given back already.
   */
  recycle(...tensors: (Tensor | undefined)[]) {
    for (const tensor of tensors) {
      if (!tensor) continue;
      if (!this.owns(tensor)) {
        throw new Error(`Plan ${this.label} cannot recycle ${tensor.label}, which it did not make.`);
      }
      if (this.reusable.some(({ handle }) => handle === tensor.handle)) {
        throw new Error(`Plan ${this.label} was given ${tensor.label} back twice.`);
      }
      this.reusable.push(tensor);
    }
  }

  /**
   * Records one dispatch.
   *
   * Throws an Error where bindings or parameters are missing, unknown, or of another type than the WGSL declares.
   */
  dispatch(kernel: Kernel, bindings: Bindings, parameters: Parameters, grid: Grid) {
    if (this.uniforms) throw new Error(`Plan ${this.label} was already run; record before running.`);
    const { interface: wanted } = expandKernel(kernel);
    const refuse = (problem: string) => {
      throw new Error(`Plan ${this.label}: kernel ${kernel.name} ${problem}.`);
    };
    demandNames("binding", wanted.bindings, bindings, refuse);
    demandNames("parameter", wanted.parameters, parameters, refuse);
    const tensors = wanted.bindings.map(({ name, type, scalar }) => {
      const tensor = bindings[name]!;
      if (tensor.freed) refuse(`is given ${tensor.label} as ${name}, which was freed`);
      if (scalar && tensor.scalar && scalar !== tensor.scalar) {
        refuse(`declares ${name} as ${type}, but ${tensor.label} holds ${tensor.scalar}`);
      }
      return tensor;
    });
    const words = new DataView(new ArrayBuffer(wanted.parameters.length * 4));
    wanted.parameters.forEach(({ name, type }, i) => {
      const value = parameters[name]!;
      if (type === "f32") words.setFloat32(4 * i, value, true);
      else if (Number.isInteger(value) && value >= (type === "u32" ? 0 : -(2 ** 31)) && value < 2 ** 32) {
        words.setUint32(4 * i, value, true);
      } else refuse(`declares ${name} as ${type}, not ${value}`);
    });
    if (wanted.iterations !== undefined && this.gpu.isSoftware) {
      const iterations = evaluateIterations(wanted.iterations, parameters);
      if (iterations > mostSoftwareIterations) {
        throw new DeviceError(
          `Kernel ${kernel.name} would loop ${iterations} times, and this software adapter ends loops after ` +
            `${mostSoftwareIterations}; use a GPU for a model or batch of this size.`,
        );
      }
    }
    const step = {
      kernel,
      tensors,
      words: new Uint32Array(words.buffer),
      grid: groupsOf(grid, wanted.workgroupSize),
    };
    this.steps.push(step);
  }

  /** Submits all dispatches, `times` times over, in one command buffer; `before` may record copies ahead of each time. */
  run(times = 1, before?: (encoder: GPUCommandEncoder, time: number) => void) {
    runTogether(this.gpu, this.label, [{ plan: this, times, ...(before && { before }) }]);
  }

  /** Encodes dispatches [from, to), sealed, into a pass; for runTogether. */
  encodeInto(pass: GPUComputePassEncoder, from = 0, to = this.steps.length) {
    for (let i = from; i < to; i++) encode(pass, this.steps[i]!);
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
      times.push({ ...nameOf(step), ms: Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6 })
    );
    target.destroy();
    sets.forEach((set) => set.destroy());
    this.gpu.free(resolved);
    return times;
  }

  /**
   * Times every dispatch by the wall clock, for adapters without timestamp queries: kernel by kernel, each repeated until the
   * time outlasts the fence's. Contents of the plan's tensors are no results afterwards.
   */
  async timeByKernel(leastMs = 40): Promise<DispatchTime[]> {
    this.seal();
    const known = new Map<string, number>();
    const times: DispatchTime[] = [];
    for (const step of this.steps) {
      const { kernel, grid, words } = step;
      const key = JSON.stringify([expandKernel(kernel).key, "indirect" in grid ? "indirect" : grid, [
        ...words,
      ]]);
      if (!known.has(key)) known.set(key, await this.timeStep(step, leastMs));
      times.push({ ...nameOf(step), ms: known.get(key)! });
    }
    return times;
  }

  /** Wall-clock milliseconds of one step alone. */
  private async timeStep(step: Step, leastMs: number): Promise<number> {
    for (let repeats = 1;; repeats *= 4) {
      const start = performance.now();
      const encoder = this.gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let i = 0; i < repeats; i++) encode(pass, step);
      pass.end();
      this.gpu.device.queue.submit([encoder.finish()]);
      await this.gpu.fence();
      const ms = performance.now() - start;
      if (ms >= leastMs) return ms / repeats;
    }
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

  /** Compiles pipelines, writes all uniforms into one buffer and makes the bind groups; done once, before the first run. */
  seal() {
    if (this.uniforms) return;
    const { device } = this.gpu;
    const align = device.limits.minUniformBufferOffsetAlignment;
    const sizes = this.steps.map(({ words }) => Math.ceil(Math.max(1, words.length) * 4 / 16) * 16);
    const offsets: number[] = [];
    let total = 0;
    for (const size of sizes) {
      offsets.push(total);
      total += Math.ceil(size / align) * align;
    }
    const data = new Uint32Array(Math.max(16, total) / 4);
    this.steps.forEach(({ words }, i) => data.set(words, offsets[i]! / 4));
    this.uniforms = device.createBuffer({
      size: data.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      label: `${this.label} uniforms`,
    });
    device.queue.writeBuffer(this.uniforms, 0, data);
    this.steps.forEach((step, i) => {
      step.pipeline = this.gpu.pipeline(step.kernel);
      const { bindings } = expandKernel(step.kernel).interface;
      // Whole eights, so that kernels may read and write several neighbours at once; buffers are no shorter.
      const entries: GPUBindGroupEntry[] = step.tensors.map((tensor, b) => ({
        binding: bindings[b]!.binding,
        resource: { buffer: tensor.handle, size: Math.ceil(Math.max(1, tensor.elements) / 8) * 32 },
      }));
      if (step.words.length > 0) {
        entries.push({
          binding: 0,
          resource: { buffer: this.uniforms!, offset: offsets[i]!, size: sizes[i]! },
        });
      }
      step.group = device.createBindGroup({ layout: step.pipeline.getBindGroupLayout(0), entries });
    });
  }
}

const nameOf = ({ kernel: { name, values } }: Step) => ({ name, values });

function encode(pass: GPUComputePassEncoder, { pipeline, group, grid }: Step) {
  pass.setPipeline(pipeline!);
  pass.setBindGroup(0, group!);
  if ("indirect" in grid) pass.dispatchWorkgroupsIndirect(grid.indirect.handle, 0);
  else pass.dispatchWorkgroups(...grid);
}

/** A plan in a command buffer with others. */
export interface PlannedRun {
  readonly plan: Plan;
  /** Default 1. */
  readonly times?: number;
  /** Records copies ahead of, or behind, each time. */
  readonly before?: (encoder: GPUCommandEncoder, time: number) => void;
  readonly after?: (encoder: GPUCommandEncoder, time: number) => void;
}

/** Milliseconds that a part of a submission should take where someone wants to know how far it is, and its first dispatches. */
const partMs = { least: 50, most: 400 } as const, firstPart = 8;

/**
 * Submits several plans in order, as one command buffer. Where `gpu.onWork` listens on a software adapter, which runs what is
 * submitted before it returns, they go in parts of a fraction of a second, and it is told after each.
 */
export function runTogether(gpu: Gpu, label: string, runs: readonly PlannedRun[]) {
  const start = performance.now();
  gpu.check();
  const { onWork } = gpu;
  const inParts = onWork !== undefined && gpu.isSoftware;
  const all = runs.reduce((sum, { plan, times = 1 }) => sum + times * plan.length, 0);
  let encoder = gpu.device.createCommandEncoder({ label });
  let pass: GPUComputePassEncoder | undefined;
  let [done, recorded] = [0, 0];
  let partLength = inParts ? firstPart : Infinity;
  const endPass = () => {
    pass?.end();
    pass = undefined;
  };
  const submit = () => {
    endPass();
    gpu.device.queue.submit([encoder.finish()]);
    gpu.submits++;
    done += recorded;
    recorded = 0;
  };
  const submitPart = () => {
    const before = performance.now();
    submit();
    const ms = performance.now() - before;
    if (ms < partMs.least) partLength *= 2;
    else if (ms > partMs.most) partLength = Math.max(1, Math.floor(partLength / 2));
    onWork?.(done, all);
    encoder = gpu.device.createCommandEncoder({ label });
  };
  const copy = (copies: PlannedRun["before"], time: number) => {
    if (!copies) return;
    endPass(); // copies cannot be recorded inside a pass
    copies(encoder, time);
  };
  for (const { plan, times = 1, before, after } of runs) {
    plan.seal();
    for (let time = 0; time < times; time++) {
      copy(before, time);
      for (let from = 0; from < plan.length;) {
        const to = Math.min(plan.length, from + partLength - recorded);
        pass ??= encoder.beginComputePass({ label });
        plan.encodeInto(pass, from, to);
        recorded += to - from;
        from = to;
        if (recorded >= partLength) submitPart();
      }
      copy(after, time);
    }
  }
  submit();
  gpu.dispatches += all;
  gpu.hostMs += performance.now() - start;
}

/** Demands that `given` has exactly the declared names. */
function demandNames(
  what: string,
  declared: readonly { readonly name: string }[],
  given: Readonly<Record<string, unknown>>,
  refuse: (problem: string) => void,
) {
  for (const { name } of declared) if (given[name] === undefined) refuse(`lacks its ${what} ${name}`);
  for (const name of Object.keys(given)) {
    if (!declared.some((field) => field.name === name)) refuse(`has no ${what} ${name}`);
  }
}

function groupsOf(grid: Grid, [x, y, z]: readonly [number, number, number]): Step["grid"] {
  if ("indirect" in grid) return grid;
  if ("invocations" in grid) return [...folded(Math.ceil(grid.invocations / (x * y * z))), 1];
  const { workgroups } = grid;
  return typeof workgroups === "number"
    ? [...folded(workgroups), 1]
    : [workgroups[0], workgroups[1] ?? 1, workgroups[2] ?? 1];
}

/** So many workgroups, at least one, in two dimensions of at most 65,535. */
export function folded(workgroups: number): [number, number] {
  const groups = Math.max(1, workgroups);
  const y = Math.ceil(groups / 65535);
  return [Math.ceil(groups / y), y];
}
