/** What is measured: the task, other abilities, and controls to compare with. */
import { setting } from "./setting.ts";
import { listOf, mapOf, oneOf, text } from "./value_types.ts";

/** The name of the main task among abilities. */
export const mainTask = "task";

/** The main task. */
export const dataDefinitions = {
  file: setting({
    name: "data",
    type: text("FILE"),
    otherwise: "the embedded task",
    help: "task: JSONL or parquet with question, answer (#### N), original_id, instance",
    example: "problems.jsonl",
  }),
};

/** Other tasks, whose accuracy must not suffer. */
export const abilityDefinitions = {
  abilities: setting({
    name: "ability",
    type: mapOf(text("FILE"), { taken: { [mainTask]: "the main task" } }),
    otherwise: "choice, reverse and fact beside the data",
    help: "other ability to watch",
    example: "facts=fact.jsonl",
  }),
};

/** Controls that an amplified model is compared with. */
export const controlNames = ["random", "unmasked"] as const;

/** Abilities and controls of a run. */
export const evaluationDefinitions = {
  ...abilityDefinitions,
  controls: setting({
    name: "controls",
    type: listOf(oneOf(controlNames, "LIST"), {
      commas: true,
      none: true,
      is: "a list of random and unmasked, or none",
    }),
    default: ["random"],
    help: "random, unmasked, both with a comma, or none",
    example: "random,unmasked",
  }),
};
