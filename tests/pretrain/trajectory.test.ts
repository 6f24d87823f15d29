/** Training against its float64 twin: 30 steps from the same weights on the same batches. */
import { join } from "node:path";
import { assert, assertEquals, assertLess } from "@std/assert";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import type { ModelConfig } from "../../engine/model/architecture.ts";
import { readConfig } from "../../engine/model/config.ts";
import { Model } from "../../engine/model/model.ts";
import { readParameters } from "../../engine/model/parameters.ts";
import { ExerciseStream, makeDataSets } from "../../engine/pretrain/exercises.ts";
import { initialWeights } from "../../engine/pretrain/initial_weights.ts";
import {
  LanguageTraining,
  type StepResult,
  stepsPerReadback,
} from "../../engine/pretrain/language_training.ts";
import { encodeBatch, train } from "../../engine/pretrain/pretrain.ts";
import { learningRate, type Shape, shapes, trainingOptions } from "../../engine/pretrain/recipe.ts";
import { type LossRow, TrainingFolder } from "../../engine/pretrain/training_folder.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { randomModel, smallSizes } from "../model/random_model.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { TrainingTwin, type TwinOptions } from "../reference/training.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { shortTraining } from "./training_fixture.ts";

const steps = 30;
const stream = new ExerciseStream(1, makeDataSets(0));

/** A training of the very small configuration by the command's own path: the folder's losses and its trained model. */
async function trainShort(gpu: Gpu, shape: Shape, path: string) {
  const settings = shortTraining(shape, { steps });
  using folder = await TrainingFolder.open(path, { ...settings }, false);
  await train(gpu, folder, settings, () => {});
  return {
    settings,
    config: await readConfig(path),
    rows: await jsonLines<LossRow>(join(path, "loss.jsonl")),
    model: await Model.load(gpu, folder.checkpointPath, { storage: "f32" }),
  };
}

function twinOf(config: ModelConfig, weights: ReadonlyMap<string, Float32Array>, options: TwinOptions) {
  const wide = new Map([...weights].map(([name, data]) => [name, Float64Array.from(data)]));
  return new TrainingTwin(new ReferenceModel(config, wide), options);
}

function assertSameStep(step: number, actual: StepResult, expected: StepResult) {
  assertClose(`loss of step ${step}`, [actual.loss], [expected.loss], 1e-4);
  assertClose(`gradient norm of step ${step}`, [actual.gradientNorm], [expected.gradientNorm], 1e-3);
}

async function assertSameWeights(model: Model, twin: TrainingTwin) {
  const trained = await readParameters(model);
  assertEquals([...trained.keys()].sort(), [...twin.model.weights.keys()].sort());
  for (const [name, values] of twin.model.weights) assertClose(name, trained.get(name)!, values, 1e-3);
}

for (const shape of shapes) {
  gpuTest(`30 steps of pretraining a ${shape} follow the float64 twin`, async ({ gpu }) => {
    await using out = await temporaryFolder();
    const trained = await trainShort(gpu, shape, out.path);
    using model = trained.model;
    const { settings, config, rows } = trained;
    assertEquals(rows.map(({ step }) => step), Array.from({ length: steps }, (_, i) => i + 1));
    const twin = twinOf(config, initialWeights(config, settings.seed), trainingOptions);
    for (const [i, row] of rows.entries()) {
      const rate = learningRate(i + 1, steps);
      assertEquals(row.learning_rate, rate);
      const expected = twin.step(encodeBatch(model.tokenizer, stream.batch(i, settings.batch)), rate);
      assertSameStep(i + 1, { loss: row.loss, gradientNorm: row.gradient_norm }, expected);
    }
    await assertSameWeights(model, twin);
  });

  gpuTest(`so do 30 large steps of a ${shape}, some clipped, in batches that leave room`, async ({ gpu }) => {
    await using out = await temporaryFolder();
    const { model: loaded, config } = await trainShort(gpu, shape, out.path);
    using model = loaded;
    const options = { ...trainingOptions, clip: 0.9, weightDecay: 0.3, promptWeight: 0.7 };
    const twin = twinOf(config, await readParameters(model), options);
    // The fourth batch fills every row; most leave tokens, and some sequences, to padding.
    const batches = Array.from(
      { length: steps },
      (_, i) => encodeBatch(model.tokenizer, stream.batch(100 + i, i % 4 === 3 ? 4 : 3)),
    );
    const tokens = Math.max(...batches.map((batch) => batch.reduce((sum, { ids }) => sum + ids.length, 0)));
    using training = new LanguageTraining(
      model,
      { tokens, sequences: 4, vocabulary: config.vocabSize },
      options,
    );
    const expected: StepResult[] = [];
    const actual: StepResult[] = [];
    for (const [i, batch] of batches.entries()) {
      const rate = 0.02 * 0.97 ** i;
      training.step(batch, rate);
      expected.push(twin.step(batch, rate));
      if ((i + 1) % stepsPerReadback === 0) actual.push(...await training.results());
    }
    actual.forEach((result, i) => assertSameStep(i + 1, result, expected[i]!));
    await assertSameWeights(model, twin);
    const clipped = expected.filter(({ gradientNorm }) => gradientNorm > options.clip).length;
    assert(clipped > 3 && clipped < steps - 3, `${clipped} of ${steps} steps were clipped`);
    assertLess(expected.at(-1)!.loss, expected[0]!.loss - 1);
  });
}

gpuTest("biases and an output matrix of its own are trained too, biases without decay", async ({ gpu }) => {
  await using random = await randomModel({ ...smallSizes, model_type: "llama", attention_bias: true });
  using model = await Model.load(gpu, random.path, { storage: "f32" });
  const options = { ...trainingOptions, weightDecay: 0.3 };
  const twin = new TrainingTwin(random.reference, options);
  using training = new LanguageTraining(model, { tokens: 20, sequences: 2, vocabulary: 37 }, options);
  const batch = [{ ids: [3, 1, 4, 1, 5, 9, 2, 6], promptLength: 3 }, {
    ids: [8, 30, 31, 9],
    promptLength: 1,
  }];
  for (let step = 1; step <= stepsPerReadback; step++) {
    training.step(batch, 0.01);
    const expected = twin.step(batch, 0.01);
    assertSameStep(step, (await training.results())[0]!, expected);
  }
  await assertSameWeights(model, twin);
});
