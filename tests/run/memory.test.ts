/** GPU memory does not grow: buffers and bytes, live and pooled, stay what they were after the first rounds. */
import { assertEquals } from "@std/assert";
import { learnMask } from "../../engine/circuit/mask_training.ts";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { loadGolden } from "../reference/golden.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

const folder = new URL("../../fixtures/golden/llama-tiny", import.meta.url).pathname;
const { cases } = await loadGolden("llama-tiny");
const held = ({ memory: { liveBuffers, liveBytes, idleBytes } }: Gpu) => ({
  liveBuffers,
  liveBytes,
  idleBytes,
});

gpuTest("GPU memory is flat over 1,000 mask steps and 1,000 update steps", async ({ gpu }) => {
  using model = await Model.load(gpu, folder);
  const examples = cases.dcm.localization;
  const selection = Array.from(
    { length: model.config.layers * model.componentsPerLayer },
    (_, c) => c % 5 === 0,
  );
  const options = { objective: "preference", optimizer: "adamw", rate: 1e-6, weightDecay: 0 } as const;
  const round = async () => {
    await learnMask(model, examples, { epochs: 100, batch: examples.length, patience: 0, rate: 1e-4 });
    using update = new SparseUpdate(model, selection, examples, options);
    for (let step = 0; step < 100; step++) await update.step();
  };
  await round();
  model.revert();
  const before = held(gpu);
  for (let i = 1; i < 10; i++) {
    await round();
    model.revert();
    assertEquals(held(gpu), before);
  }
});

gpuTest("GPU memory is flat over 1,000 generations", async ({ gpu }) => {
  using model = await Model.load(gpu, folder);
  const requests = Array.from({ length: 20 }, (_, r) => ({ ids: [1, 2 + r, 30 + r], temperature: 1 }));
  const round = (seed: number) =>
    generate(model, requests, { maxNewTokens: 4, seed, batch: 8, stopTokens: [] });
  await round(0);
  const before = held(gpu);
  for (let seed = 1; seed < 50; seed++) {
    assertEquals((await round(seed)).length, 20);
    assertEquals(held(gpu), before);
  }
});
