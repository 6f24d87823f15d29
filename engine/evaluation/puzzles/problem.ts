/**
 * Puzzles as problems of a data file. A row carries the instance it asks for, so that any plan that solves it is right:
 *
 *     {"original_id": "hanoi 2", "instance": 0, "question": "Tower of Hanoi. Disks 1 …", "answer": "[[1, X, M], [2, X, N], [1, M, N]]",
 *      "puzzle": "hanoi", "setup": {"size": 2, "pegs": ["X", "M", "N"]}}
 */
import type { ThinkingOptions } from "../thinking.ts";
import { type PuzzleChoices, puzzleRows, puzzles } from "./catalog.ts";
import { readPlan } from "./plan.ts";
import { type AnyPuzzle, judge, planText, type PuzzleInstance } from "./puzzle.ts";

/** The instance that a problem asks for. */
export interface PuzzleProblem {
  /** The puzzle's name. */
  readonly name: string;
  /** What the puzzle's file says an instance is. */
  readonly setup: PuzzleInstance;
}

/** A row of a data file. */
export interface PuzzleDataRow {
  readonly original_id: string;
  readonly instance: number;
  readonly question: string;
  readonly answer: string;
  readonly puzzle: string;
  readonly setup: PuzzleInstance;
}

/** Rows of a puzzle by size, each size a template; `said` is of sizes that were left out. Throws InputError as puzzleRows does. */
export function puzzleData(
  puzzle: AnyPuzzle,
  choices: PuzzleChoices,
): { readonly rows: readonly PuzzleDataRow[]; readonly said: readonly string[] } {
  const { rows, said } = puzzleRows(puzzle, choices);
  const data = rows.map(({ size, instance, setup, plan }) => ({
    original_id: `${puzzle.name} ${size}`,
    instance,
    question: puzzleQuestion(puzzle, setup),
    answer: planText(plan),
    puzzle: puzzle.name,
    setup,
  }));
  return { rows: data.sort((a, b) => a.setup.size - b.setup.size), said };
}

/** How a problem asks for an instance. */
export function puzzleQuestion(puzzle: AnyPuzzle, setup: PuzzleInstance): string {
  return puzzle.text(setup).replace(/^Puzzle: /, "").replace(/\nPlan:$/, "");
}

/** What a row says of a puzzle: nothing where it lacks either field, and why where what it says is none. */
export function puzzleOf(
  { puzzle: name, setup }: { readonly puzzle?: unknown; readonly setup?: unknown },
): PuzzleProblem | { readonly fault: string } | undefined {
  if (typeof name !== "string" || setup === undefined) return undefined;
  const puzzle = puzzles.get(name);
  if (!puzzle) return { fault: `"${name}" as "puzzle": name one of ${[...puzzles.keys()].join(", ")}` };
  const parsed = puzzle.instances.safeParse(setup);
  if (parsed.success) return { name, setup: parsed.data };
  const { path, message } = parsed.error.issues[0]!;
  return { fault: `a "setup" that is no instance of ${puzzle.title}: "${path.join(".")}" ${message}` };
}

/** Whether a completion holds a whole plan, thinking aside, and it solves the instance. */
export function solves(
  completion: string,
  { name, setup }: PuzzleProblem,
  options: ThinkingOptions = {},
): boolean {
  const plan = readPlan(completion, options);
  return plan !== undefined && plan.closed && judge(puzzles.get(name)!, setup, plan.moves).solved;
}
