/** Causal attention over the K/V cache against its twin. N tokens, H query heads, K key/value heads, C head width. */
import { attention, type AttentionShape } from "../../engine/ops/attention.ts";
import * as twin from "../../engine/reference/ops.ts";
import { AttentionCase, type Sequence, shapeOf, whole } from "./attention_cases.ts";
import { gpuTest, gpuTestOfVariants, type Trial } from "./gpu_fixture.ts";

/** Compares outputs and log-sum-exps of one case. */
async function check(trial: Trial, what: string, shape: AttentionShape, sequences: readonly Sequence[]) {
  using scene = new AttentionCase(trial, shape, sequences);
  const { q, cache, y, stats } = scene.tensors;
  trial.run((plan) => attention(plan, scene.layout, shape, q, cache, y, stats));
  const { shape: twinShape, k, v } = scene.forTwin();
  const { out, logSumExp } = twin.attention(scene.q, k, v, twinShape);
  await trial.expect(`${what}: outputs`, y, out);
  const lse = (await trial.gpu.read(stats)).filter((_, i) => i % 2 === 0);
  await trial.expect(`${what}: log-sum-exp`, trial.upload(lse), logSumExp);
}

/** Head counts and widths: groups of one, some and all heads; widths that are multiples of 4 and not. */
const heads = [[2, 1, 4], [6, 2, 6], [4, 2, 8], [3, 3, 20], [4, 1, 64]] as const;

gpuTestOfVariants(
  "attention over packed ragged sequences equals its twin at every head width",
  async (trial) => {
    for (const each of heads) await check(trial, `heads ${each}`, shapeOf(each), whole(1, 7, 12, 3));
  },
);

gpuTestOfVariants("a soft cap bends scores at every head width", async (trial) => {
  for (const each of heads) {
    await check(trial, `heads ${each}`, shapeOf(each, { softCap: 1.5 }), whole(5, 2, 9));
  }
});

gpuTestOfVariants("a sliding window hides keys further back, and no others", async (trial) => {
  for (const window of [1, 2, 5, 8, 9, 10, 40]) {
    const shape = shapeOf([4, 2, 8], { window, ...(window === 5 && { softCap: 2 }) });
    await check(trial, `window ${window}`, shape, whole(9, 3, 20));
  }
});

gpuTestOfVariants("a single query sees the keys before it through the shared table", async (trial) => {
  const sequences = [0, 1, 3, 9, 63, 64, 70, 130].map((cached) => ({ cached, queries: 1 }));
  for (const window of [0, 4, 66]) {
    const shape = shapeOf([4, 2, 8], { window, ...(window === 66 && { softCap: 2 }) });
    await check(trial, `window ${window}`, shape, sequences);
  }
  await check(trial, "scalar heads", shapeOf([6, 2, 6]), sequences);
  for (const each of [[9, 3, 64], [8, 1, 64]] as const) {
    await check(trial, `heads ${each}`, shapeOf(each), sequences);
  }
});

gpuTestOfVariants(
  "a query sees its own rows behind the split, and prefixes that sequences share",
  async (trial) => {
    const sequences = [
      { cached: 6, queries: 3, split: 4 },
      { cached: 9, queries: 1, split: 0 },
      { cached: 4, queries: 2, tableOf: 0 },
      { cached: 5, queries: 1, split: 2, tableOf: 0 },
      { cached: 0, queries: 5 },
    ];
    for (const window of [0, 3]) {
      await check(trial, `window ${window}`, shapeOf([4, 2, 8], { window }), sequences);
    }
  },
);

gpuTestOfVariants(
  "lanes that share keys tell sequences, splits, windows and groups of heads apart",
  async (trial) => {
    const sequences = [
      { cached: 6, queries: 3, split: 4 },
      { cached: 9, queries: 21, split: 0 },
      { cached: 4, queries: 2, tableOf: 0 },
      { cached: 3, queries: 17, split: 2, tableOf: 0 },
      { cached: 0, queries: 30 },
    ];
    for (const each of [[9, 3, 64], [4, 4, 8], [2, 1, 28]] as const) {
      for (const window of [0, 3]) {
        await check(trial, `heads ${each}, window ${window}`, shapeOf(each, { window }), sequences);
      }
    }
  },
);

gpuTest("heads wider than a workgroup has threads are summed in slices", async (trial) => {
  await check(trial, "66 scalars", shapeOf([2, 1, 66]), whole(3, 5));
  await check(trial, "65 quads", shapeOf([2, 2, 260], { softCap: 3 }), whole(3, 5));
}, "parallel");

gpuTestOfVariants("scores in the hundreds do not overflow", async (trial) => {
  const shape = { ...shapeOf([4, 2, 8]), scale: 200 };
  await check(trial, "uncapped", shape, whole(4, 9));
  await check(trial, "capped", { ...shape, softCap: 50 }, whole(4, 9));
});
