/** What is measured: the task, other abilities, and controls to compare with. */
import { type ControlName, controlNames } from "./control_names.ts";
import { byPreset } from "./preset.ts";
import { type Definitions, setting } from "./setting.ts";
import { integer, listOf, mapOf, oneOf, text } from "./value_types.ts";

/** The name of the main task among abilities. */
export const mainTask = "task";

/** The main task. */
export interface DataSettings {
  /** JSONL or parquet, or a task file. */
  readonly file: string;
  /** A rule's name or a file that judges completions; default what the task's file says, for a data file `number`. */
  readonly scorer?: string | undefined;
}

/** Other tasks, by name, whose accuracy must not suffer. */
export interface AbilitySettings {
  /** Data files or task files by name. */
  readonly abilities: Readonly<Record<string, string>>;
}

/** Abilities and controls of a run. */
export interface EvaluationSettings extends AbilitySettings {
  /** Which, in order. */
  readonly controls: readonly ControlName[];
  /** How many selections each control that is drawn at random has. */
  readonly draws: number;
}

/** See DataSettings. */
export const dataDefinitions = {
  file: setting({
    name: "data",
    type: text("FILE"),
    otherwise: "the embedded task",
    help:
      "task: JSONL or parquet with question, answer (#### N), original_id, instance; or a YAML or JSON task file that says how its rows are asked and judged",
    example: "problems.jsonl",
  }),
  scorer: setting({
    name: "scorer",
    type: text("SCORER"),
    otherwise: "the task file's own, for a data file number",
    help:
      "what judges completions: number, exact, contains, regex (a task file's pattern), choice (the rows' choices), or a TypeScript file whose default export judges { completion, row } from 0 to 1, right from 0.5 on, run without permissions",
    example: "contains",
  }),
} satisfies Definitions<DataSettings>;

/** See AbilitySettings. */
export const abilityDefinitions = {
  abilities: setting({
    name: "ability",
    type: mapOf(text("FILE"), { taken: { [mainTask]: "the main task" } }),
    otherwise: "choice, reverse and fact beside the data",
    help:
      "other ability to watch: a data file (by exact match, or by number where all answers end in #### N) or a task file",
    example: "facts=fact.jsonl",
  }),
} satisfies Definitions<AbilitySettings>;

/** See EvaluationSettings. */
export const evaluationDefinitions = {
  ...abilityDefinitions,
  controls: setting({
    name: "controls",
    type: listOf(oneOf<ControlName>(controlNames, "LIST"), {
      commas: true,
      none: true,
      expand: (text) => text === "all" ? controlNames : [text],
      is: `a list of ${controlNames.join(", ")}, or all or none`,
    }),
    otherwise: byPreset("controls", (names) => names.join(", ")),
    help: `${controlNames.join(", ")}, several with commas, all, or none`,
    example: "random,unmasked",
  }),
  draws: setting({
    name: "draws",
    type: integer(1, 10_000),
    default: 3,
    help: "random selections per random control",
    example: "19",
  }),
} satisfies Definitions<EvaluationSettings>;
