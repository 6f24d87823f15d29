/** Tasks as lm-evaluation-harness defines them, instead of a data file. */
import { type Definitions, setting } from "./setting.ts";
import { integer, listOf, positive, rangeOf, text } from "./value_types.ts";

/** Which tasks, on what. */
export interface TaskSettings {
  /** Names of tasks and groups, and files of one's own tasks. */
  readonly names: readonly string[];
  /** Folder of their rows. */
  readonly data: string;
  /** Worked examples before each question. */
  readonly shots: number;
  /** Rows of each task; below 1 a share of them. */
  readonly limit: number;
  /** Sizes of puzzles. */
  readonly sizes: readonly number[];
  /** Instances of each size of a puzzle. */
  readonly instances: number;
}

/** See TaskSettings. */
export const taskDefinitions = {
  names: setting({
    name: "tasks",
    type: listOf(text("LIST"), { commas: true }),
    otherwise: "measure the data file",
    help:
      "tasks as lm-evaluation-harness defines them, with commas: gsm8k, gsm8k_cot, gsm_symbolic (_p1, _p2), mmlu (or a group or mmlu_SUBJECT), triviaqa, truthfulqa_mc1, truthfulqa_mc2, arc_easy, arc_challenge, hellaswag, winogrande, the puzzles hanoi, checkers, river and blocks, or a YAML or JSON file that describes one; up to 256 new tokens",
    example: "gsm8k,mmlu",
  }),
  data: setting({
    name: "task-data",
    type: text("DIR"),
    otherwise: "none",
    help: "folder of the tasks' rows: NAME_SPLIT.jsonl, .json, .csv or .parquet in the published fields",
    example: "rows",
  }),
  shots: setting({
    name: "num-fewshot",
    type: integer(0),
    otherwise: "each task's own",
    help: "worked examples before each question of a task",
    example: "5",
  }),
  limit: setting({
    name: "limit",
    type: positive("N"),
    otherwise: "all",
    help: "rows of each task, below 1 a share of them",
    example: "100",
  }),
  sizes: setting({
    name: "sizes",
    type: listOf(integer(1), {
      commas: true,
      is: "a range like 1-8 or a list like 2,4",
      placeholder: "RANGE",
      expand: rangeOf,
    }),
    otherwise: "1-8",
    help: "sizes of puzzles: disks, checkers of a colour, pairs, blocks",
    example: "1-8",
  }),
  instances: setting({
    name: "instances",
    type: integer(1, 1_000_000),
    otherwise: "25",
    help: "distinct instances of each size of a puzzle, drawn by the seed",
    example: "10",
  }),
} satisfies Definitions<TaskSettings>;
