/** Rotary embedding with cache append, and its inverse. N tokens, H query heads, K key/value heads, C head width. */
import { assertEquals } from "@std/assert";
import { rotaryAppend, rotaryBackward } from "../../engine/ops/attention.ts";
import * as twin from "../../engine/reference/ops.ts";
import { AttentionCase, shapeOf } from "./attention_cases.ts";
import { assertClose, forwardTolerance, gpuTest, gradientTolerance, type Trial } from "./gpu_fixture.ts";

const theta = 100;

/** f32 [positions, C/2, 2] of (cos, sin). */
function angles(trial: Trial, positions: number, headWidth: number) {
  const half = headWidth / 2;
  const values = new Float32Array(positions * half * 2);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = p * theta ** (-i / half);
      values.set([Math.cos(angle), Math.sin(angle)], (p * half + i) * 2);
    }
  }
  return trial.upload(values, positions, half, 2);
}

const heads = [[2, 1, 4], [6, 2, 6], [4, 2, 8], [3, 3, 20], [1, 1, 2]] as const;
const sequences = [
  { cached: 6, queries: 3, split: 4 },
  { cached: 4, queries: 2, tableOf: 0 },
  { cached: 0, queries: 5 },
  { cached: 17, queries: 1 },
];

/** Heads first … first + count - 1 of x [N, H + 2K, C]. */
function headsOf(x: ArrayLike<number>, all: number, first: number, count: number, width: number) {
  const rows = x.length / (all * width);
  const out = new Float32Array(rows * count * width);
  for (let n = 0; n < rows; n++) {
    for (let i = 0; i < count * width; i++) out[n * count * width + i] = x[(n * all + first) * width + i]!;
  }
  return out;
}

/** x [N, H, C], k and v [N, K, C] put into [N, H + 2K, C]. */
function packed(parts: readonly ArrayLike<number>[], rows: number): Float64Array {
  const out: number[] = [];
  for (let n = 0; n < rows; n++) {
    for (const part of parts) {
      const width = part.length / rows;
      for (let i = 0; i < width; i++) out.push(part[n * width + i]!);
    }
  }
  return Float64Array.from(out);
}

gpuTest(
  "queries and keys turn by their positions, and keys and values land in their own cache rows",
  async (trial) => {
    for (const each of heads) {
      const [H, K, C] = each;
      using scene = new AttentionCase(trial, shapeOf(each), sequences);
      const { layout, shape, tokens, tensors } = scene;
      const positions = sequences.flatMap(({ cached, queries }) =>
        Array.from({ length: queries }, (_, i) => cached + i)
      );
      const [qk, v] = [trial.randoms(tokens * (H + 2 * K) * C), trial.randoms(tokens * (H + 2 * K) * C)];
      const input = [qk, v].map((x) => trial.upload(x, tokens, (H + 2 * K) * C));
      const q = trial.unwritten(tokens, H * C);
      const table = angles(trial, 18, C);
      trial.run((plan) => rotaryAppend(plan, layout, shape, table, input[0]!, input[1]!, q, tensors.cache));
      const turned = twin.rotary(headsOf(qk, H + 2 * K, 0, H, C), positions, H, C, theta);
      await trial.expect(`heads ${each}: q`, q, turned);
      const keys = twin.rotary(headsOf(qk, H + 2 * K, H, K, C), positions, K, C, theta);
      const values = headsOf(v, H + 2 * K, H + K, K, C);
      const expected = Float64Array.from(scene.cache);
      const rows = scene.rows.flatMap((rows, s) => rows.slice(sequences[s]!.cached));
      rows.forEach((row, n) => {
        expected.set(keys.subarray(n * K * C, (n + 1) * K * C), 2 * row * K * C);
        expected.set(values.subarray(n * K * C, (n + 1) * K * C), (2 * row + 1) * K * C);
      });
      // Rows nobody may touch hold NaN, which no comparison passes; they are checked by themselves.
      const after = await trial.gpu.read(tensors.cache);
      const untouched = (cache: ArrayLike<number>) => Array.from(cache, Number.isNaN);
      assertEquals(untouched(after), untouched(expected));
      const number = (value: number) => Number.isNaN(value) ? 0 : value;
      assertClose(`heads ${each}: cache`, after.map(number), expected.map(number), forwardTolerance);
    }
  },
);

gpuTest("the gradients of queries and keys turn back, and those of values pass through", async (trial) => {
  for (const each of heads) {
    const [H, K, C] = each;
    using scene = new AttentionCase(trial, shapeOf(each), sequences);
    const { layout, shape, tokens } = scene;
    const positions = sequences.flatMap(({ cached, queries }) =>
      Array.from({ length: queries }, (_, i) => cached + i)
    );
    const [dq, dk, dv] = [H, K, K].map((count) => trial.randoms(tokens * count * C));
    const dkv = packed([dk!, dv!], tokens);
    const dqkv = trial.unwritten(tokens, (H + 2 * K) * C);
    const incoming = [
      trial.upload(dq!, tokens, H * C),
      trial.upload(Float32Array.from(dkv), tokens, 2, K * C),
    ];
    const table = angles(trial, 18, C);
    trial.run((plan) => rotaryBackward(plan, layout, shape, table, incoming[0]!, incoming[1]!, dqkv));
    const back = (x: Float32Array, heads: number) => twin.rotary(x, positions, heads, C, theta, true);
    const expected = packed([back(dq!, H), back(dk!, K), dv!], tokens);
    await trial.expect(`heads ${each}`, dqkv, expected, gradientTolerance);
  }
});
