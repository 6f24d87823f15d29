/** The memory plan: against what the stages really take, against the adapter's limits, and the table in the documents. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { amplify } from "../../engine/circuit/amplify.ts";
import { learnMask } from "../../engine/circuit/mask_training.ts";
import {
  memoryStages,
  planMemory,
  type PlanRequest,
  whatWouldFit,
  type Workload,
} from "../../engine/circuit/memory_plan.ts";
import { modelConfig } from "../../engine/model/config.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { publishedShapes } from "../../engine/model/published_shapes.ts";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { SharedPrefix } from "../../engine/model/shared_prefix.ts";
import { seededRandom } from "../../engine/random.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "../model/model_fixture.ts";

const GiB = 2 ** 30;
/** Limits of a desktop GPU under Vulkan, and of software Vulkan. */
const desktop = { maxBufferSize: 2 * GiB, maxStorageBufferBindingSize: 2 * GiB - 4 };
const software = { maxBufferSize: 2 * GiB, maxStorageBufferBindingSize: GiB / 8 };

const published = (name: string, limits = desktop): PlanRequest => ({
  config: modelConfig(publishedShapes[name]!, name),
  weights: "BF16",
  limits,
});

gpuTest("the plan of every stage is within 10 % of what the stage takes on this adapter", async ({ gpu }) => {
  const work: Workload = {
    sharedTokens: 60,
    promptTokens: 90,
    newTokens: 24,
    prompts: 120,
    examples: 40,
    maskBatch: 8,
    selected: 0.1,
    optimizer: "adamw",
  };
  using model = await Model.load(gpu, embeddedModel, { cacheBytes: 2 ** 24 });
  const { config } = model;
  using checkpoint = await Checkpoint.open(embeddedModel);
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const plan = await planMemory({
    config,
    weights: checkpoint,
    limits: { maxBufferSize, maxStorageBufferBindingSize },
    software: gpu.isSoftware,
    cacheBytes: 2 ** 24,
    workload: work,
  });
  const random = seededRandom("memory plan");
  const tokens = (length: number) => Array.from({ length }, () => Math.floor(random() * config.vocabSize));
  const shared = tokens(work.sharedTokens);
  const prompts = Array.from(
    { length: work.prompts },
    () => [...shared, ...tokens(work.promptTokens - work.sharedTokens)],
  );
  const examples = prompts.slice(0, work.examples).map((prompt) => ({
    prefix_ids: [...prompt, ...tokens(work.newTokens / 2)],
    desired_token: 5,
    undesired_token: 6,
  }));
  const answer = (sharedPrefix?: SharedPrefix) =>
    generate(model, prompts.map((ids) => ({ ids })), {
      maxNewTokens: work.newTokens,
      stopTokens: [],
      ...(sharedPrefix && { sharedPrefix }),
    });
  const selection = Array.from(
    { length: config.layers * model.componentsPerLayer },
    () => random() < work.selected,
  );
  const options = {
    objective: "preference",
    optimizer: "adamw",
    rate: 1e-5,
    weightDecay: 0,
    steps: 1,
    validateEvery: 1,
  } as const;
  using sharedPrefix = new SharedPrefix(model, shared);
  const stages = {
    generate: () => answer(sharedPrefix),
    mask: () => learnMask(model, examples, { epochs: 1, batch: work.maskBatch, sharedPrefix }),
    update: () => amplify(model, selection, examples, options, async () => (await answer()).length),
  };
  const held = gpu.memory.liveBytes;
  for (const stage of memoryStages) {
    if (stage === "update") sharedPrefix[Symbol.dispose]();
    gpu.memory.peakBytes = gpu.memory.liveBytes;
    await stages[stage]();
    const measured = gpu.memory.peakBytes;
    const planned = plan.stages[stage];
    assertGreater(measured, held * 1.5, `${stage} takes too little to compare`);
    assert(
      Math.abs(planned.bytes / measured - 1) < 0.1,
      `${stage}: planned ${planned.bytes}, measured ${measured}`,
    );
    assertEquals(planned.problems, []);
    assertLess(planned.bytes, 1.01 * Object.values(planned.parts).reduce((a, b) => a + b, 0));
  }
  assertEquals(plan.problem, undefined);
  assertEquals(plan.parameters, model.parameters);
});

Deno.test("weights of published models take their parameters' bytes, and twice as much in f32", async () => {
  for (const [name, parameters] of [["gemma-2-2b", 2_614_341_888], ["olmo-2-7b", 7_298_617_344]] as const) {
    const narrow = await planMemory(published(name));
    assertEquals(narrow.parameters, parameters);
    const wide = await planMemory({ ...published(name), storage: "f32" });
    // Norms and rotary angles are f32 in both.
    const [two, four] = [narrow, wide].map(({ stages }) => stages.mask.parts.weights / parameters);
    assert(two! > 2 && two! < 2.01 && four! > 4 && four! < 4.01, `${two} ${four}`);
  }
});

Deno.test("a buffer above the adapter's limit is named, with its need and what would fit", async () => {
  const workload = { prompts: 100, examples: 60, sharedTokens: 1280, promptTokens: 1408 };
  const request = { ...published("gemma-2-9b", software), workload };
  const { problem, stages } = await planMemory(request);
  assertStringIncludes(problem!, 'update needs one buffer of 140 MiB for "gate and up" [1280,28672]');
  assertStringIncludes(problem!, "allows 128 MiB");
  // The split weights, the logits and the cache stay within it.
  assertEquals([stages.generate.problems, stages.mask.problems], [[], []]);
  const remedy = await whatWouldFit(request);
  assertMatch(remedy, /^a shorter context, prompts of 704 tokens/);
  const lengths = { newTokens: 128, promptTokens: 704, sharedTokens: 640 };
  const shorter = { ...request, workload: { ...request.workload, ...lengths } };
  assertEquals((await planMemory(shorter)).problem, undefined);
});

Deno.test("too little GPU memory is named, with the change that suffices or all that are needed", async () => {
  const workload = { prompts: 100, examples: 60 };
  const request = { ...published("gemma-2-2b"), gpuMemory: 8 * GiB, workload };
  assertMatch(
    (await planMemory(request)).problem!,
    /^update needs \d+ MiB of GPU memory and there are 8192 MiB$/,
  );
  assertMatch(await whatWouldFit(request), /^caches of [\d.]+ GiB \(cache-memory\)$/);
  assertEquals(await whatWouldFit({ ...request, gpuMemory: 4 * GiB }), "another adapter only");
  const wide = { ...request, gpuMemory: 10 * GiB, storage: "f32" } as const;
  assertEquals(await whatWouldFit(wide), "16-bit storage (storage checkpoint)");
  assertMatch(
    await whatWouldFit({ ...wide, gpuMemory: 8 * GiB }),
    /^16-bit storage \(storage checkpoint\) and caches of .* together$/,
  );
});

Deno.test("prompts longer than the context are refused in words, and by default they are shorter", async () => {
  const request = { ...published("olmo-2-7b"), contextLength: 600 };
  assertEquals((await planMemory(request)).problem, undefined);
  const { problem } = await planMemory({ ...request, workload: { promptTokens: 500, newTokens: 101 } });
  assertMatch(problem!, /^generate is refused: .*exceeds the context of 600/);
});

/** The rows of the table in engine/README.md. */
async function documentedRows(): Promise<string[]> {
  const gibibytes = (bytes: number) => (bytes / GiB).toFixed(1);
  const rows = [];
  for (const name of ["gemma-2-2b", "gemma-2-9b", "olmo-2-7b", "olmo-2-13b"]) {
    const { stages } = await planMemory(published(name));
    const { generate, mask, update } = stages;
    const updated = update.parts.rows + update.parts.gradients + update.parts.moments;
    const cells = [
      generate.parts.weights,
      generate.parts.cache,
      ...[generate, mask, update].map(({ bytes }) => bytes),
      update.parts.activations,
      updated,
    ];
    const largest = [generate, mask, update].map(({ largest }) => largest)
      .reduce((a, b) => b.bytes > a.bytes ? b : a);
    rows.push(
      `| ${name} | ${cells.map(gibibytes).join(" | ")} | ${Math.round(largest.bytes / 2 ** 20)} MiB |`,
    );
  }
  return rows;
}

Deno.test("the memory table in engine/README.md is what the planner computes", async () => {
  const text = await Deno.readTextFile(new URL("../../engine/README.md", import.meta.url));
  const rows = text.split("\n").filter((line) => /^\| (gemma|olmo)-/.test(line))
    .map((line) => line.replace(/ +/g, " "));
  assertEquals(rows, await documentedRows());
});
