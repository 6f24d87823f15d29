/** What a model refuses: too long, twice, stale or disposed of. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { fullGradient } from "../../engine/circuit/full_gradient.ts";
import { evaluateMask } from "../../engine/circuit/mask_pass.ts";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import { InputError } from "../../engine/errors.ts";
import { decode, generate } from "../../engine/model/generate.ts";
import { fillPrefixCache, layOutPrefixes } from "../../engine/model/prefix_cache.ts";
import { SharedPrefix } from "../../engine/model/shared_prefix.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { loadTwins } from "./model_fixture.ts";

gpuTest("a sequence beyond the context is refused wherever one can come in", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model } = twins;
  const long = Array<number>(model.contextLength + 1).fill(1);
  const pair = { prefix_ids: long, desired_token: 1, undesired_token: 2 };
  const mask = new Float32Array(model.config.layers * model.componentsPerLayer).fill(0.5);
  const message = `A sequence of ${long.length} tokens`;
  await assertRejects(() => model.run(long), InputError, message);
  await assertRejects(() => fullGradient(model, [pair], "preference"), InputError, message);
  await assertRejects(() => evaluateMask(model, [pair], mask, { fullPrefix: true }), InputError, message);
  await assertRejects(() => evaluateMask(model, [pair], mask), InputError, message);
});

gpuTest("decoding ends at the context's end, and does not begin behind it", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model } = twins;
  const ids = Array.from({ length: model.contextLength - 3 }, (_, i) => i % 7);
  const layout = layOutPrefixes([ids.slice(0, -1)]);
  using cache = fillPrefixCache(model, layout, 8);
  const options = { maxNewTokens: 8, stopTokens: [] };
  const [tokens] = await decode(model, cache, [{ ids }], layout.offsets, options);
  assertEquals(tokens!.length, 3);
  const full = [...ids, 1, 2, 3];
  await assertRejects(
    () => decode(model, cache, [{ ids: full }], layout.offsets, options),
    InputError,
    "exceeds the context",
  );
});

gpuTest("a site is captured once", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const capture = [{ site: "layers.0.q", positions: [0] }, { site: "layers.0.q", positions: [1] }] as const;
  await assertRejects(
    () => twins.model.run([1, 2, 3], { capture }),
    InputError,
    "layers.0.q is captured twice; name all its positions in one capture.",
  );
});

gpuTest("a shared prefix refuses to serve weights that have changed", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  const all = Array<boolean>(model.config.layers * model.componentsPerLayer).fill(true);
  const options = { objective: "preference", optimizer: "sgd", rate: 0.01, weightDecay: 0 } as const;
  const ask = (sharedPrefix: SharedPrefix) =>
    generate(model, [{ ids: [1, 2, 3, 4] }], { maxNewTokens: 1, sharedPrefix });
  using sharedPrefix = new SharedPrefix(model, [1, 2, 3]);
  await ask(sharedPrefix);
  {
    using update = new SparseUpdate(model, all, examples, options);
    await assertRejects(() => ask(sharedPrefix), InputError, "other weights than the model has now");
    using fresh = new SharedPrefix(model, [1, 2, 3]);
    await ask(fresh);
    await update.step();
    await assertRejects(() => ask(fresh), InputError, "other weights than the model has now");
  }
  model.revert();
  using again = new SharedPrefix(model, [1, 2, 3]);
  await ask(again);
  model.revert(); // nothing to revert, so nothing changes
  await ask(again);
});

gpuTest("a model that was disposed of refuses, and is disposed of once", async ({ gpu }) => {
  const twins = await loadTwins(gpu, "llama-tiny");
  const { model } = twins;
  model[Symbol.dispose]();
  model[Symbol.dispose]();
  const message = "This model was disposed of; load it again.";
  await assertRejects(() => model.run([1]), InputError, message);
  await assertRejects(() => generate(model, [{ ids: [1] }], { maxNewTokens: 1 }), InputError, message);
  assertThrows(() => model.revert(), InputError, message);
  assertThrows(() => model.cache(1, "cache"), InputError, message);
  await gpu.fence(); // and the device is none the worse
});
