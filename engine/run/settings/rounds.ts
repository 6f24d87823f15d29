/** Settings of rounds: fresh traces by the model as it is, then further steps. */
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
  /** Folder of template files that these problems are sampled from; without one they are training problems. */
  readonly templates: string | undefined;
}

/** See RoundSettings. */
export const roundDefinitions = {
  count: setting({
    name: "rounds",
    type: integer(1),
    default: 1,
    help: "rounds of traces, pivotal tokens and update steps",
    example: "10",
  }),
  stepsPerRound: setting({
    name: "steps-per-round",
    type: integer(1),
    default: 2,
    help: "update steps of a round, where there are several",
    example: "1",
  }),
  problems: setting({
    name: "round-problems",
    type: integer(1, 1_000_000),
    default: 256,
    help: "problems traced anew in each round after the first",
    example: "128",
  }),
  templates: setting({
    name: "round-templates",
    type: text("DIR"),
    otherwise: "the embedded task's templates; training problems for other data",
    help: "template files that rounds sample fresh problems from",
    example: "templates/symbolic",
  }),
} satisfies Definitions<RoundSettings>;
