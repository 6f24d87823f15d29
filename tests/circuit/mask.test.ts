/** Component masks: the one-token pass against whole prefixes and the twin, and the training schedule. L layers, P components. */
import { join } from "node:path";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import type { TokenPair } from "../../engine/circuit/localization.ts";
import { evaluateMask, type MaskEvaluation } from "../../engine/circuit/mask_pass.ts";
import { hasSettled, learnMask, type MaskOptions } from "../../engine/circuit/mask_training.ts";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { seededRandom, shuffled } from "../../engine/random.ts";
import {
  embeddedModel,
  goldenArchitectures,
  jsonLines,
  loadTwins,
  taskData,
  type Twins,
} from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { maskAdamStep } from "../../engine/reference/optimizers.ts";
import type { ReferenceModel } from "../../engine/reference/transformer.ts";
import { maskLossAndGradient, type ReferenceExample } from "../../engine/reference/objectives.ts";

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** Values in [0, 1), the same in every run. */
function randomMask(model: Model, seed: string): Float32Array<ArrayBuffer> {
  const random = seededRandom(seed);
  return Float32Array.from({ length: model.config.layers * model.componentsPerLayer }, random);
}

/** A flat mask [L · P] as the twin takes it. */
function byLayer(mask: ArrayLike<number>, layers: number): Float64Array[] {
  const size = mask.length / layers;
  return Array.from({ length: layers }, (_, l) => Float64Array.from(mask).slice(l * size, (l + 1) * size));
}

function assertSameEvaluation(what: string, actual: MaskEvaluation, expected: MaskEvaluation) {
  assertAlmostEquals(actual.loss, expected.loss, 1e-4 * Math.abs(expected.loss), what);
  assertClose(`${what}: differences`, actual.differences, expected.differences, 1e-4);
  assertClose(`${what}: gradient`, actual.gradient, expected.gradient, 1e-4);
}

/** The course of training in float64 over these batches, all at one rate. */
function trainTwin(
  reference: ReferenceModel,
  batches: readonly (readonly ReferenceExample[])[],
  { rate, strength }: { rate: number; strength: number },
) {
  const { layers, queryHeads, keyValueHeads, mlpWidth } = reference.config;
  const size = layers * (queryHeads + 2 * keyValueHeads + mlpWidth);
  const mask = new Float64Array(size).fill(1);
  const [first, second] = [new Float64Array(size), new Float64Array(size)];
  const losses = batches.map((batch, i) => {
    const { loss, gradient } = maskLossAndGradient(reference, batch, byLayer(mask, layers));
    const norm = mask.reduce((sum, value) => sum + Math.abs(value), 0);
    const flat = Float64Array.from(gradient.flatMap((layer) => [...layer]));
    maskAdamStep(mask, flat, first, second, i + 1, { ...adam, learningRate: rate, regularization: strength });
    return loss + strength * norm;
  });
  return { mask, losses };
}

for (const name of goldenArchitectures) {
  gpuTest(`one token a prefix gives ${name} the loss and gradient of whole prefixes`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model, reference, examples, referenceExamples } = twins;
    const mask = randomMask(model, name);
    const ours = await evaluateMask(model, examples, mask);
    assertSameEvaluation(name, ours, await evaluateMask(model, examples, mask, { fullPrefix: true }));
    const twin = maskLossAndGradient(
      reference,
      referenceExamples,
      byLayer(mask, model.config.layers),
    );
    assertAlmostEquals(ours.loss, twin.loss, 1e-4 * Math.abs(twin.loss));
    assertClose("differences", ours.differences, twin.differences, 1e-4);
    assertClose("gradient", ours.gradient, twin.gradient.flatMap((layer) => [...layer]), 1e-4);
  });
}

gpuTest("prefixes of one token to 120 share a batch in the one-token pass", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const rows = await jsonLines<{ question: string; answer: string }>(join(taskData, "math.jsonl"));
  const text = rows.slice(400, 406).map(({ question, answer }) => `Q: ${question}\nA: ${answer}`).join(" ");
  const ids = model.tokenizer.encode(text);
  const lengths = [1, 2, 3, 7, 20, 31, 32, 33, 34, 48, 65, 120]; // the window is 32 wide
  const examples = lengths.map((length, e): TokenPair => ({
    prefix_ids: [1, ...ids.slice(e + 1, e + length)],
    desired_token: 10 + e,
    undesired_token: 40 + 3 * e,
  }));
  assertEquals(examples.map(({ prefix_ids }) => prefix_ids.length), lengths);
  const mask = randomMask(model, "lengths");
  const ours = await evaluateMask(model, examples, mask);
  assertSameEvaluation("gemma2-mini", ours, await evaluateMask(model, examples, mask, { fullPrefix: true }));
  assertAlmostEquals(ours.loss, -ours.differences.reduce((a, b) => a + b) / 12, 1e-4);
});

gpuTest("a mask of one half is the unmasked model", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const half = new Float32Array(model.config.layers * model.componentsPerLayer).fill(0.5);
  const { differences } = await evaluateMask(model, examples, half);
  assertClose("differences", differences, await plainDifferences(twins), 1e-5);
});

/** logit[desired] - logit[undesired] of every example without any mask. */
async function plainDifferences({ model, examples }: Twins): Promise<number[]> {
  const differences: number[] = [];
  for (const { prefix_ids, desired_token, undesired_token } of examples) {
    const { logits } = await model.run(prefix_ids, { positions: [prefix_ids.length - 1] });
    differences.push(logits[desired_token]! - logits[undesired_token]!);
  }
  return differences;
}

const course: Partial<MaskOptions> = { rate: 0.05, strength: 0.02, decay: 1, patience: 0 };

for (const name of ["gemma2-tiny", "olmo2-tiny"] as const) {
  gpuTest(`30 steps of mask training on ${name} follow the twin`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model, reference, examples, referenceExamples } = twins;
    const learned = await learnMask(model, examples, { ...course, epochs: 30, batch: 3 });
    const batches = Array(30).fill(referenceExamples);
    const twin = trainTwin(reference, batches, { rate: 0.05, strength: 0.02 });
    assertEquals([learned.steps, learned.epochs, learned.stoppedEarly], [30, 30, false]);
    assertClose("losses", learned.losses, twin.losses, 1e-3);
    assertClose("mask", learned.mask, twin.mask, 1e-3);
    const selected = twin.mask.filter((value) => value > 0.5).length;
    assertEquals(learned.selected.at(-1), selected);
    assert(selected > 0 && selected < twin.mask.length);
  });
}

gpuTest("a shorter last batch weighs its examples as a batch of its own", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, reference, examples, referenceExamples } = twins;
  const learned = await learnMask(model, examples, { ...course, epochs: 4, batch: 2, seed: 5 });
  const random = seededRandom("5/mask"); // the order of training
  const batches = Array.from({ length: 4 }, () => shuffled(referenceExamples, random))
    .flatMap((order) => [order.slice(0, 2), order.slice(2)]);
  const twin = trainTwin(reference, batches, { rate: 0.05, strength: 0.02 });
  assertEquals(learned.steps, 8);
  assertClose("losses", learned.losses, twin.losses, 1e-4);
  assertClose("mask", learned.mask, twin.mask, 1e-3);
});

gpuTest("the rate falls by the decay every few epochs", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  // A strong L1 term fixes every gradient's sign, so each Adam step moves a mask by nearly the whole rate.
  const options = { ...course, rate: 0.01, strength: 1e4, epochs: 6, batch: 3, decay: 0.5, decayEvery: 2 };
  const { mask } = await learnMask(model, examples, options);
  const expected = 1 - 0.01 * (2 + 2 * 0.5 + 2 * 0.25);
  assertClose("mask", mask, new Float64Array(mask.length).fill(expected), 1e-4);
});

gpuTest(
  "training stops once the number selected has stood still, but not at its initial value",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const { model, examples } = twins;
    // Three batches an epoch; half of them, rounded up, are two.
    const options = { ...course, rate: 0.02, epochs: 60, batch: 1 };
    const whole = await learnMask(model, examples, options);
    assertEquals([whole.steps, whole.stoppedEarly], [180, false]);
    const count = whole.mask.length;
    const still = (step: number) =>
      whole.selected[step] !== count && whole.selected[step] === whole.selected[step - 1] &&
      whole.selected[step] === whole.selected[step - 2];
    const expected = whole.selected.findIndex((_, step) => step >= 2 && still(step)) + 1;
    assertEquals(whole.selected.slice(0, 3), [count, count, count]);
    const stopped = await learnMask(model, examples, { ...options, patience: 0.5, referenceStop: true });
    assert(stopped.stoppedEarly);
    assertEquals(stopped.steps, expected);
    assertGreater(stopped.steps, 5);
    assertLess(stopped.steps, 180);
    assertEquals(stopped.epochs, Math.ceil(expected / 3));
    assertEquals(stopped.losses, whole.losses.slice(0, expected));
    assertEquals([stopped.ended, whole.ended], ["reference stop", "epochs"]);
  },
);

gpuTest(
  "training ends by itself only after the selection and the loss have settled for 50 steps",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const { model, examples } = twins;
    const options = { ...course, rate: 0.05, epochs: 600, batch: 3, patience: 1, decay: 0.5, decayEvery: 25 };
    const learned = await learnMask(model, examples, options);
    assertEquals([learned.ended, learned.stoppedEarly], ["settled", true]);
    assertEquals(learned.steps % 16, 0);
    assertEquals(new Set(learned.selected.slice(-50)).size, 1);
    assertGreaterOrEqual(learned.steps, 100);
    const longer = await learnMask(model, examples, { ...options, patience: 0 });
    assertEquals(longer.ended, "epochs");
    assertEquals(longer.losses.slice(0, learned.steps), learned.losses);
  },
);

Deno.test("a mask has settled only where number and loss stand still, and not where nothing has happened yet", () => {
  const course = (loss: (step: number) => number, selected: (step: number) => number, steps = 200) =>
    Float32Array.from({ length: 2 * steps }, (_, i) => i % 2 ? selected(i >> 1) : loss(i >> 1));
  const falling = (step: number) => Math.exp(-step / 10);
  assert(hasSettled(course(falling, (step) => step < 60 ? 90 : 7), 50, 100));
  assert(!hasSettled(course(falling, (step) => step < 170 ? 8 : 7), 50, 100)); // the number moved
  assert(!hasSettled(course((step) => -step, () => 7), 50, 100)); // the loss moves
  assert(!hasSettled(course(falling, () => 100), 50, 100)); // still what it began with
  assert(!hasSettled(course(falling, () => 7, 99), 50, 100)); // too short
});

gpuTest("cross pairs average every prefix over the pairs of its whole batch", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "olmo2-tiny");
  const { model, examples } = twins;
  const options = { ...course, epochs: 5, initial: 0.5 };
  const learned = await learnMask(model, examples, { ...options, batch: 3, crossPairs: true });
  let sum = 0;
  for (const { prefix_ids } of examples) {
    const { logits } = await model.run(prefix_ids, { positions: [prefix_ids.length - 1] });
    for (const pair of examples) sum += logits[pair.desired_token]! - logits[pair.undesired_token]!;
  }
  const penalty = 0.02 * 0.5 * learned.mask.length;
  assertAlmostEquals(learned.losses[0]!, penalty - sum / 9, 1e-4 * Math.abs(penalty - sum / 9));
  // The same as nine examples of one pair each in one batch.
  const nine = examples.flatMap(({ prefix_ids }) => examples.map((pair) => ({ ...pair, prefix_ids })));
  const spelledOut = await learnMask(model, nine, { ...options, batch: 9 });
  assertClose("losses", learned.losses, spelledOut.losses, 1e-4);
  assertClose("mask", learned.mask, spelledOut.mask, 1e-3);
  const paired = await learnMask(model, examples, { ...options, batch: 3 });
  assertGreater(Math.abs(paired.losses[0]! - learned.losses[0]!), 0.1);
});

gpuTest("equal seeds give equal masks, other seeds another order", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  const options = { ...course, epochs: 6, batch: 1 };
  const masks = [];
  for (const seed of [1, 1, 2]) masks.push((await learnMask(model, examples, { ...options, seed })).mask);
  assertEquals(masks[0], masks[1]);
  assertNotEquals(masks[0], masks[2]);
});

gpuTest("a mask of another size and an empty set of examples are refused", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  await assertRejects(() => evaluateMask(model, examples, new Float32Array(5)), InputError, "5 values");
  await assertRejects(() => learnMask(model, []), InputError, "No localization examples");
  const outside = [{ ...examples[0]!, undesired_token: 64 }];
  await assertRejects(() => learnMask(model, outside), InputError, "64");
});
