/** Named recipes: what holds for settings that nobody gives. How they were found: fixtures/experiments.md. */
import type { SelectionMethod } from "../../circuit/selection/select.ts";
import type { ControlName } from "./control_names.ts";
import { setting } from "./setting.ts";
import { oneOf } from "./value_types.ts";

/** `default`: rounds of small steps of one norm on the densest rows. `paper`: one set of examples and a learned mask (arXiv 2512.16914). */
export type PresetName = "default" | "paper";

/** What a recipe decides. */
export interface Preset {
  readonly select: SelectionMethod;
  /** Of methods that rank components; a mask decides itself. */
  readonly budget: string;
  /** Steps of one norm, where the optimizer is sgd. */
  readonly normalize: boolean;
  /** Norm of a normalized step. */
  readonly stepNorm: number;
  readonly samples: number;
  /** Whether the embedded task has fresh problems by its templates. */
  readonly templates: boolean;
  /** Rounds where problems can be made afresh. */
  readonly rounds: number;
  readonly stepsPerRound: number;
  readonly roundProblems: number;
  /** Fresh problems to validate on. */
  readonly validation: number;
  readonly validateEvery: number;
  readonly controls: readonly ControlName[];
}

/** See PresetName. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  default: {
    select: "gradient",
    budget: "3%p",
    normalize: true,
    stepNorm: 0.1,
    samples: 4,
    templates: true,
    rounds: 10,
    stepsPerRound: 1,
    roundProblems: 128,
    validation: 240,
    validateEvery: 5,
    controls: ["random-parameters"],
  },
  paper: {
    select: "dcm",
    budget: "1%p",
    normalize: false,
    stepNorm: 0.15,
    samples: 10,
    templates: false,
    rounds: 1,
    stepsPerRound: 2,
    roundProblems: 256,
    validation: 0,
    validateEvery: 2,
    controls: ["random"],
  },
};

/** Which recipe. */
export const presetSetting = setting<PresetName>({
  name: "preset",
  type: oneOf<PresetName>(["default", "paper"]),
  otherwise: "default, or paper with --reference-compat",
  help: "recipe for what is not given: default, or paper as published",
  example: "paper",
});

/** What holds by preset, in words for help. */
export function byPreset<Key extends keyof Preset>(
  key: Key,
  show: (value: Preset[Key]) => string = String,
): string {
  return `${show(presets.default[key])}; paper: ${show(presets.paper[key])}`;
}
