/** The benchmark of a model's stages: its lines and counts, its profile, and that the floor is what the shapes say. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { benchmarkModel, chosenStages } from "../../engine/benchmark/model_benchmark.ts";
import { modelStages } from "../../engine/benchmark/model_runs.ts";
import { shareOf } from "../../engine/benchmark/ceiling.ts";
import { profile } from "../../engine/benchmark/profile.ts";
import { type BenchResult, engineering, tableRow } from "../../engine/benchmark/result.ts";
import { passWork, weightBytes } from "../../engine/benchmark/work.ts";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { assertRefused, run } from "../cli/command_line.ts";
import { embeddedModel } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

gpuTest(
  "every stage of a model is measured beside its floor and counts what the engine does",
  async ({ gpu }) => {
    const results: BenchResult[] = [];
    const filter = /^(load|prefill 37|decode 8|mask-step|update-step|evaluation)/;
    await benchmarkModel(
      gpu,
      { model: embeddedModel, filter, profile: true },
      (result) => results.push(result),
    );
    const stages = results.filter(({ name }) => !name.startsWith("ceiling"));
    assertGreater(results.length - stages.length, 3);
    assertEquals(stages.map(({ name, shape }) => `${name} ${shape}`.trim()), [
      "load",
      "prefill 37",
      "decode 8",
      "mask-step/one-token 8x200",
      "update-step/sparse 16x200",
      "evaluation 16x200+16",
    ]);
    for (const result of stages) {
      const { name, ms, share, bytes, operations, dispatches, submits, readbacks, kernels } = result;
      assert(ms > 0 && share! > 0 && share! <= 1 && bytes! > 0, name);
      if (name === "load") continue;
      assert(operations! > 0 && submits! > 0 && submits! <= dispatches!, name);
      assert(name === "prefill" ? readbacks === 0 : readbacks! > 0, name);
      if (name === "evaluation") continue;
      assertEquals(kernels!.length, 5, name);
      assertEquals(kernels!.toSorted((a, b) => b.ms - a.ms), kernels);
      const sum = kernels!.reduce((sum, { share }) => sum + share, 0);
      assert(sum > 0.3 && sum <= 1.0001, `${name}: ${sum}`);
      assertStringIncludes(tableRow(result), kernels![0]!.kernel);
    }
    // Sixteen steps a readback.
    assertEquals(stages[2]!.readbacks, 1 / 16);
  },
);

gpuTest("a stage's floor is what its shapes say", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const { config, weights } = model;
  const { queryHeads: H, headWidth: C, vocabSize: V, hiddenSize: D, layers: L } = config;
  const size = (all: readonly { rows: number; columns: number }[]) =>
    all.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const inLayers = size(
    weights.layers.flatMap(({ qkv, output, gateUp, down }) => [qkv, output, gateUp, down]),
  );
  const three = { spans: [{ first: 0, count: 3 }], cached: 0 };
  const forward = passWork(model, { ...three, logits: 1 });
  assertEquals(forward.operations, 3 * 2 * inLayers + 4 * H * C * L * (1 + 2 + 3) + 2 * D * V);
  const both = passWork(model, { ...three, logits: 1, backward: { rows: 2 } });
  const pairs = H * C * L * 6;
  assertEquals(both.operations, forward.operations + 3 * 2 * inLayers + 10 * pairs + L * 3 * 2 * 2 * D);
  // A prefill stops at the top layer's keys and values; a sequence and its parts do the same work.
  assertLess(passWork(model, { ...three, top: [] }).operations, forward.operations - 2 * D * V);
  const parts = [{ first: 0, count: 2 }, { first: 2, count: 1 }];
  assertEquals(passWork(model, { ...three, spans: parts }).operations, passWork(model, three).operations);
  assert(forward.bytes > 4 * inLayers && forward.bytes < weightBytes(model) + 3 * 8 * L * H * C);
});

gpuTest("an adapter without timestamps is profiled kernel by kernel", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const stage = modelStages.find(({ name }) => name === "decode")!;
  using run = await stage.prepare(model);
  const { plan } = run.plans[0]!;
  plan.profile = () => Promise.resolve(undefined);
  const found = await profile(run.plans);
  assertEquals(found.length, 5);
  assert(found.every(({ ms, dispatches, share }) => ms > 0 && dispatches >= 1 && share > 0 && share < 1));
});

Deno.test("no share exceeds the whole, and large numbers are readable", () => {
  const ceilings = { gflops: 100, gbps: 10, results: [] };
  assertEquals(shareOf(ceilings, 1e9, 0, 20), 0.5);
  assertEquals(shareOf(ceilings, 0, 1e9, 50), 1);
  assertEquals([999, 1234, 43.21e9].map(engineering), ["999 ", "1.23 k", "43.2 G"]);
});

gpuTest("what does not fit is refused in words", async ({ gpu }) => {
  const filter = /^nothing$/;
  await assertRejects(
    () => benchmarkModel(gpu, { model: embeddedModel, filter }, () => {}),
    InputError,
    "no stage",
  );
  assertEquals(chosenStages({ filter: /^decode/, quick: true }).map(({ shape }) => shape), ["1", "8"]);
  assertRefused(await run("bench", ["--profile", "--quiet"]), 2, "--model");
  assertRefused(await run("bench", ["--model", "/nowhere", "--quiet"]), 2, "/nowhere");
  assertRefused(await run("bench", ["--model", embeddedModel, "--peers", "--quiet"]), 2, "--peers");
});
