/** How completions are judged right or wrong: rules by name, and scorers from files. */
import { namedChoice, rightChoice } from "./choices.ts";
import { CustomScorer } from "./custom_scorer.ts";
import type { Problem } from "./data.ts";
import { solves } from "./puzzles/problem.ts";
import { answerPart, isCorrectNumber, isExactMatch, type ScoringOptions } from "./scoring.ts";

/** A rule by its name; Scoring says what each does. */
export type ScorerName = "number" | "exact" | "contains" | "regex" | "choice";

/** All rules. */
export const scorerNames: readonly ScorerName[] = ["number", "exact", "contains", "regex", "choice"];

/**
 * `number`: the number that the trace states. `exact`: the whole completion, ignoring case, spaces and a final period. `contains`: the
 * answer stands in it, ignoring case. A pattern: the first group of its first match is compared as `exact` does. `choice`: of the
 * problem's choices the one that it names first, by text or letter. A scorer from a file: right from 0.5 on. Of a problem that asks for
 * a puzzle's instance, whichever is named, a plan that solves it is right.
 */
export type Scoring = Exclude<ScorerName, "regex"> | { readonly pattern: RegExp } | CustomScorer;

/** Whether a completion answers its problem. Throws InputError where a scorer from a file fails, or the problem lacks choices. */
export async function isCorrect(
  completion: string,
  problem: Problem,
  scoring: Scoring,
  options: ScoringOptions,
): Promise<boolean> {
  const { answer, puzzle } = problem;
  if (puzzle) return solves(completion, puzzle, options);
  if (scoring === "number") return isCorrectNumber(completion, answer, options);
  if (scoring === "exact") return isExactMatch(completion, answer, options);
  if (scoring instanceof CustomScorer) {
    return await scoring.score({ completion, row: rowOf(problem) }) >= 0.5;
  }
  const said = answerPart(completion, options);
  if (scoring === "contains") return said.toLowerCase().includes(answer.toLowerCase());
  if (scoring === "choice") {
    const choices = problem.choices ?? [];
    return namedChoice(said, choices) === rightChoice(answer, choices);
  }
  const group = firstGroup(said, scoring.pattern);
  return group !== undefined && isExactMatch(group, answer);
}

/** What a scorer from a file is shown of a problem: its row as it was read, else what is known of it. */
export function rowOf({ row, question, answer, templateId, instanceId }: Problem): Record<string, unknown> {
  return row ?? { question, answer, original_id: templateId, instance: instanceId };
}

/** The first group that is not empty in the first match of a pattern. */
function firstGroup(text: string, pattern: RegExp): string | undefined {
  return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).exec(text)?.slice(1).find(Boolean);
}

/** What ends the scorers from files among those of some tasks. */
export function scorersOf(tasks: readonly { readonly scoring: Scoring }[]): DisposableStack {
  const stack = new DisposableStack();
  for (const { scoring } of tasks) if (scoring instanceof CustomScorer) stack.use(scoring);
  return stack;
}
