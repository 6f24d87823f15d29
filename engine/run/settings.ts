/** Everything that decides what a run computes. Equal settings, seed and adapter give equal results. */
import { maskDefaults } from "../circuit/mask_training.ts";
import type { PivotMethod } from "../circuit/pivots.ts";
import { traceDefaults } from "../circuit/traces.ts";
import type { OptimizerName } from "../circuit/update.ts";
import type { Shots } from "../evaluation/shots.ts";
import type { StorageChoice } from "../model/weights.ts";
import type { Objective } from "../ops/loss.ts";

/** Controls that an amplified model is compared with: see DESIGN of the experiment in the README. */
export type ControlName = "random" | "unmasked";

/** Settings of identify, amplify and evaluate; names are those of the command-line flags. */
export interface RunSettings {
  /** A folder or a Hugging Face id. */
  readonly model: string;
  /** Branch, tag or commit of a Hugging Face id. */
  readonly revision?: string;
  readonly data: string;
  /** Other tasks, by name, whose accuracy must not suffer. */
  readonly abilities: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly promptTemplate: string;
  /** Worked examples, or text before the question; the examples themselves, not the name of their file. */
  readonly shots: Shots;
  /** Ask through the model's chat template. */
  readonly chat: boolean;
  /** Texts before which a completion ends. */
  readonly stop: readonly string[];
  readonly maxNewTokens: number;
  readonly storage: StorageChoice;
  /** GiB of keys and values that a stage holds at once; 0 for a quarter of the weights, at least 2. */
  readonly cacheMemory: number;
  /** Most training problems to trace; 0 for all. */
  readonly limit: number;
  readonly pivot: PivotMethod;
  readonly samples: number;
  readonly temperatureRight: number;
  readonly temperatureWrong: number;
  readonly maskRate: number;
  readonly maskStrength: number;
  readonly maskEpochs: number;
  readonly maskBatch: number;
  readonly objective: Objective;
  readonly optimizer: OptimizerName;
  readonly rate: number;
  readonly weightDecay: number;
  readonly steps: number;
  readonly validateEvery: number;
  readonly patience: number;
  readonly controls: readonly ControlName[];
  readonly referenceCompat: boolean;
}

/** How questions are asked; the defaults hang on the model: promptSettings. */
export type PromptSettings = Pick<
  RunSettings,
  "promptTemplate" | "shots" | "chat" | "stop" | "maxNewTokens"
>;

/** Default step size for each optimizer and objective; see fixtures/experiments.md for how they were chosen. */
export const defaultRates: Readonly<Record<OptimizerName, Readonly<Record<Objective, number>>>> = {
  sgd: { "preference": 0.03, "logit-difference": 0.005 },
  adamw: { "preference": 5e-4, "logit-difference": 5e-4 },
};

/** Defaults of everything but model, data and how questions are asked (promptSettings). */
export const settingDefaults = {
  abilities: {},
  seed: 0,
  storage: "auto",
  cacheMemory: 0,
  limit: 0,
  pivot: "prefix",
  ...traceDefaults,
  maskRate: maskDefaults.rate,
  maskStrength: maskDefaults.strength,
  maskEpochs: maskDefaults.epochs,
  maskBatch: maskDefaults.batch,
  objective: "preference",
  optimizer: "sgd",
  rate: defaultRates.sgd.preference,
  weightDecay: 0,
  steps: 8,
  validateEvery: 2,
  patience: 2,
  controls: ["random"],
  referenceCompat: false,
} as const satisfies Omit<RunSettings, "model" | "data" | keyof PromptSettings>;
