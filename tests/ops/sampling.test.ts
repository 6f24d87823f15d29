/** Token choice on the GPU against its twin, draw for draw. S slots, V vocabulary. */
import { assert, assertEquals } from "@std/assert";
import { sample } from "../../engine/ops/sampling.ts";
import { shaders } from "../../engine/ops/kernels.ts";
import * as twin from "../../engine/reference/ops.ts";
import { gpuTest, gpuTestOfVariants, type Trial } from "./gpu_fixture.ts";

/** One slot's settings; the default is one draw of everything at temperature 1. */
interface Draw {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly stream?: number;
  readonly draw?: number;
}

/** Draws one token per slot from logits [S, V]. */
async function draw(
  trial: Trial,
  logits: Float32Array,
  draws: readonly Draw[],
  seed = 0,
): Promise<Uint32Array> {
  const slots = draws.length;
  const words = new DataView(new ArrayBuffer(slots * 32));
  draws.forEach(({ temperature = 1, topK = 0, topP = 1, stream = 0, draw = 0 }, s) => {
    words.setFloat32(s * 32, temperature, true);
    words.setUint32(s * 32 + 4, topK, true);
    words.setFloat32(s * 32 + 8, topP, true);
    words.setUint32(s * 32 + 16, stream, true);
    words.setUint32(s * 32 + 20, draw, true);
  });
  const next = trial.upload(new Uint32Array(slots).fill(0xffff));
  const sampling = trial.upload(new Uint32Array(words.buffer), slots, 8);
  trial.run((plan) => sample(plan, trial.upload(logits, slots, logits.length / slots), sampling, next, seed));
  return await trial.gpu.readU32(next);
}

/** The number in (0, 1) that a draw compares with the cumulative probabilities. */
function uniformOf({ stream = 0, draw = 0 }: Draw, seed: number): number {
  return ((twin.philox4x32([draw, stream, 0, 0], [seed, 0])[0] >>> 8) + 0.5) / 2 ** 24;
}

/**
 * Draws from the same logits in every slot and demands the twin's token for the same uniform number; on a boundary,
 * within 1e-5, either side passes. Returns the tokens.
 */
async function check(trial: Trial, what: string, row: Float32Array, draws: readonly Draw[], seed = 0) {
  const logits = new Float32Array(row.length * draws.length);
  draws.forEach((_, s) => logits.set(row, s * row.length));
  const chosen = await draw(trial, logits, draws, seed);
  draws.forEach((each, s) => {
    const filter = { temperature: each.temperature ?? 1, topK: each.topK ?? 0, topP: each.topP ?? 1 };
    const { probabilities } = twin.filterLogits(row, filter);
    const uniform = uniformOf(each, seed);
    const picks = [-1e-5, 0, 1e-5].map((shift) => twin.sampleIndex(probabilities, uniform + shift));
    assert(picks.includes(chosen[s]!), `${what}, draw ${s}: chose ${chosen[s]}, the twin ${picks[1]}.`);
  });
  return [...chosen];
}

/** (top-k, top-p), alone and together; 0 and 1 keep everything. */
// deno-fmt-ignore
const filters = [
  [1, 1], [5, 1], [17, 1], [49, 1], [50, 1], [99, 1],
  [0, 0.3], [0, 0.77], [0, 0.999], [0, 1e-6], [9, 0.61], [30, 0.93],
] as const;

const streams = (count: number, setting: Draw = {}) =>
  Array.from({ length: count }, (_, stream) => ({ ...setting, stream, draw: stream % 7 }));

gpuTest("the shader's Philox gives the known answers of Random123", async (trial) => {
  const functions = ["multiply_high", "philox"].map((name) => {
    const start = shaders.sample.indexOf(`fn ${name}(`);
    assert(start >= 0, `shaders/sample.wgsl has no function ${name}.`);
    return shaders.sample.slice(start, shaders.sample.indexOf("\n}", start) + 2);
  });
  const template = `${functions.join("\n")}
    @group(0) @binding(1) var<storage, read> inputs: array<vec4u>;
    @group(0) @binding(2) var<storage, read_write> outputs: array<vec4u>;
    @compute @workgroup_size(1)
    fn main(@builtin(workgroup_id) id: vec3u) {
      outputs[id.x] = philox(inputs[2u * id.x], inputs[2u * id.x + 1u].xy);
    }`;
  const ones = 0xffffffff;
  // deno-fmt-ignore
  const inputs = trial.upload(Uint32Array.of(
    0, 0, 0, 0, 0, 0, 0, 0,
    ones, ones, ones, ones, ones, ones, 0, 0,
    0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0, 0,
  ));
  const outputs = trial.unwritten(3, 4);
  trial.run((plan) =>
    plan.dispatch({ name: "philox", template, values: {} }, { inputs, outputs }, {}, { workgroups: 3 })
  );
  // deno-fmt-ignore
  assertEquals([...await trial.gpu.readU32(outputs)], [
    0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8,
    0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
  ]);
});

gpuTestOfVariants("temperature 0 takes the largest logit, and the lowest id among equals", async (trial) => {
  for (const vocabulary of [1, 5, 16, 300]) {
    const rows = [[0.3], [0.1, 0.9], [0.9, 0.9], [0.5, 0.2, 0.7, 0.99]].map((marks) => {
      const row = trial.randoms(vocabulary).map((value) => Math.min(value, 0.5));
      marks.forEach((mark) => row[Math.floor(mark * vocabulary)] = 2);
      return row;
    });
    rows.push(new Float32Array(vocabulary).fill(-5), trial.randoms(vocabulary).map((x) => x - 1e4));
    const logits = Float32Array.from(rows.flatMap((row) => [...row]));
    const greedy = rows.map(() => ({ temperature: 0, topK: 2, topP: 0.5 }));
    const expected = rows.map((row) => twin.argmax(row));
    assertEquals([...await draw(trial, logits, greedy)], expected, `vocabulary ${vocabulary}`);
  }
});

gpuTestOfVariants(
  "a draw is the inverse of the cumulative distribution at its Philox number",
  async (trial) => {
    for (const [vocabulary, temperature] of [[5, 1], [37, 0.7], [64, 1.5], [300, 1.2]] as const) {
      const row = trial.randoms(vocabulary, 4);
      await check(trial, `vocabulary ${vocabulary}`, row, streams(64, { temperature }), 12345);
    }
  },
);

gpuTest("seed, stream and draw number each change the draws, and large ones count in full", async (trial) => {
  const row = new Float32Array(300);
  const all = new Set<string>();
  for (const seed of [0, 1, 0xffffffff]) {
    for (const [stream, draw] of [[0, 0], [1, 0], [0, 1], [0x80000000, 0], [0, 0x80000000]] as const) {
      // Sixteen draws from 300 equal tokens are a fingerprint.
      const draws = Array.from({ length: 16 }, (_, i) => ({ stream: stream + 100 * i, draw }));
      const what = `seed ${seed}, stream ${stream}, draw ${draw}`;
      all.add(String(await check(trial, what, row, draws, seed)));
    }
  }
  assertEquals(all.size, 15);
});

gpuTestOfVariants("top-k and top-p keep the twin's tokens, ties at the edge included", async (trial) => {
  const smooth = trial.randoms(50, 3);
  const tied = Float32Array.from({ length: 50 }, (_, i) => [1, 3, 2, 3, -1, 2, 0][i % 7]!);
  for (const [name, row] of [["smooth", smooth], ["tied", tied]] as const) {
    for (const [topK, topP] of filters) {
      const setting = { temperature: 8, topK, topP }; // nearly equal shares: any token too many or too few shifts all
      const chosen = await check(trial, `${name}, top ${topK}, ${topP}`, row, streams(32, setting));
      const { threshold } = twin.filterLogits(row, setting);
      chosen.forEach((v) => assert(row[v]! >= threshold));
    }
  }
});

gpuTest("negative, tiny and infinitely small logits are ordered rightly", async (trial) => {
  const row = Float32Array.of(-1e30, -3, 0, -1e-20, -2, -Infinity, 1e-20, 2, -2.5, 1);
  for (const [topK, topP] of [[1, 1], [2, 1], [5, 1], [7, 1], [0, 0.5], [0, 0.95]] as const) {
    await check(trial, `top ${topK}, ${topP}`, row, streams(64, { temperature: 1.5, topK, topP }));
  }
});

gpuTest("slots with different settings do not disturb each other", async (trial) => {
  const row = trial.randoms(70, 2);
  const settings = [{ temperature: 0 }, { topK: 3 }, { topP: 0.4 }, {}, {
    temperature: 0.2,
    topK: 9,
    topP: 0.5,
  }];
  const draws = Array.from({ length: 40 }, (_, s) => ({ ...settings[s % 5]!, stream: s }));
  const logits = new Float32Array(70 * 40);
  draws.forEach((_, s) => logits.set(row, s * 70));
  const together = await draw(trial, logits, draws, 3);
  for (let s = 0; s < 40; s += 9) {
    assertEquals(together[s], (await draw(trial, row, [draws[s]!], 3))[0], `slot ${s}`);
  }
  for (let s = 0; s < 40; s += 5) assertEquals(together[s], twin.argmax(row));
});

gpuTestOfVariants(
  "draws over 4,096 streams follow the softmax within four standard deviations",
  async (trial) => {
    const row = Float32Array.of(0.5, -1, 2, 0, 1, -3, 0.1, 1.4, -0.2, 0.9, 0.3);
    const [count, temperature] = [4096, 1.3];
    const chosen = await check(trial, "distribution", row, streams(count, { temperature }), 7);
    const { probabilities } = twin.filterLogits(row, { temperature, topK: 0, topP: 1 });
    probabilities.forEach((p, v) => {
      const drawn = chosen.filter((id) => id === v).length;
      const deviation = Math.abs(drawn - count * p) / Math.sqrt(count * p * (1 - p));
      assert(
        deviation < 4,
        `Token ${v} was drawn ${drawn} times: ${deviation.toFixed(1)} deviations off.`,
      );
    });
  },
);

gpuTestOfVariants("a wide vocabulary with top-k and top-p together is searched to its end", async (trial) => {
  // llvmpipe cuts an invocation's loops off after 65,535 iterations; then every slot would get the largest logit.
  const [slots, width] = [32, 32_768];
  const logits = trial.upload(new Float32Array(slots * width), slots, width);
  const words = new DataView(new ArrayBuffer(slots * 32));
  for (let slot = 0; slot < slots; slot++) {
    words.setFloat32(slot * 32, 1, true);
    words.setUint32(slot * 32 + 4, width - 1, true);
    words.setFloat32(slot * 32 + 8, 0.99, true);
    words.setUint32(slot * 32 + 16, slot, true);
  }
  const sampling = trial.upload(new Uint32Array(words.buffer), slots, 8);
  const next = trial.unwritten(slots);
  trial.run((plan) => sample(plan, logits, sampling, next, 3));
  const drawn = new Set(await trial.gpu.readU32(next));
  assert(drawn.size > slots / 2, `only ${drawn.size} different ids in ${slots} draws from equal logits`);
});
