/**
 * Everything that decides what a run computes. Equal settings, seed and adapter give equal results. Given settings are what a
 * user chose; in a run's settings everything is resolved, down to the text of the shots.
 */
import { dirname, join } from "node:path";
import type { Shots } from "../../evaluation/shots.ts";
import type { OptimizerName } from "../../circuit/update.ts";
import type { Objective } from "../../ops/loss.ts";
import { embeddedModel, embeddedTask } from "../embedded.ts";
import { promptSettings } from "../prompt_settings.ts";
import { type controlNames, dataDefinitions, evaluationDefinitions } from "./evaluation.ts";
import { maskDefinitions, traceDefinitions, updateDefinitions } from "./method.ts";
import { modelDefinitions } from "./model.ts";
import { promptDefinitions } from "./prompt.ts";
import { readSettings, setting, settingsOf, type SettingTree, toFileValues, type Values } from "./setting.ts";
import { seed, toggle } from "./value_types.ts";

/** The seed of a run. */
export const seedSetting = setting({
  name: "seed",
  type: seed,
  default: 0,
  help: "seed of everything random",
  example: "1",
});

/** Whether to do as the reference implementation does where that differs from the paper. */
export const referenceSetting = setting({
  name: "reference-compat",
  type: toggle,
  default: false,
  help: "reproduce the reference implementation's quirks",
  example: "",
});

/** The settings of identify and amplify, grouped as the engine takes them. */
export const runDefinitions = {
  model: modelDefinitions,
  data: dataDefinitions,
  seed: seedSetting,
  prompt: promptDefinitions,
  traces: traceDefinitions,
  mask: maskDefinitions,
  update: updateDefinitions,
  evaluation: evaluationDefinitions,
  referenceCompat: referenceSetting,
};

/** Controls that an amplified model is compared with. */
export type ControlName = typeof controlNames[number];

type Given = Values<typeof runDefinitions>;

/** How questions are asked, resolved. */
export interface PromptSettings {
  readonly template: string;
  /** Worked examples, or text before the question; the examples themselves, not the name of their file. */
  readonly shots: Shots;
  /** Ask through the model's chat template. */
  readonly chat: boolean;
  /** Texts before which a completion ends. */
  readonly stop: readonly string[];
  readonly maxNewTokens: number;
}

/** Which model, resolved. */
export type ModelSettings = Given["model"] & { readonly source: string };

/** The settings of a run, all resolved. */
export type RunSettings = Omit<Given, "model" | "data" | "prompt" | "update" | "evaluation"> & {
  readonly model: ModelSettings;
  readonly data: { readonly file: string };
  readonly prompt: PromptSettings;
  readonly update: Given["update"] & { readonly rate: number };
  readonly evaluation: Given["evaluation"] & { readonly abilities: Readonly<Record<string, string>> };
};

/** Values of which any may be left out. */
export type SomeValues<V> = {
  readonly [Key in keyof V]?: V[Key] extends readonly unknown[] ? V[Key]
    : V[Key] extends object ? V[Key] | SomeValues<V[Key]>
    : V[Key] | undefined;
};

/** Default step size for each optimizer and objective; see fixtures/experiments.md for how they were chosen. */
export const defaultRates: Readonly<Record<OptimizerName, Readonly<Record<Objective, number>>>> = {
  sgd: { "preference": 0.03, "logit-difference": 0.005 },
  adamw: { "preference": 5e-4, "logit-difference": 5e-4 },
};

/**
 * The settings of a run of which `given` says some; the others take their defaults, which may hang on model and data.
 * @throws InputError for a value that does not fit, and like promptSettings.
 */
export async function runSettings(given: SomeValues<Given> = {}): Promise<RunSettings> {
  const { model, data, prompt, update, evaluation, ...rest } = checkSettings(runDefinitions, given);
  const source = model.source ?? embeddedModel();
  const file = data.file ?? embeddedTask();
  return {
    ...rest,
    model: { ...model, source },
    data: { file },
    prompt: await promptSettings(source, prompt),
    update: { ...update, rate: update.rate ?? defaultRates[update.optimizer][update.objective] },
    evaluation: { ...evaluation, abilities: evaluation.abilities ?? await abilitiesBeside(file) },
  };
}

/** Values of a tree from an object of the same form in which some are left out. Throws InputError for one that does not fit. */
export function checkSettings<const Tree extends SettingTree>(
  tree: Tree,
  given: SomeValues<Values<Tree>>,
): Values<Tree> {
  const placed = settingsOf(tree).flatMap(({ setting: { name }, path }) => {
    const value = path.reduce((node: unknown, key) => (node as Record<string, unknown>)?.[key], given);
    return value === undefined ? [] : [{ name, value, path: path.join(".") }];
  });
  const paths = new Map(placed.map(({ name, path }) => [name, path]));
  const call = (name: string) => `Setting ${paths.get(name)}`;
  return readSettings(tree, [{ given: new Map(placed.map(({ name, value }) => [name, value])), call }]);
}

/** The tasks choice, reverse and fact that lie beside a data file. */
export async function abilitiesBeside(data: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of ["choice", "reverse", "fact"]) {
    const file = join(dirname(data), `${name}.jsonl`);
    if (await Deno.stat(file).then(({ isFile }) => isFile, () => false)) found[name] = file;
  }
  return found;
}

/** A run's settings as its config.json holds them, in the form that a configuration file takes. */
export function runSettingsRecord(settings: RunSettings): Record<string, unknown> {
  const { shots } = settings.prompt;
  const prompt = { ...settings.prompt, shots: typeof shots === "string" ? { text: shots } : shots };
  return toFileValues(runDefinitions, { ...settings, prompt });
}
