/** Puzzles as tasks: how an instance is asked after a worked example, and what is kept of each plan. */
import { z } from "npm:zod@4.6.7";
import type { TaskRows } from "../harness/prompts.ts";
import type { Judged, JudgedTask, Written } from "../harness/task.ts";
import type { ThinkingOptions } from "../thinking.ts";
import type { PuzzleRow } from "./catalog.ts";
import { readPlan } from "./plan.ts";
import { type AnyPuzzle, judge, planText } from "./puzzle.ts";
import { shortestPlan } from "./search.ts";

/**
 * How a completion ends up. `cut_off`: the limit of tokens came before the plan's end, and what there is of it is legal, so that nothing
 * is known of the plan.
 */
export type PlanOutcome = "solved" | "illegal_move" | "goal_not_reached" | "no_plan" | "cut_off";

/** All of them, in the order of tables. */
export const planOutcomes: readonly PlanOutcome[] = [
  "solved",
  "illegal_move",
  "goal_not_reached",
  "no_plan",
  "cut_off",
];

/** What samples keep of a plan. */
export interface PlanRecord {
  readonly outcome: PlanOutcome;
  /** Moves in the plan. */
  readonly moves: number;
  /** Legal ones from its beginning on. */
  readonly legal_moves: number;
  /** Number of the first illegal move, from 1; null where there is none. */
  readonly first_wrong_move: number | null;
  /** What is wrong, in words; null of a solution. */
  readonly fault: string | null;
  /** Tokens written, thinking included. */
  readonly tokens: number;
}

/** Judges what was written as a plan of an instance. */
export function judgePlan(
  puzzle: AnyPuzzle,
  { setup }: Pick<PuzzleRow, "setup">,
  { text, tokens, atLimit }: Written,
  options: ThinkingOptions = {},
): Judged & { readonly record: PlanRecord } {
  const plan = readPlan(text, options);
  if (!plan) {
    const outcome = atLimit ? "cut_off" : "no_plan";
    const fault = "there is no list of moves";
    const record = { outcome, moves: 0, legal_moves: 0, first_wrong_move: null, fault, tokens } as const;
    return { answer: "", correct: false, record };
  }
  const { solved, firstWrong, legal, why } = judge(puzzle, setup, plan.moves);
  const cutOff = firstWrong === null && atLimit && !plan.closed;
  const outcome = cutOff
    ? "cut_off"
    : solved
    ? "solved"
    : firstWrong === null
    ? "goal_not_reached"
    : "illegal_move";
  const record: PlanRecord = {
    outcome,
    moves: plan.moves.length,
    legal_moves: legal,
    first_wrong_move: firstWrong,
    fault: cutOff ? "the plan has no end" : why ?? null,
    tokens,
  };
  return { answer: planText(plan.moves), correct: outcome === "solved", record };
}

/** A puzzle as a task of these rows. In a chat the model ends its turn itself; else a completion ends before another puzzle. */
export function puzzleTask(
  puzzle: AnyPuzzle,
  rows: readonly PuzzleRow[],
  { chat }: { readonly chat: boolean },
): { readonly task: JudgedTask<PuzzleRow>; readonly data: TaskRows } {
  const { example } = puzzle;
  const plan = shortestPlan(puzzle, example)!;
  const shot: PuzzleRow = {
    puzzle: puzzle.name,
    size: example.size,
    instance: -1,
    minimum_moves: plan.length,
    setup: example,
    plan,
  };
  const task: JudgedTask<PuzzleRow> = {
    kind: "generation",
    name: puzzle.name,
    alias: puzzle.title,
    version: 1,
    files: [],
    rows: z.custom<PuzzleRow>(),
    split: "test",
    shotDocs: [shot],
    sampler: "first",
    shots: 1,
    text: ({ setup }) => puzzle.text(setup),
    answer: ({ plan }) => planText(plan),
    target: ({ plan }) => planText(plan),
    until: chat ? [] : ["\n\nPuzzle:"],
    judge: (written, row, options) => judgePlan(puzzle, row, written, options),
  };
  // The plan is not repeated beside the target.
  return { task, data: { rows: rows.map(({ plan: _, ...row }) => row), docs: rows, shotDocs: [] } };
}
