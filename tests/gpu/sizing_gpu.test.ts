/** The Gpu without a device: what it counts, and the pool and the limits, which it shares with the real one. */
import { assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../engine/errors.ts";
import { type Gpu, idleLimit } from "../../engine/gpu/gpu.ts";
import { Plan } from "../../engine/gpu/plan.ts";
import { SizingGpu } from "../../engine/gpu/sizing_gpu.ts";
import { fill } from "../../engine/ops/elementwise.ts";
import { sharedGpu } from "../ops/gpu_fixture.ts";

const MiB = 2 ** 20;
const limits = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 100 * MiB };
const sized = () => new SizingGpu(limits, false);

Deno.test("parts count what is held now and the most that was", () => {
  const gpu = sized();
  const cache = (bytes: number, label: string) => gpu.tensor([bytes / 4], label, { part: "cache" });
  const [first] = [cache(2 * MiB, "one"), gpu.tensor([MiB / 4], "b")];
  gpu.free(first);
  cache(MiB, "two");
  assertEquals([...gpu.parts], [["cache", 2 * MiB], ["activations", MiB]]);
  assertEquals([gpu.memory.liveBytes, gpu.memory.peakBytes], [2 * MiB, 3 * MiB]);
  assertEquals(gpu.largest, { label: "one", shape: [2 * MiB / 4], bytes: 2 * MiB });
  gpu.startStage();
  assertEquals([...gpu.parts], [["cache", MiB], ["activations", MiB]]);
  assertEquals([gpu.memory.peakBytes, gpu.largest.bytes], [2 * MiB, 0]);
});

Deno.test("a tensor above the limit is noted and counted where the real Gpu refuses it", async () => {
  const gpu = sized();
  gpu.tensor([101 * MiB / 4], "too large");
  assertEquals([...gpu.excessive.keys()], ["too large"]);
  assertEquals(gpu.memory.liveBytes, 101 * MiB);
  const real = await sharedGpu();
  const above = real.bindingBytes / 4 + 1;
  assertThrows(() => real.tensor([above], "too large"), DeviceError, "too large");
});

Deno.test("plans run on it, what is read back is zero, and weights take exactly what they need", async () => {
  const gpu = sized();
  const tensor = gpu.tensor([1000], "x", { exact: true });
  assertEquals(tensor.handle.size, 4096);
  using plan = new Plan(gpu, "fill");
  fill(plan, tensor, 7);
  plan.run(3);
  assertEquals(gpu.dispatches, 3);
  assertEquals(await gpu.read(tensor), new Float32Array(1000));
});

Deno.test("sizes are rounded up for the pool, but never above the limit", () => {
  const gpu: Gpu = sized();
  assertEquals(gpu.tensor([33 * MiB / 4], "rounded").handle.size, 36 * MiB);
  assertEquals(gpu.tensor([97 * MiB / 4], "at the limit").handle.size, 100 * MiB);
});

Deno.test("unused buffers above the pool's limit go back at the next fence, largest first", async () => {
  const gpu = sized();
  const tensors = [96, 96, 64, 40, 8].map((size) => gpu.tensor([size * MiB / 4], "x"));
  tensors.forEach((tensor) => gpu.free(tensor));
  assertEquals(gpu.memory.idleBytes, 304 * MiB);
  await gpu.fence();
  assertEquals(idleLimit, 256 * MiB);
  assertEquals(gpu.memory.idleBytes, 208 * MiB);
  await gpu.trim();
  assertEquals(gpu.memory.idleBytes, 0);
});
