/**
 * Scoring of completions: where a solution ends, which number it states, and whether that is the right one.
 * Conventions of GSM8K and GSM-Symbolic; source: arXiv 2512.16914 and its reference implementation.
 */
import { referenceNumber, statedNumber, statementEnd } from "./answer.ts";
import { lastNumber, sameNumber, toDouble } from "./number.ts";
import * as reference from "./reference_scoring.ts";
import { answerSpan, type ThinkingOptions } from "./thinking.ts";

/** Choices of scoring. */
export interface ScoringOptions extends ThinkingOptions {
  /** Read traces and answers as the reference implementation does, thinking and all: "12.5" scores as 12. Default false. */
  readonly referenceCompat?: boolean;
}

/**
 * The trace up to and with the first statement of its answer, outside of thinking: a sentence of the form `answer is … .`
 * that holds a number, or a line `#### N`; all of it where there is none. Nothing else changes, so the result is always a
 * prefix of `text`.
 */
export function cutTrace(text: string, options: ScoringOptions = {}): string {
  if (options.referenceCompat) return reference.cutTrace(text);
  const { start, end } = answerSpan(text, options);
  const length = statementEnd(text.slice(start, end));
  return start + length < end ? text.slice(0, start + length) : text;
}

/**
 * The text before the first of the `stop` texts; all of it where there is none.
 *
 * @example End a text at a stop text
 * ```ts
 * import { cutAtStop } from "../../engine/evaluation/mod.ts";
 *
 * console.log(cutAtStop("7\n\nQ: Next", ["\n\nQ:"])); // 7
 * ```
 */
export function cutAtStop(text: string, stop: readonly string[] = []): string {
  const found = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...found));
}

/**
 * The last number in `text`, as number.ts reads it; undefined if there is none or it cannot be read.
 *
 * @example The last number
 * ```ts
 * import { finalNumber } from "../../engine/evaluation/mod.ts";
 *
 * console.log(finalNumber("3 and 1,234.5")); // 1234.5
 * ```
 */
export function finalNumber(text: string): number | undefined {
  const last = lastNumber(text);
  return last && toDouble(last);
}

/**
 * Whether the number that a completion states, its thinking aside, is the answer's (answer.ts says which number that is).
 * Whole numbers must be equal; others may differ by 1e-6 of their size, for the sake of rounding.
 */
export function isCorrectNumber(completion: string, answer: string, options: ScoringOptions = {}): boolean {
  if (options.referenceCompat) return reference.isCorrectNumber(completion, answer);
  const stated = statedNumber(answerPart(completion, options));
  const gold = referenceNumber(answer);
  return stated !== undefined && "value" in gold && sameNumber(stated, gold.value);
}

/**
 * Whether a completion, its thinking aside, or what its first `answer is …` states up to the end of the line, agrees with
 * the answer but for case, runs of white space and a period at the end (` Pens.` is `pens`).
 *
 * @example Compare texts
 * ```ts
 * import { isExactMatch } from "../../engine/evaluation/mod.ts";
 *
 * console.log(isExactMatch(" Pens.", "pens")); // true
 * ```
 */
export function isExactMatch(completion: string, answer: string, options: ScoringOptions = {}): boolean {
  const given = answerPart(completion, options);
  const stated = /answer is:?(.*)/.exec(given)?.[1];
  return [given, stated].some((text) => text !== undefined && plain(text) === plain(answer));
}

/** A completion, its thinking aside; all of it as the reference implementation reads it. */
export function answerPart(completion: string, options: ScoringOptions = {}): string {
  if (options.referenceCompat) return completion;
  const { start, end } = answerSpan(completion, options);
  return completion.slice(start, end);
}

function plain(text: string): string {
  return text.trim().replace(/\s*\.$/, "").replace(/\s+/g, " ").toLowerCase();
}
