/** The device: buffers and their accounting, reading and writing, pipelines, and failures. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { DeviceError, NoAdapterError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { mebibytes } from "../../engine/gpu/sizes.ts";
import { Plan } from "../../engine/gpu/plan.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

gpuTest("what is written is read back, whole or in part, as floats or integers", async ({ gpu }) => {
  const tensor = gpu.upload(Float32Array.of(1, 2, 3, 4, 5), [5], "numbers");
  assertEquals([...await gpu.read(tensor)], [1, 2, 3, 4, 5]);
  gpu.write(tensor, Float32Array.of(-2.5, -3.5), 1);
  gpu.write(tensor, new Float32Array(0), 4);
  assertEquals([...await gpu.read(tensor)], [1, -2.5, -3.5, 4, 5]);
  assertEquals([...await gpu.read(tensor, 3)], [4, 5]);
  assertEquals([...await gpu.read(tensor, 1, 2)], [-2.5, -3.5]);
  gpu.write(tensor, Uint32Array.of(0xffffffff), 4);
  gpu.write(tensor, Int32Array.of(-2), 3);
  assertEquals([...await gpu.readU32(tensor, 3)], [0xfffffffe, 0xffffffff]);
  gpu.free(tensor);
});

gpuTest("a write is ordered before later work and after earlier reads", async ({ gpu }) => {
  const tensor = gpu.upload(Float32Array.of(1), [1], "number");
  const reads = [1, 2, 3].map((value) => {
    gpu.write(tensor, Float32Array.of(value));
    return gpu.read(tensor);
  });
  assertEquals((await Promise.all(reads)).map(([value]) => value), [1, 2, 3]);
  gpu.free(tensor);
});

gpuTest("a freed buffer is given out again for a tensor of its size class", ({ gpu }) => {
  const first = gpu.tensor([10, 100], "first");
  const { handle } = first;
  const { idleBytes } = gpu.memory;
  gpu.free(first);
  assert(gpu.memory.idleBytes > idleBytes);
  const second = gpu.tensor([1005], "second");
  assert(second.handle === handle);
  const other = gpu.tensor([1005], "other");
  assert(other.handle !== handle);
  [second, other].forEach((tensor) => gpu.free(tensor));
});

gpuTest("buffers are at most an eighth larger than their tensors, and hold them", ({ gpu }) => {
  for (const elements of [1, 63, 64, 65, 1000, 1024, 1025, 99_999, 2 ** 20 + 1]) {
    const tensor = gpu.tensor([elements], "sized");
    const { size } = tensor.handle;
    assert(
      size >= 4 * elements && size <= Math.max(512, 4.5 * elements),
      `${elements} elements in ${size} bytes`,
    );
    assertEquals(size % 16, 0);
    gpu.free(tensor);
  }
});

gpuTest("memory accounts for live, idle and peak bytes", async ({ gpu }) => {
  await gpu.trim();
  assertEquals(gpu.memory.idleBytes, 0);
  const before = { ...gpu.memory };
  const tensor = gpu.tensor([1 << 18], "one mebibyte");
  assertEquals(gpu.memory.liveBytes, before.liveBytes + 2 ** 20);
  assertEquals(gpu.memory.liveBuffers, before.liveBuffers + 1);
  assert(gpu.memory.peakBytes >= gpu.memory.liveBytes);
  gpu.free(tensor);
  assertEquals(gpu.memory.idleBytes, 2 ** 20);
  assertEquals(gpu.memory.liveBytes, before.liveBytes);
  await gpu.trim();
  assertEquals(gpu.memory.idleBytes, 0);
});

gpuTest("freeing twice is a mistake that is named", ({ gpu }) => {
  const tensor = gpu.tensor([1], "lonely tensor");
  gpu.free(tensor);
  assertThrows(() => gpu.free(tensor), Error, "lonely tensor was freed twice");
});

gpuTest("a tensor too large for any buffer throws, naming it, its shape and the limit", ({ gpu }) => {
  const most = Math.min(gpu.device.limits.maxBufferSize, gpu.device.limits.maxStorageBufferBindingSize);
  const elements = most / 2;
  const before = { ...gpu.memory };
  const error = assertThrows(() => gpu.tensor([elements, 1], "giant"), DeviceError, "giant");
  assertStringIncludes(error.message, `[${elements},1]`);
  assertStringIncludes(error.message, mebibytes(most));
  assertEquals(gpu.memory, before);
});

gpuTest("a kernel is compiled once for each set of values", (trial) => {
  const template = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;\n" +
    "@compute @workgroup_size(1) fn main() { y[0] = $VALUE; }";
  const pipeline = (VALUE: string) => trial.gpu.pipeline({ name: "constant", template, values: { VALUE } });
  const before = trial.gpu.compiled.length;
  assert(pipeline("1.0") === pipeline("1.0"));
  assert(pipeline("1.0") !== pipeline("2.0"));
  assertEquals(trial.gpu.compiled.length, before + 2);
});

Deno.test("what the device refuses is thrown at the next check, and from then on", async () => {
  using gpu = await Gpu.open();
  const y = gpu.tensor([1], "y");
  using plan = new Plan(gpu, "broken");
  const template = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;\n" +
    "@compute @workgroup_size(1) fn main() { this is no shader }";
  plan.dispatch({ name: "broken", template, values: {} }, { y }, {}, { workgroups: 1 });
  try {
    plan.run();
  } catch {
    // whether the call itself throws is up to the implementation
  }
  const error = await assertRejects(() => gpu.fence(), DeviceError);
  assertStringIncludes(error.message, "The GPU refused a command");
  await assertRejects(() => gpu.read(y), DeviceError);
  assertThrows(() => gpu.check(), DeviceError);
});

Deno.test("a closed device reports no failure of its own", async () => {
  const gpu = await Gpu.open();
  assert(gpu.adapterName.length > 0);
  gpu.free(gpu.tensor([4], "pooled"));
  gpu.close();
  await gpu.device.lost;
  assertThrows(() => gpu.check(), DeviceError, "was closed"); // and not that the device was lost
});

Deno.test("mebibytes are given to a tenth while they are few", () => {
  assertEquals([0, 2 ** 20 * 1.25, 2 ** 20 * 300].map(mebibytes), ["0.0 MiB", "1.3 MiB", "300 MiB"]);
});

Deno.test("a closed Gpu refuses in one sentence, and closing twice is nothing", async () => {
  const gpu = await Gpu.open();
  const [y, kept] = [gpu.tensor([4], "y"), gpu.tensor([4], "kept")];
  const plan = new Plan(gpu, "late");
  gpu.close();
  gpu.close();
  const message = "This Gpu was closed; open another one.";
  assertThrows(() => gpu.tensor([4], "z"), DeviceError, message);
  assertThrows(() => gpu.write(y, new Float32Array(4)), DeviceError, message);
  assertThrows(() => gpu.copy(y, kept), DeviceError, message);
  assertThrows(() => plan.run(), DeviceError, message);
  await assertRejects(() => gpu.read(y), DeviceError, message);
  await assertRejects(() => gpu.fence(), DeviceError, message);
  gpu.free(y);
});

Deno.test("a missing optional feature does not cost the others", async () => {
  const { requestAdapter } = navigator.gpu;
  const asked: string[][] = [];
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = (await requestAdapter.call(navigator.gpu, options))!;
    const request = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = (descriptor) => {
      const features = [...descriptor?.requiredFeatures ?? []];
      asked.push(features);
      if (features.includes("timestamp-query")) return Promise.reject(new TypeError("no timestamps"));
      return request(descriptor);
    };
    return adapter;
  };
  try {
    using gpu = await Gpu.open();
    assert(!gpu.device.features.has("timestamp-query"));
    navigator.gpu.requestAdapter = requestAdapter;
    using whole = await Gpu.open();
    assertEquals(gpu.device.features.has("subgroups"), whole.device.features.has("subgroups"));
  } finally {
    navigator.gpu.requestAdapter = requestAdapter;
  }
  assert(asked.length > 1);
});

Deno.test("why no device is granted is said and kept", async () => {
  const { requestAdapter } = navigator.gpu;
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = (await requestAdapter.call(navigator.gpu, options))!;
    adapter.requestDevice = () => Promise.reject(new TypeError("limits too high"));
    return adapter;
  };
  try {
    const error = await assertRejects(() => Gpu.open(), NoAdapterError, "grants no device (limits too high)");
    assert(error.cause instanceof TypeError);
  } finally {
    navigator.gpu.requestAdapter = requestAdapter;
  }
});

Deno.test("opening a Gpu changes no environment variable", async () => {
  const before = Deno.env.toObject();
  {
    using _gpu = await Gpu.open();
  }
  assertEquals(Deno.env.toObject(), before);
});

gpuTest("what exceeds one mappable buffer is read back in pieces", async ({ gpu }) => {
  const data = Float32Array.from({ length: 1000 }, (_, i) => i);
  const tensor = gpu.upload(data, [1000], "data");
  const { device } = gpu;
  const limits = Object.defineProperty(Object.create(device.limits), "maxBufferSize", { value: 1024 });
  const bound = Object.create(device, { limits: { value: limits } });
  for (const name of ["createBuffer", "createCommandEncoder"] as const) {
    bound[name] = (device[name] as (descriptor: unknown) => unknown).bind(device);
  }
  Object.defineProperty(bound, "queue", { value: device.queue });
  Object.defineProperty(gpu, "device", { value: bound, configurable: true });
  try {
    assertEquals(await gpu.read(tensor), data);
    assertEquals(await gpu.read(tensor, 300, 600), data.subarray(300, 900));
  } finally {
    Object.defineProperty(gpu, "device", { value: device, configurable: true });
    gpu.free(tensor);
  }
});
