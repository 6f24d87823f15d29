/** Trains an embedded model from a seed: data, tokenizer, initial weights, training, saving, measuring. */
import { join } from "node:path";
import { plainTemplate } from "../evaluation/prompt.ts";
import { evaluateTask } from "../evaluation/tasks.ts";
import type { Problem } from "../evaluation/data.ts";
import { writeAtomically } from "../files.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { modelConfig } from "../model/config.ts";
import { Model } from "../model/model.ts";
import { readParameters } from "../model/parameters.ts";
import type { Tokenizer } from "../model/tokenizer.ts";
import type { Progress } from "../progress.ts";
import type { BatchShape, TrainingSequence } from "./batches.ts";
import {
  type DataSets,
  type Exercise,
  ExerciseStream,
  type Kind,
  kinds,
  makeDataSets,
  promptOf,
} from "./exercises.ts";
import { initialWeights } from "./initial_weights.ts";
import { LanguageTraining, stepsPerReadback } from "./language_training.ts";
import type { PretrainSettings } from "./recipe.ts";
import { modelCard, modelTitle } from "./model_card.ts";
import { generationJson, learningRate, modelJson, trainingOptions } from "./recipe.ts";
import type { LossRow, TrainingFolder } from "./training_folder.ts";
import { bosToken, eosToken, makeVocabulary, tokenizerConfig, tokenizerJson } from "./vocabulary.ts";
import denoConfig from "../../deno.json" with { type: "json" };

/** Greedy accuracy of the saved model on each data set, as fractions; math is the mean over its templates. */
export interface Measured {
  /** By kind of exercise, from 0 to 1. */
  readonly accuracy: Readonly<Record<Kind, number>>;
  /** Of word problems, by template. */
  readonly perTemplate: Readonly<Record<string, number>>;
}

/** Steps between checkpoints, a multiple of those between readbacks. */
const stepsPerCheckpoint = 50;
/** Longest completion of any exercise. */
const maxNewTokens = 48;
/** How the model is to be asked, unless the user says otherwise (prompt_settings.ts). */
const promptJson = { template: plainTemplate, shots: "none", max_new_tokens: maxNewTokens };

/** The data sets as JSONL, by file name. */
export function dataFiles(sets: DataSets): Record<string, string> {
  return Object.fromEntries(
    kinds.map((kind) => [`${kind}.jsonl`, sets[kind].map((row) => JSON.stringify(row) + "\n").join("")]),
  );
}

/**
 * Writes the data sets of a seed into a folder.
 *
 * @example The task files of another seed
 * ```ts
 * import { writeDataSets } from "../../engine/pretrain/mod.ts";
 *
 * await writeDataSets(7, await Deno.makeTempDir());
 * ```
 */
export async function writeDataSets(seed: number, folder: string) {
  for (const [name, text] of Object.entries(dataFiles(makeDataSets(seed)))) {
    await writeAtomically(join(folder, name), text);
  }
}

/**
 * Trains, saves and measures, or whatever of that the folder does not hold yet, on a fresh device from the last checkpoint where
 * one is lost; then describes the model in README.md and
 * loss.svg and lets go of the checkpoint.
 */
export async function pretrain(
  gpu: Gpu,
  folder: TrainingFolder,
  settings: PretrainSettings,
  progress: Progress,
  notice?: (sentence: string) => void,
): Promise<Measured> {
  await onceMoreIfLost(gpu, notice, async () => {
    await train(gpu, folder, settings, progress);
    if (folder.noted("accuracy")) return;
    const { accuracy, perTemplate } = await measure(gpu, folder, settings, progress);
    await folder.note({ accuracy, per_template: perTemplate });
  });
  await folder.writeText("README.md", modelCard(folder, settings));
  // Loaded when needed: the plotting library is large, and mod.ts leads here.
  const { lossPlot } = await import("./loss_plot.ts");
  await folder.writeText("loss.svg", await lossPlot(await folder.losses(), modelTitle(settings)));
  await folder.removeCheckpoint();
  return {
    accuracy: folder.noted("accuracy") as Measured["accuracy"],
    perTemplate: folder.noted("per_template") as Measured["perTemplate"],
  };
}

/** Trains to the end, from the folder's checkpoint where it has one, and saves the model. Nothing to do if that is done. */
export async function train(
  gpu: Gpu,
  folder: TrainingFolder,
  settings: PretrainSettings,
  progress: Progress,
) {
  if (folder.noted("trained")) return;
  const versions = { circuit_amp: denoConfig.version, deno: Deno.version.deno };
  await folder.note({ adapter: gpu.adapterName, versions });
  const { shape, sizes, steps, seed } = settings;
  const vocabulary = makeVocabulary();
  const json = modelJson(shape, sizes, vocabulary.length);
  const config = modelConfig(json, "config.json");
  const files = {
    "config.json": json,
    "generation_config.json": generationJson,
    "tokenizer.json": tokenizerJson(vocabulary),
    "tokenizer_config.json": tokenizerConfig,
    "prompt.json": promptJson,
  };
  const done = await folder.checkpointStep() ?? 0;
  if (done === 0) {
    await folder.writeCheckpoint(0, files, config, initialWeights(config, seed), new Map(), []);
  }
  using model = await Model.load(gpu, folder.checkpointPath, {
    storage: "f32",
    ignoreTensors: ["moments.*"],
  });
  const batches = encodeBatches(model.tokenizer, settings, progress);
  using training = new LanguageTraining(model, batchShape(batches, config), trainingOptions);
  const losses: LossRow[] = [];
  if (done > 0) {
    const checkpoint = await folder.readCheckpoint(done);
    training.restore(done, checkpoint.moments);
    losses.push(...checkpoint.losses);
  }
  progress("training", done, steps);
  for (let step = done + 1; step <= steps; step++) {
    training.step(batches[step - 1]!, learningRate(step, steps));
    if (step % stepsPerReadback > 0 && step < steps) continue;
    for (const { loss, gradientNorm } of await training.results()) {
      const at = losses.length + 1;
      losses.push({ step: at, loss, gradient_norm: gradientNorm, learning_rate: learningRate(at, steps) });
    }
    if (step % stepsPerCheckpoint === 0 || step === steps) {
      const weights = await readParameters(model);
      await folder.writeCheckpoint(step, files, config, weights, await training.moments(), losses);
    }
    progress("training", step, steps, `loss ${losses.at(-1)!.loss.toFixed(3)}`);
  }
  await folder.writeModel(files, config, await readParameters(model));
  const tokens = batches.flat().reduce((sum, { ids }) => sum + ids.length, 0);
  await folder.note({ trained: { loss: losses.at(-1)!.loss, tokens, parameters: model.parameters } });
}

/** Greedy accuracy of the model that `train` saved, loaded as anyone would. */
async function measure(
  gpu: Gpu,
  folder: TrainingFolder,
  settings: PretrainSettings,
  progress: Progress,
): Promise<Measured> {
  using model = await Model.load(gpu, folder.path);
  const sets = makeDataSets(settings.dataSeed);
  const accuracy: Partial<Record<Kind, number>> = {};
  let perTemplate: Record<string, number> = {};
  for (const kind of kinds) {
    const problems = sets[kind].map(({ id, question, answer, original_id, instance }): Problem => ({
      id,
      question,
      answer,
      templateId: String(original_id ?? "all"),
      instanceId: String(instance ?? id),
    }));
    const result = await evaluateTask(
      model,
      { name: kind, problems, scoring: kind === "math" ? "number" : "exact" },
      { template: plainTemplate, maxNewTokens },
      (done, total) => progress(kind, done, total),
    );
    accuracy[kind] = result.accuracy;
    if (kind === "math") perTemplate = result.perTemplate;
  }
  return { accuracy: accuracy as Record<Kind, number>, perTemplate };
}

/** All batches of a training, as token ids. */
function encodeBatches(
  tokenizer: Tokenizer,
  { steps, batch, seed, dataSeed }: PretrainSettings,
  progress: Progress,
): TrainingSequence[][] {
  const stream = new ExerciseStream(seed, makeDataSets(dataSeed));
  return Array.from({ length: steps }, (_, number) => {
    progress("exercises", number, steps);
    const encoded = encodeBatch(tokenizer, stream.batch(number, batch));
    if (number + 1 === steps) progress("exercises", steps, steps);
    return encoded;
  });
}

/** Exercises as token ids: `<bos>`, prompt, completion, `<eos>`. */
export function encodeBatch(tokenizer: Tokenizer, exercises: readonly Exercise[]): TrainingSequence[] {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  return exercises.map((exercise) => {
    const prompt = [bosToken, ...encode(promptOf(exercise))];
    return { ids: [...prompt, ...encode(exercise.completion), eosToken], promptLength: prompt.length };
  });
}

/** The shape that holds every batch. */
function batchShape(batches: readonly TrainingSequence[][], { vocabSize }: ModelConfig): BatchShape {
  const sizes = batches.map((batch) => batch.reduce((sum, { ids }) => sum + ids.length, 0));
  return { tokens: Math.max(...sizes), sequences: batches[0]!.length, vocabulary: vocabSize };
}
