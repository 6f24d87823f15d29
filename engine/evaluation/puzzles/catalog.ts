/** The puzzles by name, and rows of instances whose solvability a search has proved. */
import { InputError } from "../../errors.ts";
import { seededRandom } from "../../random.ts";
import { blocks } from "./blocks.ts";
import { checkers } from "./checkers.ts";
import { hanoi } from "./hanoi.ts";
import type { AnyPuzzle, Move, PuzzleInstance } from "./puzzle.ts";
import { river } from "./river.ts";
import { shortestPlan } from "./search.ts";

/** Puzzles by name. */
export const puzzles: ReadonlyMap<string, AnyPuzzle> = new Map(
  [hanoi, checkers, river, blocks].map((puzzle): [string, AnyPuzzle] => [puzzle.name, puzzle]),
);

/** Sizes unless told otherwise. */
export const defaultSizes: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8];

/** An instance as it is asked. */
export interface PuzzleRow {
  readonly puzzle: string;
  readonly size: number;
  /** Its number among those of its size, from 0. */
  readonly instance: number;
  /** Moves of a shortest plan. */
  readonly minimum_moves: number;
  /** What sets it apart from others of its size. */
  readonly setup: PuzzleInstance;
  /** A shortest plan. */
  readonly plan: readonly Move[];
}

/** Which instances are asked. */
export interface PuzzleChoices {
  /** Disks, checkers of a colour, pairs or blocks. */
  readonly sizes: readonly number[];
  /** Of each size. */
  readonly instances: number;
  /** Of the draws. */
  readonly seed: number;
}

/** Rows, and a sentence on each thing that was left out. */
export interface PuzzleRows {
  readonly rows: readonly PuzzleRow[];
  readonly said: readonly string[];
}

/**
 * Instances of a puzzle: the first of each size, then the second, and so on, so that any number of rows spreads over the sizes. A
 * size's instances are the same whatever other sizes are asked, and the first ones the same whatever their number.
 * @throws {InputError} where no size is left, one is beyond what is searched, or a size has fewer instances than asked for.
 */
export function puzzleRows(puzzle: AnyPuzzle, { sizes, instances, seed }: PuzzleChoices): PuzzleRows {
  const { title, dial, smallest, largest } = puzzle;
  const beyond = sizes.find((size) => size > largest);
  if (beyond !== undefined) {
    throw new InputError(
      `${title} is proved solvable by search up to ${largest} ${dial}, not ${beyond}.`,
      "sizes",
    );
  }
  const without: string[] = [];
  const bySize = sizes.flatMap((size) => {
    if (size < smallest) {
      without.push(`${title} begins with ${smallest} ${dial}, not ${size}`);
      return [];
    }
    const drawn = draw(puzzle, size, instances, seed);
    if (shortestPlan(puzzle, drawn[0]!) === undefined) {
      const which = `${title} of ${size} ${dial}${puzzle.besides?.(drawn[0]!) ?? ""}`;
      without.push(`${which} has no solution, as a search of all its states shows`);
      return [];
    }
    return [drawn.map((setup, instance): PuzzleRow => {
      const plan = shortestPlan(puzzle, setup)!; // instances of a size differ in names only
      return { puzzle: puzzle.name, size, instance, minimum_moves: plan.length, setup, plan };
    })];
  });
  if (bySize.length === 0) {
    throw new InputError(`${without[0] ?? "No size is named"}; name one that there is.`, "sizes");
  }
  const rows = Array.from({ length: instances }, (_, i) => bySize.map((ofSize) => ofSize[i]!)).flat();
  return { rows, said: without.map((reason) => `${reason}; it is left out.`) };
}

/** Draws of these many that find nothing new mean that there is nothing new. */
const patience = 5000;

/** Instances of a size, all different, none of them the worked example. */
function draw(puzzle: AnyPuzzle, size: number, count: number, seed: number): PuzzleInstance[] {
  const random = seededRandom(`${seed}/${puzzle.name}/${size}`);
  const example = JSON.stringify(puzzle.example);
  const found = new Map<string, PuzzleInstance>();
  for (let idle = 0; found.size < count; idle++) {
    if (idle === patience) {
      throw new InputError(
        `${puzzle.title} of size ${size} has no more than ${found.size} instances to draw; ask for fewer.`,
        "instances",
      );
    }
    const instance = puzzle.draw(size, random);
    const key = JSON.stringify(instance);
    if (key === example || found.has(key)) continue;
    found.set(key, instance);
    idle = 0;
  }
  return [...found.values()];
}
