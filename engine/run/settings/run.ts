/**
 * Everything that decides what a run computes. Equal settings, seed and adapter give equal results. Given settings are what a
 * user chose; in a run's settings everything is resolved, down to the text of the shots.
 */
import { dirname, join } from "node:path";
import { InputError } from "../../errors.ts";
import { embeddedModel, embeddedTask, embeddedTemplates } from "../embedded.ts";
import { promptSettings } from "../prompt_settings.ts";
import {
  dataDefinitions,
  type DataSettings,
  evaluationDefinitions,
  type EvaluationSettings,
} from "./evaluation.ts";
import {
  maskDefinitions,
  type MaskSettings,
  traceDefinitions,
  type TraceSettings,
  updateDefinitions,
  type UpdateSettings,
} from "./method.ts";
import { modelDefinitions, type ModelSettings } from "./model.ts";
import { type PromptChoices, promptDefinitions, type PromptSettings } from "./prompt.ts";
import { type Preset, type PresetName, presets, presetSetting } from "./preset.ts";
import { selectionDefinitions, type SelectionSettings } from "./selection.ts";
import { defaultRates } from "./rates.ts";
import { roundDefinitions, type RoundSettings } from "./rounds.ts";
import { checkSettings, setting, type Some, toFileValues, type Values } from "./setting.ts";
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
  preset: presetSetting,
  prompt: promptDefinitions,
  traces: traceDefinitions,
  selection: selectionDefinitions,
  mask: maskDefinitions,
  update: updateDefinitions,
  rounds: roundDefinitions,
  evaluation: evaluationDefinitions,
  referenceCompat: referenceSetting,
};

/** The settings of a run, all resolved. */
export interface RunSettings {
  /** Which model, and how it lies on the GPU. */
  readonly model: ModelSettings;
  /** The main task. */
  readonly data: DataSettings;
  /** Of everything random. */
  readonly seed: number;
  /** How questions are asked. */
  readonly prompt: PromptSettings;
  /** Traces and pivotal tokens. */
  readonly traces: TraceSettings;
  /** How components are selected, and how many. */
  readonly selection: SelectionSettings;
  /** Training of the component mask. */
  readonly mask: MaskSettings;
  /** The update of the selected rows. */
  readonly update: UpdateSettings;
  /** Fresh traces on the way. */
  readonly rounds: RoundSettings;
  /** Other abilities and controls. */
  readonly evaluation: EvaluationSettings;
  /** Reproduce the reference implementation's quirks. */
  readonly referenceCompat: boolean;
}

/** What a user may choose of them; the others take their defaults, which may hang on model and data. */
export interface RunChoices {
  /** Default: the embedded model. */
  readonly model?: Some<ModelSettings>;
  /** Default: the embedded task. */
  readonly data?: Some<DataSettings>;
  /** Default 0. */
  readonly seed?: number | undefined;
  /** Recipe for what is not given. Default: `default`, or `paper` with `referenceCompat`. */
  readonly preset?: PresetName | undefined;
  /** Default: the model's own. */
  readonly prompt?: PromptChoices;
  /** Traces and pivotal tokens. */
  readonly traces?: Some<TraceSettings>;
  /** How components are selected, and how many. */
  readonly selection?: Some<SelectionSettings>;
  /** Training of the component mask. */
  readonly mask?: Some<MaskSettings>;
  /** The update; its rate by optimizer and objective. */
  readonly update?: Some<UpdateSettings>;
  /** Fresh traces on the way; their problems come from the embedded task's templates where that is the data. */
  readonly rounds?: Some<RoundSettings>;
  /** Default: the abilities beside the data, and a random control. */
  readonly evaluation?: Some<EvaluationSettings>;
  /** Reproduce the reference implementation's quirks; default false. */
  readonly referenceCompat?: boolean | undefined;
}

/**
 * The settings of a run of which `given` says some; the others take their defaults, which may hang on model and data.
 *
 * @throws InputError for a value that does not fit, and like promptSettings.
 *
 * @example Defaults with one change
 * ```ts
 * import { runSettings } from "../../../mod.ts";
 *
 * const { traces, seed } = await runSettings({ traces: { samples: 4 } });
 * console.log(traces.samples, seed); // 4 0
 * ```
 */
export async function runSettings(given: RunChoices = {}): Promise<RunSettings> {
  const { model, data, preset: name, prompt, traces, selection, update, rounds, evaluation, ...rest } =
    checkSettings(runDefinitions, given);
  const preset = presets[name ?? (rest.referenceCompat ? "paper" : "default")];
  if (update.normalize && update.optimizer !== "sgd") {
    throw new InputError(
      "Only steps of sgd can be normalized; AdamW sets its own.",
      "normalize",
      "optimizer",
    );
  }
  const source = model.source ?? embeddedModel();
  const file = data.file ?? embeddedTask();
  const method = selection.method ?? preset.select;
  const normalize = update.normalize ?? (preset.normalize && update.optimizer === "sgd");
  return {
    ...rest,
    model: { ...model, source },
    data: { file, ...(data.scorer !== undefined && { scorer: data.scorer }) },
    prompt: await promptSettings(source, prompt),
    traces: { ...traces, samples: traces.samples ?? preset.samples },
    selection: { method, budget: selection.budget ?? (method === "dcm" ? undefined : preset.budget) },
    ...scheduleOf({ update, rounds, preset, embedded: data.file === undefined }, {
      normalize,
      rate: update.rate ?? (normalize ? preset.stepNorm : defaultRates[update.optimizer][update.objective]),
    }),
    evaluation: {
      ...evaluation,
      controls: evaluation.controls ?? preset.controls,
      abilities: evaluation.abilities ?? await abilitiesBeside(file),
    },
  };
}

/** How many rounds and steps there are. Steps given without rounds decide how many rounds they take. */
function scheduleOf(
  { update, rounds, preset, embedded }: {
    readonly update: Values<typeof updateDefinitions>;
    readonly rounds: Values<typeof roundDefinitions>;
    readonly preset: Preset;
    readonly embedded: boolean;
  },
  step: { readonly normalize: boolean; readonly rate: number },
): Pick<RunSettings, "update" | "rounds"> {
  const templates = rounds.templates ?? (embedded && preset.templates ? embeddedTemplates() : undefined);
  const validation = rounds.validation ?? (templates === undefined ? 0 : preset.validation);
  if (validation > 0 && templates === undefined) {
    throw new InputError(
      "Fresh problems to validate on need template files to be sampled from.",
      "validation-problems",
      "templates",
    );
  }
  const stepsPerRound = rounds.stepsPerRound ?? preset.stepsPerRound;
  const usual = update.steps === undefined ? preset.rounds : Math.ceil(update.steps / stepsPerRound);
  const count = rounds.count ?? (preset.rounds > 1 && templates !== undefined ? usual : 1);
  const several = count > 1;
  const steps = update.steps ?? (several ? count * stepsPerRound : 8);
  if (several && Math.ceil(steps / stepsPerRound) !== count) {
    throw new InputError(
      `${count} rounds of ${stepsPerRound} steps are ${
        count * stepsPerRound
      } steps, not ${steps}; leave the steps out.`,
      "steps",
      "steps-per-round",
    );
  }
  return {
    update: {
      ...update,
      ...step,
      steps,
      validateEvery: update.validateEvery ?? preset.validateEvery,
      patience: update.patience ?? (several ? 0 : 2),
    },
    rounds: {
      count,
      stepsPerRound,
      problems: rounds.problems ?? preset.roundProblems,
      templates,
      validation,
    },
  };
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
