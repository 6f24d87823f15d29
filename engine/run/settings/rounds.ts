/** Settings of rounds (fresh traces by the model as it is, then further steps) and of the fresh problems that they need. */
import { byPreset } from "./preset.ts";
import { type Definitions, setting } from "./setting.ts";
import { integer, text } from "./value_types.ts";

/** Rounds of an update. With one round there is what the traces of the unchanged model gave, and no more. */
export interface RoundSettings {
  /** How many. */
  readonly count: number;
  /** Update steps on the pivotal tokens of one round. */
  readonly stepsPerRound: number;
  /** Problems to trace anew in each round after the first. */
  readonly problems: number;
  /** Folder of template files that fresh problems are sampled from; without one, rounds have fresh puzzles, or training problems. */
  readonly templates: string | undefined;
  /** Fresh problems to validate on; 0 for the validation part of the data. */
  readonly validation: number;
}

/** See RoundSettings. */
export const roundDefinitions = {
  count: setting({
    name: "rounds",
    type: integer(1),
    otherwise: `${byPreset("rounds")}; 1 where no templates make fresh problems`,
    help:
      "rounds of traces, pivotal tokens and update steps; of puzzles with fresh instances of the data's sizes",
    example: "10",
  }),
  stepsPerRound: setting({
    name: "steps-per-round",
    type: integer(1),
    otherwise: byPreset("stepsPerRound"),
    help: "update steps of a round, where there are several",
    example: "1",
  }),
  problems: setting({
    name: "round-problems",
    type: integer(1, 1_000_000),
    otherwise: byPreset("roundProblems"),
    help: "problems traced anew in each round after the first",
    example: "128",
  }),
  templates: setting({
    name: "templates",
    type: text("DIR"),
    otherwise: "the embedded task's own for the embedded task; paper: none",
    help: "template files that fresh problems for rounds and validation are sampled from",
    example: "templates/symbolic",
  }),
  validation: setting({
    name: "validation-problems",
    type: integer(0),
    otherwise: `${byPreset("validation")}; 0 where no templates make fresh problems`,
    help: "fresh problems to validate on, 0 for the validation part of the data",
    example: "960",
  }),
} satisfies Definitions<RoundSettings>;
