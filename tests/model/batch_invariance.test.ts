/** What a completion comes to hangs on nothing it is computed beside, to the last bit, whatever kernels an adapter gets. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { Plan } from "../../engine/gpu/plan.ts";
import { generate, type GenerationRequest } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { fillPrefixCache, layOutPrefixes } from "../../engine/model/prefix_cache.ts";
import { linear } from "../../engine/ops/matmul.ts";
import { makeBatchInvariant } from "../../engine/ops/variants.ts";
import { gpuTest, gpuTestOfVariants, type Trial } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

const cases: { prompt_ids: number[] }[] = JSON.parse(
  await Deno.readTextFile(join(embeddedModel, "greedy_cases.json")),
);
const prompts = cases.map(({ prompt_ids }) => prompt_ids).slice(0, 12);

/** Bits of the product of the first `m` of 130 rows. */
async function product({ gpu }: Trial, m: number, invariant: boolean): Promise<Uint32Array> {
  const [inputs, outputs] = [256, 24];
  const wave = (count: number, step: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * step));
  const tensors = [
    gpu.upload(wave(130 * inputs, 0.37).subarray(0, m * inputs), [m, inputs], "x"),
    gpu.upload(wave(outputs * inputs, 0.11), [outputs, inputs], "w"),
    gpu.tensor([m, outputs], "y"),
  ] as const;
  const [x, w, y] = tensors;
  const chunks = [{ tensor: w, firstRow: 0, rows: outputs }];
  try {
    using plan = new Plan(gpu, "product");
    if (invariant) makeBatchInvariant(plan);
    linear(plan, x, { name: "w", rows: outputs, columns: inputs, storage: "f32", chunks }, y);
    plan.run();
    return new Uint32Array((await gpu.read(y)).buffer);
  } finally {
    tensors.forEach((tensor) => gpu.free(tensor));
  }
}

gpuTestOfVariants("a row's product is the same beside any number of rows", async (trial) => {
  const whole = await product(trial, 130, true);
  for (const m of [1, 2, 5, 16, 33, 64, 65]) {
    assertEquals(await product(trial, m, true), whole.subarray(0, m * 24), `${m} rows`);
  }
});

gpuTest("without being asked for it, few rows get a kernel that adds in another order", async (trial) => {
  const [whole, two] = [await product(trial, 130, false), await product(trial, 2, false)];
  assert(two.some((bits, i) => bits !== whole[i]));
}, "parallel");

gpuTestOfVariants("keys and values of a prefix are the same alone and beside others", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const together = await cached(model, prompts);
  for (const [i, prompt] of prompts.entries()) {
    if (i % 5 === 0) assertEquals(await cached(model, [prompt]), [together[i]!]);
  }
});

/** Bits of the keys and values that each prefix has in the last layer. */
async function cached(model: Model, prefixes: readonly (readonly number[])[]): Promise<Uint32Array[]> {
  const layout = layOutPrefixes(prefixes);
  using cache = fillPrefixCache(model, layout, 0, { batchInvariant: true });
  const bits = new Uint32Array((await model.gpu.read(cache.layers.at(-1)!)).buffer);
  const width = bits.length / (layout.rows + 1);
  return prefixes.map((ids, i) => {
    const rows = ids.flatMap((_, p) => {
      const row = layout.table[layout.offsets[i]! + p]!;
      return [...bits.subarray(row * width, (row + 1) * width)];
    });
    return Uint32Array.from(rows);
  });
}

gpuTestOfVariants("a sample is the same in any batch, order and company", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const requests: GenerationRequest[] = prompts.map((ids, stream) => ({ ids, temperature: 1.5, stream }));
  const draw = (chosen: readonly GenerationRequest[], batch: number) =>
    generate(model, chosen, { maxNewTokens: 24, seed: 5, batch, batchInvariant: true });
  const together = await draw(requests, 12);
  assertEquals((await draw(requests.toReversed(), 5)).toReversed(), together);
  assertEquals(await draw([requests[7]!], 1), [together[7]]);
});

gpuTest(
  "a completion that a journal has is not made again, and every other is put there once",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel);
    const requests = prompts.slice(0, 4).map((ids, i) => ({ ids, key: `prompt ${i}` }));
    const known = new Map<string, readonly number[]>([["prompt 1", [5, 5]], ["other", [6]]]);
    const put: string[] = [];
    const journal = {
      get: (key: string) => known.get(key),
      put: (key: string, ids: readonly number[]) => {
        put.push(key);
        known.set(key, ids);
      },
    };
    const options = { maxNewTokens: 20, journal };
    const made = await generate(model, requests, options);
    assertEquals(made[1], [5, 5]);
    assertEquals(put.toSorted(), ["prompt 0", "prompt 2", "prompt 3"]);
    assertEquals(requests.map(({ key }) => known.get(key)), made);
    const { dispatches } = gpu;
    assertEquals(await generate(model, requests, options), made);
    assertEquals([gpu.dispatches, put.length], [dispatches, 3]);
  },
);

gpuTest("where a sequence ends hangs on its own tokens, not on when a slot took it", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const seen = new Set<number>();
  // A rule whose answer hangs on the length that it is shown.
  const stopAt = (ids: readonly number[]) => {
    seen.add(ids.length);
    return ids.length % 32 === 0 ? ids.length - 3 : undefined;
  };
  const options = { maxNewTokens: 40, stopTokens: [], stopAt };
  const requests = prompts.map((ids, i) => ({ ids: i % 3 === 0 ? ids : ids.slice(0, 9 + i) }));
  const together = await generate(model, requests, { ...options, batch: 12 });
  assertEquals(await generate(model, requests, { ...options, batch: 5 }), together);
  assertEquals([...seen].sort((a, b) => a - b), [16, 32]);
});
