/** Weights and their overlays: what they hold on the GPU and give back. */
import { assertEquals, assertThrows } from "@std/assert";
import { overlayOf } from "../../engine/ops/matmul.ts";
import { bytesOf, freeOverlay, freeWeight, type Weight } from "../../engine/ops/weight.ts";
import { gpuTest, sharedGpu } from "./gpu_fixture.ts";

/** A weight [6, 4] in two chunks with rows 1 and 5 overlaid. */
async function overlaidWeight(): Promise<Weight> {
  const gpu = await sharedGpu();
  const chunks = [4, 2].map((rows, i) => ({ tensor: gpu.tensor([rows, 4], "chunk"), firstRow: 4 * i, rows }));
  const rows = Uint32Array.of(1, 5);
  const overlay = overlayOf(rows, gpu.upload(rows, [2], "rows"), gpu.tensor([2, 4], "values"));
  return { name: "test weight", rows: 6, columns: 4, storage: "f32", chunks, overlay };
}

Deno.test("16-bit storage takes two bytes an element, f32 four", () => {
  assertEquals((["f32", "f16", "bf16"] as const).map(bytesOf), [4, 2, 2]);
});

gpuTest("freeing a weight gives back its chunks and its overlay", async ({ gpu }) => {
  const before = gpu.memory.liveBuffers;
  const weight = await overlaidWeight();
  assertEquals(gpu.memory.liveBuffers, before + 4);
  freeWeight(gpu, weight);
  assertEquals(gpu.memory.liveBuffers, before);
  assertEquals(weight.overlay, undefined);
  assertThrows(() => freeWeight(gpu, weight), Error, "freed twice");
});

gpuTest("dropping an overlay keeps the base rows, and dropping it again does nothing", async ({ gpu }) => {
  const weight = await overlaidWeight();
  const before = gpu.memory.liveBuffers;
  freeOverlay(gpu, weight);
  freeOverlay(gpu, weight);
  assertEquals(gpu.memory.liveBuffers, before - 2);
  assertEquals(weight.chunks.map(({ tensor }) => tensor.freed), [false, false]);
  freeWeight(gpu, weight);
});
