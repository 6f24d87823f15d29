/** Attention's gradients against their twin and the forward kernel's slopes. N tokens, H query heads, K key/value heads, C head width. */
import { assertEquals } from "@std/assert";
import { attention, attentionBackward, type AttentionShape } from "../../engine/ops/attention.ts";
import * as twin from "../../engine/reference/ops.ts";
import { AttentionCase, type Sequence, shapeOf, whole } from "./attention_cases.ts";
import {
  assertDerivative,
  dot,
  gpuTest,
  gpuTestOfVariants,
  gradientTolerance,
  type Trial,
} from "./gpu_fixture.ts";

/** Runs forward and backward of a case; returns what a comparison needs. */
function runCase(trial: Trial, scene: AttentionCase) {
  const { shape, tensors, tokens, layout } = scene;
  const { q, cache, y, stats } = tensors;
  const dy = trial.randoms(scene.q.length);
  const dq = trial.unwritten(tokens, shape.queryHeads * shape.headWidth);
  const dkv = trial.unwritten(tokens, 2, shape.keyValueHeads * shape.headWidth);
  const forward = trial.run((plan) => attention(plan, layout, shape, q, cache, y, stats));
  trial.run((plan) =>
    attentionBackward(plan, layout, shape, tensors, trial.upload(dy, ...dq.shape), dq, dkv)
  );
  return { dy, dq, dkv, forward };
}

/** Compares dq and the batch's own dk and dv of one case. */
async function check(trial: Trial, what: string, shape: AttentionShape, sequences: readonly Sequence[]) {
  using scene = new AttentionCase(trial, shape, sequences);
  const { dy, dq, dkv } = runCase(trial, scene);
  const { shape: twinShape, k, v } = scene.forTwin();
  const expected = twin.attentionBackward(dy, scene.q, k, v, twinShape);
  await trial.expect(`${what}: dq`, dq, expected.dq, gradientTolerance);
  await trial.expect(`${what}: dkv`, dkv, scene.ownGradient(expected.dk, expected.dv), gradientTolerance);
}

const heads = [[2, 1, 4], [6, 2, 6], [4, 2, 8], [3, 3, 20], [4, 1, 64]] as const;

gpuTestOfVariants("attention's gradients over packed ragged sequences equal their twin", async (trial) => {
  for (const each of heads) await check(trial, `heads ${each}`, shapeOf(each), whole(1, 7, 12, 3));
});

gpuTestOfVariants("attention's gradients pass through the slope of the soft cap", async (trial) => {
  for (const each of heads.slice(0, 4)) {
    await check(trial, `heads ${each}`, shapeOf(each, { softCap: 1.5 }), whole(5, 2, 9));
  }
});

gpuTestOfVariants("attention's gradients keep to the sliding window", async (trial) => {
  for (const window of [2, 5, 8, 9, 10, 40]) {
    const shape = shapeOf([4, 2, 8], { window, ...(window === 5 && { softCap: 2 }) });
    await check(trial, `window ${window}`, shape, whole(9, 3, 20));
  }
});

gpuTestOfVariants("one token over a cache gets the gradients of its own key and value", async (trial) => {
  const sequences = [0, 1, 3, 9, 70].map((cached) => ({ cached, queries: 1 }));
  for (const window of [0, 4]) {
    await check(trial, `window ${window}`, shapeOf([4, 2, 8], { window, softCap: 2 }), sequences);
  }
  await check(trial, "scalar heads", shapeOf([6, 2, 6]), sequences);
});

gpuTestOfVariants("some tokens over shared and own cached rows get theirs", async (trial) => {
  const sequences = [
    { cached: 6, queries: 3, split: 4 },
    { cached: 4, queries: 4, tableOf: 0 },
    { cached: 5, queries: 1, split: 2, tableOf: 0 },
    { cached: 0, queries: 5 },
  ];
  for (const window of [0, 3]) {
    await check(trial, `window ${window}`, shapeOf([4, 2, 8], { window }), sequences);
  }
});

gpuTest("attention's gradients are the slopes of its forward kernel", async (trial) => {
  for (
    const shape of [
      shapeOf([4, 2, 8], { window: 4, softCap: 2 }),
      { ...shapeOf([6, 2, 6]), scale: 0.5 },
    ]
  ) {
    using scene = new AttentionCase(trial, shape, whole(6, 3));
    const { dy, dq, dkv, forward } = runCase(trial, scene);
    const { q, cache, y } = scene.tensors;
    const lossOf = (tensor: typeof q) => async (changed: Float32Array) => {
      trial.gpu.write(tensor, changed);
      forward.run();
      return dot(await trial.gpu.read(y), dy);
    };
    await assertDerivative("q", scene.q, await trial.gpu.read(dq), lossOf(q));
    trial.gpu.write(q, scene.q);
    // Whole sequences lie in the cache in order, so dkv has the cache's own layout.
    assertEquals(dkv.elements, cache.elements);
    await assertDerivative("keys and values", scene.cache, await trial.gpu.read(dkv), lossOf(cache));
  }
});
