/**
 * Pretraining: the small models that come with the package are trained from nothing but a seed, on the GPU, by the same
 * kernels; and any checkpoint of a supported architecture can be trained further on sequences of one's own.
 *
 * @example The learning rate of the recipe
 * ```ts
 * import { learningRate } from "./mod.ts";
 *
 * console.log(learningRate(0, 700) < learningRate(100, 700)); // true: it warms up
 * ```
 *
 * @module
 */
export { pretrain, writeDataSets } from "./pretrain.ts";
export type { Measured } from "./pretrain.ts";
export { embeddedSizes, learningRate, shapes, trainingOptions } from "./recipe.ts";
export type { PretrainSettings, Shape, Sizes } from "./recipe.ts";
export { TrainingFolder } from "./training_folder.ts";
export type { LossRow, Values } from "./training_folder.ts";
export type { SettingsFiles } from "../checkpoint/written_fields.ts";
export { LanguageTraining } from "./language_training.ts";
export type { StepResult, TrainingOptions } from "./language_training.ts";
export type { BatchShape, TrainingSequence } from "./batches.ts";
export { kinds } from "./exercises.ts";
export type { Kind } from "./exercises.ts";
