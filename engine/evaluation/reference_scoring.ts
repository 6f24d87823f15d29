/**
 * How the reference implementation of arXiv 2512.16914 cuts and reads traces, quirks included; `--reference-compat`. The cut
 * sentence ends at the first period, a decimal point too, and the last plain number counts.
 */

const answerSentence = /answer is[^.]*\./;
// A minus is a sign only where nothing before it could be subtracted from: in "-5" and "= -5", not in "7-5",
// "x-5" or "7 - 5". Group 1 is the sign, group 2 the digits, with or without thousands separators.
const number =
  /((?<![\w)\]%])[-\u2212][$€£]?)?(\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)/g;

/**
 * The trace up to and with its first sentence of the form `answer is … .`; all of it where there is none.
 *
 * @example End a solution at its answer
 * ```ts
 * import { cutTrace } from "../../engine/evaluation/mod.ts";
 *
 * console.log(cutTrace("3 + 4 = 7. The answer is 7. Q: Next")); // 3 + 4 = 7. The answer is 7.
 * ```
 */
export function cutTrace(text: string): string {
  const sentence = answerSentence.exec(text);
  return sentence ? text.slice(0, sentence.index + sentence[0].length) : text;
}

/**
 * Whether a completion, cut after its answer sentence, ends on the last number of the answer's last `####` part.
 *
 * @example Score a completion
 * ```ts
 * import { isCorrectNumber } from "../../engine/evaluation/mod.ts";
 *
 * console.log(isCorrectNumber("So it is \\frac{1}{2}.", "#### 0.5")); // true
 * ```
 */
export function isCorrectNumber(completion: string, answer: string): boolean {
  const stated = lastPlainNumber(cutTrace(completion));
  const gold = lastPlainNumber(answer.split("####").at(-1)!);
  if (stated === undefined || gold === undefined) return false;
  if (Number.isInteger(stated) && Number.isInteger(gold)) return stated === gold;
  return Math.abs(stated - gold) <= 1e-6 * Math.max(Math.abs(stated), Math.abs(gold));
}

/** The last number written in plain digits; undefined if there is none. */
function lastPlainNumber(text: string): number | undefined {
  const last = [...text.matchAll(number)].at(-1);
  if (!last) return undefined;
  const size = Number(last[2]!.replaceAll(",", ""));
  // `0 - size`, so that "-0" is plain 0.
  return last[1] ? 0 - size : size;
}
