/** The update loop: which step is kept, and what the model is afterwards. Validation is a list of scores by step. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { amplify, type AmplifyOptions } from "../../engine/circuit/amplify.ts";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import { InputError } from "../../engine/errors.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { allParameters } from "../../engine/model/weights.ts";
import { loadTwins } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { goldenSelection, plain } from "./update_fixture.ts";

/** Runs the loop on gemma2-tiny with these scores by step; gives the logits at each validation and at the end. */
async function run(
  gpu: Gpu,
  scores: Readonly<Record<number, number>>,
  options: Partial<AmplifyOptions> = {},
) {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const logits = async () => (await model.run(examples[0]!.prefix_ids)).logits;
  const base = await logits();
  const seen = new Map<number, Float32Array>();
  const outcome = await amplify(
    model,
    goldenSelection(twins),
    examples,
    { ...plain, steps: 4, validateEvery: 1, ...options },
    async (step) => {
      seen.set(step, await logits());
      return scores[step]!;
    },
  );
  const overlaid = allParameters(model.weights).matrices.some(({ overlay }) => overlay);
  return { ...outcome, base, seen, final: await logits(), overlaid };
}

gpuTest("the step with the best score is kept, whatever came after it", async ({ gpu }) => {
  const { bestStep, history, final, seen, values, trainable } = await run(gpu, [0.5, 0.6, 0.8, 0.7, 0.1]);
  assertEquals(bestStep, 2);
  assertEquals(final, seen.get(2));
  assertNotEquals(final, seen.get(4));
  assertEquals(history.map(({ step, accuracy }) => [step, accuracy]), [
    [0, 0.5],
    [1, 0.6],
    [2, 0.8],
    [3, 0.7],
    [4, 0.1],
  ]);
  assertEquals([...values!.values()].reduce((sum, { length }) => sum + length, 0), trainable);
  // A point's loss is that of the model before its step, so step 0 and step 1 share the unchanged model's.
  assertEquals(history[0]!.loss, history[1]!.loss);
  assert(history.slice(2).every(({ loss }, i) => loss < history[i + 1]!.loss));
});

gpuTest("of equal scores the earlier step is kept", async ({ gpu }) => {
  const { bestStep, final, seen } = await run(gpu, [0.5, 0.6, 0.8, 0.8, 0.8]);
  assertEquals(bestStep, 2);
  assertEquals(final, seen.get(2));
});

gpuTest("when no step beats the unchanged model it is what remains, bit for bit", async ({ gpu }) => {
  for (const scores of [[0.8, 0.7, 0.8, 0.6, 0.8], [0.5, 0.5, 0.5, 0.5, 0.5]]) {
    const { bestStep, values, final, base, seen, overlaid } = await run(gpu, scores);
    assertEquals([bestStep, values, overlaid], [0, undefined, false]);
    assertEquals(final, base);
    assertEquals(seen.get(0), base);
    assertNotEquals(seen.get(4), base);
  }
});

gpuTest("a run that must change never keeps step 0", async ({ gpu }) => {
  const { bestStep, final, seen } = await run(gpu, [0.9, 0.1, 0.3, 0.2, 0], { mustChange: true });
  assertEquals(bestStep, 2);
  assertEquals(final, seen.get(2));
});

gpuTest("validation comes every few steps and after the last", async ({ gpu }) => {
  const { history, bestStep, final, seen } = await run(gpu, { 0: 0, 2: 0.1, 4: 0.2, 5: 0.3 }, {
    steps: 5,
    validateEvery: 2,
  });
  assertEquals(history.map(({ step }) => step), [0, 2, 4, 5]);
  assertEquals([...seen.keys()], [0, 2, 4, 5]);
  assertEquals(bestStep, 5);
  assertEquals(final, seen.get(5));
});

gpuTest("what an earlier update left is dropped before anything is measured", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const logits = async () => (await model.run(examples[0]!.prefix_ids)).logits;
  const base = await logits();
  const options = { ...plain, steps: 1, validateEvery: 1 };
  await amplify(model, goldenSelection(twins), examples, options, (step) => Promise.resolve(step));
  assertNotEquals(await logits(), base);
  await amplify(model, goldenSelection(twins), examples, options, async (step) => {
    if (step === 0) assertEquals(await logits(), base);
    return -step;
  });
  assertEquals(await logits(), base);
});

gpuTest("an update that diverges is refused and leaves the model as it was", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  const { logits } = await model.run(examples[0]!.prefix_ids);
  const options = { ...plain, rate: 1e30, steps: 3, validateEvery: 3 };
  await assertRejects(
    () => amplify(model, goldenSelection(twins), examples, options, () => Promise.resolve(0)),
    InputError,
    "smaller rate",
  );
  assertEquals((await model.run(examples[0]!.prefix_ids)).logits, logits);
});

gpuTest("rounds bring other examples, made by the model as it is", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const asked: { round: number; logits: Float32Array }[] = [];
  const options = { ...plain, steps: 6, validateEvery: 6, mustChange: true } as const;
  const { history } = await amplify(model, goldenSelection(twins), examples.slice(0, 1), {
    ...options,
    rounds: {
      stepsPerRound: 2,
      async examples(round) {
        asked.push({ round, logits: (await model.run(examples[0]!.prefix_ids)).logits });
        return round === 3 ? [] : examples.slice(1, 2); // the third round goes on with the second's
      },
    },
  }, () => Promise.resolve(0));
  const moved = (await model.run(examples[0]!.prefix_ids)).logits;
  assertEquals(asked.map(({ round }) => round), [2, 3]);
  assertNotEquals(asked[0]!.logits, asked[1]!.logits);
  assertEquals(history.map(({ step }) => step), [0, 6]);

  // Two steps on the first example, then four on the second, by hand.
  model.revert();
  using update = new SparseUpdate(model, goldenSelection(twins), examples.slice(0, 1), options);
  for (let step = 0; step < 6; step++) {
    if (step === 2) update.use(examples.slice(1, 2));
    await update.step();
  }
  assertEquals((await model.run(examples[0]!.prefix_ids)).logits, moved);
});
