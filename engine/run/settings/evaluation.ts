/** What is measured: the task, other abilities, and controls to compare with. */
import { type Definitions, setting } from "./setting.ts";
import { listOf, mapOf, oneOf, text } from "./value_types.ts";

/** The name of the main task among abilities. */
export const mainTask = "task";

/** The main task. */
export interface DataSettings {
  /** JSONL or parquet. */
  readonly file: string;
}

/** Other tasks, by name, whose accuracy must not suffer. */
export interface AbilitySettings {
  /** Data files by name. */
  readonly abilities: Readonly<Record<string, string>>;
}

/** Controls that an amplified model is compared with: a random selection of equal size, or everything. */
export type ControlName = "random" | "unmasked";

/** Abilities and controls of a run. */
export interface EvaluationSettings extends AbilitySettings {
  /** Which, in order. */
  readonly controls: readonly ControlName[];
}

/** See DataSettings. */
export const dataDefinitions = {
  file: setting({
    name: "data",
    type: text("FILE"),
    otherwise: "the embedded task",
    help: "task: JSONL or parquet with question, answer (#### N), original_id, instance",
    example: "problems.jsonl",
  }),
} satisfies Definitions<DataSettings>;

/** See AbilitySettings. */
export const abilityDefinitions = {
  abilities: setting({
    name: "ability",
    type: mapOf(text("FILE"), { taken: { [mainTask]: "the main task" } }),
    otherwise: "choice, reverse and fact beside the data",
    help: "other ability to watch",
    example: "facts=fact.jsonl",
  }),
} satisfies Definitions<AbilitySettings>;

/** See EvaluationSettings. */
export const evaluationDefinitions = {
  ...abilityDefinitions,
  controls: setting({
    name: "controls",
    type: listOf(oneOf<ControlName>(["random", "unmasked"], "LIST"), {
      commas: true,
      none: true,
      is: "a list of random and unmasked, or none",
    }),
    default: ["random"],
    help: "random, unmasked, both with a comma, or none",
    example: "random,unmasked",
  }),
} satisfies Definitions<EvaluationSettings>;
