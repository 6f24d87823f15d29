/** What operator tests share: one Gpu a file, tensors freed at the end of a test, comparison with the CPU twins. */
import "../../cli/quiet_vulkan.ts";
import { assert, assertEquals } from "@std/assert";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { Plan } from "../../engine/gpu/plan.ts";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { canBroadcast, forceVariant, type Variant } from "../../engine/ops/variants.ts";
import type { Storage, Weight } from "../../engine/ops/weight.ts";
import { seededRandom } from "../../engine/random.ts";

/** Largest error of a forward kernel and of a gradient kernel, over the largest expected value. */
export const forwardTolerance = 1e-5, gradientTolerance = 1e-4;

/** All kernel variants, for loops over tests. */
export const variants: readonly Variant[] = ["serial", "parallel", "broadcast"];

let opened: Promise<Gpu> | undefined;

/** The Gpu of this test file, opened on first use. */
export function sharedGpu(): Promise<Gpu> {
  return opened ??= Gpu.open().then((gpu) => {
    // A driver that is still at work when its process ends may crash it, and with it a passed test run.
    globalThis.addEventListener("unload", () => gpu.close());
    return gpu;
  });
}

/** Registers a test that gets a Trial, with one variant forced if given; afterwards nothing may be left on the GPU. */
export function gpuTest(name: string, body: (trial: Trial) => void | Promise<void>, variant?: Variant) {
  Deno.test(variant ? `${name} (${variant})` : name, async () => {
    const gpu = await sharedGpu();
    if (variant === "broadcast" && !canBroadcast(gpu)) return; // its subgroups are not eight lanes
    const { liveBuffers, liveBytes } = gpu.memory;
    forceVariant(gpu, variant);
    try {
      using trial = new Trial(gpu);
      await body(trial);
      await gpu.fence();
    } finally {
      forceVariant(gpu, undefined);
    }
    assertEquals([gpu.memory.liveBuffers, gpu.memory.liveBytes], [liveBuffers, liveBytes]);
  });
}

/** `gpuTest` once for every variant. */
export function gpuTestOfVariants(name: string, body: (trial: Trial) => void | Promise<void>) {
  for (const variant of variants) gpuTest(name, body, variant);
}

/** The tensors and plans of one test. */
export class Trial implements Disposable {
  private readonly tensors: Tensor[] = [];
  private readonly plans: Plan[] = [];
  private seed = 0;

  constructor(readonly gpu: Gpu) {}

  /** A tensor holding `data`. */
  upload(data: Float32Array | Uint32Array, ...shape: number[]): Tensor {
    const tensor = this.gpu.upload(data, shape.length ? shape : [data.length], "test input");
    this.tensors.push(tensor);
    return tensor;
  }

  /** A tensor of NaN, so that what a kernel leaves unwritten shows. */
  unwritten(...shape: number[]): Tensor {
    const tensor = this.gpu.tensor(shape, "test output"); // of no declared type, so any kernel may write it
    this.tensors.push(tensor);
    this.gpu.write(tensor, new Float32Array(tensor.elements).fill(NaN));
    return tensor;
  }

  /** `count` values in [-size, size), others on every call but the same in every run. */
  randoms(count: number, size = 1): Float32Array<ArrayBuffer> {
    const random = seededRandom(`${++this.seed}/operator tests`);
    return Float32Array.from({ length: count }, () => size * (2 * random() - 1));
  }

  /** Records a plan and runs it; the plan lives until the end of the test and can be run again. */
  run(record: (plan: Plan) => void, times = 1): Plan {
    const plan = new Plan(this.gpu, "test");
    this.plans.push(plan);
    record(plan);
    plan.run(times);
    return plan;
  }

  /** Demands that the tensor holds `expected` up to `tolerance` of the largest expected value. */
  async expect(
    what: string,
    tensor: Tensor,
    expected: ArrayLike<number>,
    tolerance = forwardTolerance,
  ): Promise<void> {
    assertClose(what, await this.gpu.read(tensor), expected, tolerance);
  }

  /** A matrix of random values in the given storage, split into chunks of these row counts, and its exact values. */
  weight(
    rows: readonly number[],
    columns: number,
    storage: Storage = "f32",
  ): { weight: Weight; values: Float32Array<ArrayBuffer> } {
    const total = rows.reduce((a, b) => a + b, 0);
    const { values, words } = narrow(this.randoms(total * columns), columns, storage);
    let firstRow = 0;
    const chunks = rows.map((count) => {
      const data = words(firstRow * columns, count * columns);
      firstRow += count;
      return { tensor: this.upload(data), firstRow: firstRow - count, rows: count };
    });
    return { weight: { name: "test weight", rows: total, columns, storage, chunks }, values };
  }

  [Symbol.dispose]() {
    this.plans.forEach((plan) => plan[Symbol.dispose]());
    this.tensors.forEach((tensor) => this.gpu.free(tensor));
  }
}

/**
 * Values rounded to a storage format (still as float32), and slices of them packed as the kernels read them. A slice
 * is followed by a row of NaN, so that a read behind a chunk shows.
 */
function narrow(raw: Float32Array<ArrayBuffer>, columns: number, storage: Storage): {
  values: Float32Array<ArrayBuffer>;
  words: (from: number, count: number) => Float32Array | Uint32Array;
} {
  if (storage === "f32") {
    return {
      values: raw,
      words: (from, count) =>
        Float32Array.of(...raw.subarray(from, from + count), ...Array(columns).fill(NaN)),
    };
  }
  let bits: Uint16Array;
  let values: Float32Array<ArrayBuffer>;
  if (storage === "f16") {
    const halves = Float16Array.from(raw);
    values = Float32Array.from(halves);
    bits = new Uint16Array(halves.buffer);
  } else {
    bits = Uint16Array.from(new Uint32Array(raw.buffer), (word) => word >>> 16);
    values = new Float32Array(Uint32Array.from(bits, (word) => word << 16).buffer);
  }
  return {
    values,
    words: (from, count) => {
      const padded = new Uint16Array(2 * Math.ceil((count + columns) / 2)).fill(0xffff); // NaN in both formats
      padded.set(bits.subarray(from, from + count));
      return new Uint32Array(padded.buffer);
    },
  };
}

/** Demands equal lengths and errors within `tolerance` of the largest expected value; NaN never passes. */
export function assertClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
) {
  assertEquals(actual.length, expected.length, `${what}: number of values`);
  let size = 0;
  for (let i = 0; i < expected.length; i++) size = Math.max(size, Math.abs(expected[i]!));
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    assert(
      error <= tolerance * size,
      `${what}: value ${i} is ${actual[i]}, not ${expected[i]}: off by ${
        (error / size).toExponential(1)
      } of ` +
        `the largest, ${size}; ${tolerance} is allowed.`,
    );
  }
}

/** Σ a · b in float64. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/**
 * Demands that `gradient` is the derivative of `loss` at `x`: central differences along three random sign directions.
 * The error allowed is 2 % of the gradient's norm, which is what a change along such a direction amounts to.
 */
export async function assertDerivative(
  what: string,
  x: Float32Array,
  gradient: ArrayLike<number>,
  loss: (x: Float32Array) => Promise<number>,
  step = 1e-2,
) {
  assertEquals(gradient.length, x.length, `${what}: number of gradient values`);
  const norm = Math.sqrt(dot(gradient, gradient));
  for (let direction = 0; direction < 3; direction++) {
    const random = seededRandom(`${direction}/direction`);
    const signs = Float32Array.from(x, () => random() < 0.5 ? -1 : 1);
    const at = (sign: number) => loss(x.map((value, i) => value + sign * step * signs[i]!));
    const slope = (await at(1) - await at(-1)) / (2 * step);
    const expected = dot(gradient, signs);
    assert(
      Math.abs(slope - expected) <= 0.02 * norm,
      `${what}: the slope along direction ${direction} is ${slope}, the gradient says ${expected}; norm ${norm}.`,
    );
  }
}
