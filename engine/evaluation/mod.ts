/**
 * Evaluation: problems and their splits, prompts, how completions are read and scored, and statistics of the outcomes.
 *
 * @example Read the answer of a reasoning model
 * ```ts
 * import { isCorrectNumber } from "./mod.ts";
 *
 * console.log(isCorrectNumber("<think>9? No.</think> So it is \\frac{1}{2}.", "#### 0.5")); // true
 * ```
 *
 * @module
 */
export { InputError } from "../errors.ts";
export { loadProblems, requireNumericAnswers } from "./data.ts";
export type { Problem } from "./data.ts";
export type { PuzzleProblem } from "./puzzles/problem.ts";
export type { PuzzleInstance } from "./puzzles/puzzle.ts";
export { countDuplicates, splitNotices, splitProblems } from "./split.ts";
export type { Split, SplitFractions } from "./split.ts";
export { chainOfThoughtTemplate, encodePrompt, plainTemplate, promptPrefix, promptText } from "./prompt.ts";
export type { PromptFormat } from "./prompt.ts";
export { readShots, shotsNotices, workedExamples } from "./shots.ts";
export type { Shot, Shots } from "./shots.ts";
export { referenceNumber, statedNumber } from "./answer.ts";
export type { SingleNumber } from "./answer.ts";
export { readNumbers, sameNumber, toDouble } from "./number.ts";
export type { ExactNumber, ReadNumber } from "./number.ts";
export { answerSpan, publishedThinkingTags } from "./thinking.ts";
export type { AnswerSpan, ThinkingOptions } from "./thinking.ts";
export { cutAtStop, cutTrace, finalNumber, isCorrectNumber, isExactMatch } from "./scoring.ts";
export type { ScoringOptions } from "./scoring.ts";
export { completionText, endAtStop, endOfAnswer, evaluateTask } from "./tasks.ts";
export type { EndOfCompletion, PromptOptions, Task, TaskPrompt, TaskResult } from "./tasks.ts";
export { CustomScorer } from "./custom_scorer.ts";
export type { ScorerInput } from "./custom_scorer.ts";
export type { ScorerName, Scoring } from "./scorers.ts";
export { bootstrapGain, flips, macroAccuracy, mcnemarExact, wilsonInterval } from "./statistics.ts";
export type { Flips, Interval } from "./statistics.ts";
