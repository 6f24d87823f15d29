/**
 * The form of a puzzle with one dial of complexity, as in The Illusion of Thinking (arXiv 2506.06941): instances of a size, rules, and
 * a judgement of whole plans.
 */
import type { z } from "npm:zod@4.6.7";

/** The words of a move in order, such as a disk and two pegs. */
export type Move = readonly string[];

/** An instance, as plain JSON. */
export interface PuzzleInstance {
  /** The dial: disks, checkers of a colour, pairs of people, blocks. */
  readonly size: number;
}

/** Why a move breaks the rules. */
export class Illegal {
  constructor(readonly why: string) {}
}

/** A puzzle: its instances, its states, and the moves between them. */
export interface Puzzle<Instance extends PuzzleInstance, State> {
  /** As tasks are named. */
  readonly name: string;
  /** As people call it. */
  readonly title: string;
  /** What a size counts. */
  readonly dial: string;
  /** What else decides whether there is a plan, to follow the dial in a sentence. */
  readonly besides?: (instance: Instance) => string;
  /** Sizes that there are, and that a search decides in seconds. */
  readonly smallest: number;
  readonly largest: number;
  /** What an instance must hold, for those that come from files. */
  readonly instances: z.ZodType<Instance>;
  /** Shown with its plan before each question. */
  readonly example: Instance;
  /** An instance of a size; instances differ in names only, so that all of a size have plans of one length. */
  readonly draw: (size: number, random: () => number) => Instance;
  /** Rules, start and goal in words, up to where the plan begins. */
  readonly text: (instance: Instance) => string;
  readonly start: (instance: Instance) => State;
  readonly solved: (state: State, instance: Instance) => boolean;
  /** The state after a move, or why there is none. */
  readonly play: (state: State, move: Move, instance: Instance) => State | Illegal;
  /** Every move that may be legal. */
  readonly moves: (state: State, instance: Instance) => Move[];
  /** Equal for states from which plans are equally long. */
  readonly key: (state: State, instance: Instance) => string;
  /** At most the moves from here to the goal, and at most one more than from any next state; default 0. */
  readonly atLeast?: (state: State, instance: Instance) => number;
}

// deno-lint-ignore no-explicit-any -- puzzles of every kind of state stand in one list; each plays its own instances only
export type AnyPuzzle = Puzzle<any, any>;

/** What a plan does. */
export interface Verdict {
  /** All moves are legal and the last one reaches the goal. */
  readonly solved: boolean;
  /** The number of the first illegal move, from 1; null where all are legal. */
  readonly firstWrong: number | null;
  /** Moves before it. */
  readonly legal: number;
  /** What is wrong, in words; absent of a solution. */
  readonly why?: string;
}

/** Plays a whole plan from the start. */
export function judge<I extends PuzzleInstance, S>(
  puzzle: Puzzle<I, S>,
  instance: I,
  plan: readonly Move[],
): Verdict {
  let state = puzzle.start(instance);
  for (const [i, move] of plan.entries()) {
    const next = puzzle.play(state, move, instance);
    if (next instanceof Illegal) {
      return { solved: false, firstWrong: i + 1, legal: i, why: next.why };
    }
    state = next;
  }
  const solved = puzzle.solved(state, instance);
  return { solved, firstWrong: null, legal: plan.length, ...(!solved && { why: "the goal is not reached" }) };
}

/** A plan as prompts show it and completions are to write it. */
export function planText(plan: readonly Move[]): string {
  return `[${plan.map((move) => `[${move.join(", ")}]`).join(", ")}]`;
}
