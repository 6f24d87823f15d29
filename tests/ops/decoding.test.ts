/** Continuous batching: requests wait for slots, and what a request yields depends on nothing but itself. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { generate, type GenerationRequest } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { advance, type DecodingState } from "../../engine/ops/sampling.ts";
import { loadGolden } from "../reference/golden.ts";
import { gpuTest, type Trial } from "./gpu_fixture.ts";

gpuTest("slots take requests in turn, end them at stop ids and limits, and then idle", async (trial) => {
  const [slots, stride, firstRow, rowsPerSlot] = [2, 5, 10, 4];
  // (id, position, table, limit, stream, temperature bits, top_k, top_p bits)
  const requests = [[40, 3, 0, 4, 7, 1, 2, 3], [41, 5, 4, 1, 8, 4, 5, 6], [42, 2, 9, 3, 9, 7, 8, 9]];
  const state: DecodingState = {
    requests: trial.upload(Uint32Array.from(requests.flat()), 3, 8),
    tokens: trial.unwritten(slots, 4),
    sequences: trial.upload(new Uint32Array(slots * 8), slots, 8),
    sampling: trial.upload(new Uint32Array(slots * 8), slots, 8),
    slots: trial.unwritten(slots, 2),
    queue: trial.upload(Uint32Array.of(0, 3, 2, 60, 61)),
    output: trial.unwritten(3, stride),
  };
  const next = trial.upload(new Uint32Array(slots));
  const sizes = { requests: 3, stride, firstRow, rowsPerSlot, idleRow: 18 };
  trial.run((plan) => advance(plan, state, sizes));
  const step = trial.run((plan) => advance(plan, state, sizes, next), 0);
  const held = async () => {
    const words = [state.tokens, state.sequences, state.sampling, state.slots, state.queue];
    const [tokens, sequences, sampling, slots, queue] = await Promise.all(
      words.map(async (tensor) => [...await trial.gpu.readU32(tensor)]),
    );
    return { tokens, sequences, sampling, slots, left: queue![1] };
  };
  const after = async (...ids: number[]) => {
    trial.gpu.write(next, Uint32Array.from(ids));
    step.run();
    return await held();
  };
  const [first, second] = [[0, 3, 10, 0, 0, 0, 0, 0], [4, 5, 14, 0, 0, 0, 0, 0]];
  assertEquals(await held(), {
    tokens: [40, 3, 0, 0, 41, 5, 1, 0],
    sequences: [...first, ...second],
    sampling: [1, 2, 3, 0, 7, 0, 0, 0, 4, 5, 6, 0, 8, 0, 0, 0],
    slots: [0, 1, 1, 1],
    left: 3,
  });
  const third = [9, 2, 14, 0, 0, 0, 0, 0];
  assertEquals(await after(50, 51), { // the second request may have one token only
    tokens: [50, 4, 0, 0, 42, 2, 1, 0],
    sequences: [...first, ...third],
    sampling: [1, 2, 3, 0, 7, 1, 0, 0, 7, 8, 9, 0, 9, 0, 0, 0],
    slots: [0, 1, 2, 1],
    left: 2,
  });
  const idle = { sequences: [0, 0, 18, 0, 0, 0, 0, 0], sampling: [0, 0, 0, 0] };
  const ended = await after(61, 52); // 61 is a stop id, and no request waits for the slot
  assertEquals(ended.tokens, [0, 0, 0, 0, 52, 3, 1, 0]);
  assertEquals(ended.sequences, [...idle.sequences, ...third]);
  assertEquals(ended.sampling!.slice(0, 4), idle.sampling);
  assertEquals([ended.slots, ended.left], [[0, 0, 2, 1], 1]);
  await after(99, 53);
  const done = await after(99, 54);
  assertEquals([done.slots, done.left], [[0, 0, 0, 0], 0]);
  await after(99, 98);
  const output = await trial.gpu.readU32(state.output);
  assertEquals([...output.subarray(0, 3)], [2, 50, 61]);
  assertEquals([...output.subarray(5, 7)], [1, 51]);
  assertEquals([...output.subarray(10, 14)], [3, 52, 53, 54]);
});

const golden = await loadGolden("llama-tiny");
const { prompts, expected, max_new_tokens: newTokens } = golden.cases.greedy;

/** Prompts with shared beginnings, one inside another, one of a single token, and a repeat. */
const bodies: number[][] = [
  prompts[0]!,
  prompts[1]!,
  prompts[0]!.slice(0, 9),
  [...prompts[0]!.slice(0, 9), 5, 33],
  [1],
  prompts[1]!.slice(0, 12),
  prompts[0]!,
  [...prompts[1]!.slice(0, 12), 3, 8],
];

async function withModel(trial: Trial, body: (model: Model) => Promise<void>) {
  using model = await Model.load(trial.gpu, golden.dir);
  await body(model);
}

const requestsOf = (setting: Partial<GenerationRequest> = {}): GenerationRequest[] =>
  bodies.map((ids) => ({ ids, ...setting }));

gpuTest("greedy decoding yields the golden ids", async (trial) => {
  await withModel(trial, async (model) => {
    const requests = prompts.map((ids) => ({ ids }));
    assertEquals(await generate(model, requests, { maxNewTokens: newTokens, stopTokens: [] }), expected);
  });
});

for (const temperature of [0, 1.2]) {
  gpuTest(
    `requests at temperature ${temperature} yield the same ids alone, one by one, and in batches`,
    async (trial) => {
      await withModel(trial, async (model) => {
        const options = { maxNewTokens: 18, stopTokens: [], seed: 5 };
        const requests = requestsOf({ temperature });
        const together = await generate(model, requests, options);
        assertEquals(together.map((ids) => ids.length), bodies.map(() => 18));
        for (const batch of [1, 3]) {
          assertEquals(await generate(model, requests, { ...options, batch }), together, `batch ${batch}`);
        }
        for (const r of [1, 3, 5, 7]) {
          const alone = await generate(model, [{ ...requests[r]!, stream: r }], options);
          assertEquals(alone[0], together[r], `request ${r} alone`);
        }
        if (temperature === 0) {
          assertEquals(together[6], together[0]);
        } else {
          assertNotEquals(together[6], together[0]); // the same prompt on another stream
          assertNotEquals(await generate(model, requests, { ...options, seed: 6 }), together);
        }
      });
    },
  );
}

gpuTest("generation ends at the first stop id, with it, or at the limit", async (trial) => {
  await withModel(trial, async (model) => {
    const requests = requestsOf();
    const free = await generate(model, requests, { maxNewTokens: 20, stopTokens: [] });
    const stopTokens = [free[0]![3]!, free[1]![6]!];
    const cut = free.map((ids) => {
      const stop = ids.findIndex((id) => stopTokens.includes(id));
      return stop < 0 ? ids : ids.slice(0, stop + 1);
    });
    assert(
      new Set(cut.map((ids) => ids.length)).size > 2,
      "The stop ids end requests at too few lengths to tell.",
    );
    for (const batch of [2, 8]) {
      assertEquals(await generate(model, requests, { maxNewTokens: 20, stopTokens, batch }), cut);
    }
    const short = await generate(model, requests, { maxNewTokens: 5, stopTokens: [], batch: 2 });
    assertEquals(short, free.map((ids) => ids.slice(0, 5)));
    await assertRejects(
      () => generate(model, requests, { maxNewTokens: 0 }),
      InputError,
      "A number of new tokens of 0 is not an integer ≥ 1.",
    );
  });
});

gpuTest("a sequence ends where the caller says, and the others go on", async (trial) => {
  await withModel(trial, async (model) => {
    const requests = requestsOf();
    const free = await generate(model, requests, { maxNewTokens: 40, stopTokens: [] });
    const mark = free[1]!.slice(0, 3);
    const stopAt = (ids: readonly number[]) => mark.every((id, i) => ids[i] === id) ? 3 : undefined;
    const ended = await generate(model, requests, { maxNewTokens: 40, stopTokens: [], stopAt, batch: 3 });
    assertEquals(ended, free.map((ids) => ids.slice(0, stopAt(ids) ?? 40)));
  });
});

gpuTest("the kernels for GPUs decode the same greedy ids", async (trial) => {
  await withModel(trial, async (model) => {
    const requests = prompts.map((ids) => ({ ids }));
    assertEquals(await generate(model, requests, { maxNewTokens: newTokens, stopTokens: [] }), expected);
  });
}, "parallel");
