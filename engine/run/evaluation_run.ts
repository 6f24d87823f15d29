/** Measuring a model, with or without a patch, on a task and other abilities. */
import { join } from "node:path";
import type { Rounding } from "../checkpoint/rounding.ts";
import { roundings } from "../checkpoint/rounding.ts";
import { InputError } from "../errors.ts";
import { promptPrefix } from "../evaluation/prompt.ts";
import { shotsNotices } from "../evaluation/shots.ts";
import { splitNotices, splitProblems } from "../evaluation/split.ts";
import { scorersOf } from "../evaluation/scorers.ts";
import { evaluateTask, type Task } from "../evaluation/tasks.ts";
import { requireWritable, writeJson } from "../files.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Model } from "../model/model.ts";
import { applyRounded } from "../patch/fusion.ts";
import type { Fusion, Survival } from "../patch/fusion.ts";
import { applyPatch, readPatch } from "../patch/patch.ts";
import { embeddedTask } from "./embedded.ts";
import { loadAbilities, loadMainTask } from "./load_tasks.ts";
import { loadModel } from "./load_model.ts";
import { modelOfPatch } from "./patch_model.ts";
import { promptOptions, promptSettings } from "./prompt_settings.ts";
import {
  abilityDefinitions,
  type AbilitySettings,
  dataDefinitions,
  type DataSettings,
  mainTask,
} from "./settings/evaluation.ts";
import { modelDefinitions, type ModelSettings } from "./settings/model.ts";
import { type PromptChoices, promptDefinitions, type PromptSettings } from "./settings/prompt.ts";
import { abilitiesBeside, referenceSetting, seedSetting } from "./settings/run.ts";
import { checkSettings, setting, type Some } from "./settings/setting.ts";
import { oneOf, text } from "./settings/value_types.ts";
import { prepareGpu, type StartOptions } from "./start_options.ts";

/** A patch to put into a model first. */
export const patchSetting = setting({
  name: "patch",
  type: text("PATH"),
  otherwise: "none",
  help: "patch to apply first: a run folder or patch.safetensors",
  example: "runs/mine",
});

/** Settings of an evaluation, grouped as the engine takes them. */
export const evaluationRunDefinitions = {
  model: modelDefinitions,
  data: dataDefinitions,
  seed: seedSetting,
  prompt: promptDefinitions,
  evaluation: {
    ...abilityDefinitions,
    split: setting({
      name: "split",
      type: oneOf(["train", "validation", "test", "all"]),
      default: "test",
      help: "train, validation, test or all",
      example: "all",
    }),
  },
  patch: {
    path: patchSetting,
    rounding: setting({
      name: "rounding",
      type: oneOf([...roundings, "none"], "KIND"),
      otherwise: "none",
      help:
        "round patched rows to the checkpoint's type, as patch fuse would: nearest, stochastic (by the seed) or none",
      example: "nearest",
    }),
  },
  referenceCompat: referenceSetting,
};

/** What a user may choose of an evaluation. */
export interface EvaluationChoices {
  /** Default: the embedded model. */
  readonly model?: Some<ModelSettings>;
  /** Default: the embedded task. */
  readonly data?: Some<DataSettings>;
  /** Of the split, of stochastic rounding and of statistics. */
  readonly seed?: number | undefined;
  /** How questions are asked. */
  readonly prompt?: PromptChoices;
  /** Other abilities, and the part of the data that is measured. */
  readonly evaluation?: Some<AbilitySettings & { readonly split: EvaluationReport["split"] }>;
  /** A run folder or patch file to apply first, and how its rows are rounded. */
  readonly patch?: Some<{ readonly path: string; readonly rounding: Rounding | "none" }>;
  /** Reproduce the reference implementation's quirks. */
  readonly referenceCompat?: boolean | undefined;
}

/** What was measured and how; the contents of evaluation.json. Accuracies are fractions. */
export interface EvaluationReport {
  /** Folder or Hugging Face id. */
  readonly model: string;
  /** Of a model from the hub. */
  readonly model_commit?: string;
  /** Data file of the task. */
  readonly data: string;
  /** A run folder or patch file, null for the unchanged model. */
  readonly patch: string | null;
  /** How the patch's rows were rounded. */
  readonly rounding: Rounding | "none";
  /** The types of a rounded patch's matrices, and what rounding left of it. */
  readonly dtype?: string;
  /** What rounding left of the patch. */
  readonly survives?: Survival;
  /** The part of the data that was measured. */
  readonly split: "train" | "validation" | "test" | "all";
  /** Of the split and of stochastic rounding. */
  readonly seed: number;
  /** How questions were asked. */
  readonly prompt: {
    readonly template: string;
    readonly shots: unknown;
    readonly chat: boolean;
    readonly stop: readonly string[];
    readonly max_new_tokens: number;
  };
  /** On the task, averaged over templates. */
  readonly accuracy: number;
  /** On the task, by template. */
  readonly per_template: Readonly<Record<string, number>>;
  /** On other tasks, by name. */
  readonly other_abilities: Readonly<Record<string, number>>;
  /** Number of problems of the task and of each ability. */
  readonly problems: Readonly<Record<string, number>>;
  /** What it ran on. */
  readonly adapter: string;
}

/**
 * Evaluates a model, and writes evaluation.json into `options.out` where that is given.
 *
 * @throws {InputError} for wrong settings, data, model or patch, before anything is computed.
 *
 * @example Accuracy of the embedded model on its validation split
 * ```ts
 * import { Gpu, runEvaluate } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const { accuracy } = await runEvaluate(gpu, { evaluation: { split: "validation", abilities: {} } });
 * console.log(accuracy);
 * ```
 */
export async function runEvaluate(
  gpu: Gpu,
  given: EvaluationChoices = {},
  options: StartOptions & { readonly out?: string | undefined } = {},
): Promise<EvaluationReport> {
  return await onceMoreIfLost(gpu, options.notice, () => evaluate(gpu, given, options));
}

async function evaluate(
  gpu: Gpu,
  given: EvaluationChoices,
  options: StartOptions & { readonly out?: string | undefined },
): Promise<EvaluationReport> {
  const settings = checkSettings(evaluationRunDefinitions, given);
  const { path, rounding = "none" } = settings.patch;
  if (path === undefined && settings.patch.rounding) {
    throw new InputError(`Rounding "${rounding}" is of the rows of a patch; name one.`, "patch", "rounding");
  }
  if (options.out !== undefined) await requireWritable(options.out);
  const { source, revision } = await modelOfPatch(path, settings.model);
  const file = settings.data.file ?? embeddedTask();
  const general = await promptSettings(source, settings.prompt);
  const { split, abilities = await abilitiesBeside(file) } = settings.evaluation;
  const { tasks, prompt } = await loadTasks(
    { data: { ...settings.data, file }, prompt: general },
    abilities,
    { split, seed: settings.seed },
    options.notice,
  );
  using _scorers = scorersOf(tasks);
  await prepareGpu(gpu, options);
  using model = await loadModel(gpu, { ...settings.model, source, revision }, options);
  const fusion = path === undefined ? undefined : await applyPatchTo(model, path, rounding, settings.seed);
  using sharedPrefix = promptPrefix(model, prompt);
  const { referenceCompat } = settings;
  const accuracy: Record<string, number> = {};
  let perTemplate: Record<string, number> = {};
  for (const task of tasks) {
    const result = await evaluateTask(
      model,
      task,
      { ...promptOptions({ prompt, referenceCompat }), sharedPrefix },
      (done, total) => options.progress?.(task.name, done, total),
    );
    accuracy[task.name] = result.accuracy;
    if (task.name === mainTask) perTemplate = result.perTemplate;
  }
  const { [mainTask]: own, ...other_abilities } = accuracy;
  const { template, shots, chat, stop, maxNewTokens } = prompt;
  const report: EvaluationReport = {
    model: source,
    ...(model.commit !== undefined && { model_commit: model.commit }),
    data: file,
    patch: path ?? null,
    rounding,
    ...(fusion && { dtype: fusion.dtype, survives: fusion.survives }),
    split,
    seed: settings.seed,
    prompt: { template, shots, chat, stop, max_new_tokens: maxNewTokens },
    accuracy: own!,
    per_template: perTemplate,
    other_abilities,
    problems: Object.fromEntries(tasks.map(({ name, problems }) => [name, problems.length])),
    adapter: gpu.adapterName,
  };
  if (options.out !== undefined) await writeJson(join(options.out, "evaluation.json"), report);
  return report;
}

/** The main task's part and the other abilities; throws InputError for data that cannot be scored. */
async function loadTasks(
  { data, prompt: general }: { readonly data: DataSettings; readonly prompt: PromptSettings },
  abilities: Readonly<Record<string, string>>,
  { split, seed }: Pick<EvaluationReport, "split" | "seed">,
  notice?: (sentence: string) => void,
): Promise<{ tasks: Task[]; prompt: PromptSettings }> {
  const { file } = data;
  const { problems, scoring, prompt } = await loadMainTask(data, general, notice);
  [...splitNotices(problems, file), ...shotsNotices(problems, prompt.shots)].forEach((sentence) =>
    notice?.(sentence)
  );
  const part = split === "all" ? problems : splitProblems(problems, seed)[split];
  if (part.length === 0) {
    throw new InputError(`The ${split} part of ${file} is empty; measure all of it.`, "split");
  }
  const main: Task = { name: mainTask, problems: part, scoring };
  return { tasks: [main, ...await loadAbilities(abilities, { general, main: prompt }, notice)], prompt };
}

/** Puts a patch into the model, rounded unless `rounding` is none; tells then what rounding left of it. */
export async function applyPatchTo(
  model: Model,
  path: string,
  rounding: Rounding | "none",
  seed: number,
): Promise<Fusion | undefined> {
  const patch = await readPatch(path);
  if (rounding !== "none") return await applyRounded(model, patch, rounding, seed);
  await applyPatch(model, patch);
}
