/**
 * Scoring of completions: where a solution ends, which number it states, and whether that is the right one.
 * Conventions of GSM8K and GSM-Symbolic; source: arXiv 2512.16914 and its reference implementation.
 */

/** Choices of scoring. */
export interface ScoringOptions {
  /** Cut traces as the reference implementation does, decimals too: "12.5" scores as 12. Default false. */
  readonly referenceCompat?: boolean;
}

// The sentence runs to a period that no digit follows or, once it holds a digit, to the end of its line:
// a solution that forgets its period must not swallow the next question and that question's numbers.
const answerSentence = /answer is(?:[^.\d]|\.(?=\d))*(?:[^.\n]|\.(?=\d))*\.?/;
const referenceAnswerSentence = /answer is[^.]*\./;

// A minus is a sign only where nothing before it could be subtracted from: in "-5" and "= -5", not in "7-5",
// "x-5" or "7 - 5". Group 1 is the sign, group 2 the digits, with or without thousands separators.
const number =
  /((?<![\w)\]%])[-\u2212][$€£]?)?(\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)/g;

/**
 * The trace up to and with its first sentence of the form `answer is … .`; all of it where there is none.
 * Nothing else changes, so the result is always a prefix of `text`.
 */
export function cutTrace(text: string, options: ScoringOptions = {}): string {
  const sentence = (options.referenceCompat ? referenceAnswerSentence : answerSentence).exec(text);
  return sentence ? text.slice(0, sentence.index + sentence[0].length) : text;
}

/** The text before the first of the `stop` texts; all of it where there is none. */
export function cutAtStop(text: string, stop: readonly string[] = []): string {
  const found = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...found));
}

/** The last number in `text`, reading "1,234", "-5", "$3.50" and "12." as people do; undefined if none. */
export function finalNumber(text: string): number | undefined {
  const last = [...text.matchAll(number)].at(-1);
  if (!last) return undefined;
  const size = Number(last[2]!.replaceAll(",", ""));
  // `0 - size`, so that "-0" is plain 0.
  return last[1] ? 0 - size : size;
}

/** The number a reference answer states: the last one after `####` where that mark stands, else the last. */
export function goldNumber(answer: string): number | undefined {
  return finalNumber(answer.split("####").at(-1)!);
}

/**
 * Whether a completion, cut after its answer sentence, ends on the answer's number.
 * Whole numbers must be equal; others may differ by 1e-6 of their size, for the sake of rounding.
 */
export function isCorrectNumber(completion: string, answer: string, options: ScoringOptions = {}): boolean {
  const stated = finalNumber(cutTrace(completion, options));
  const gold = goldNumber(answer);
  if (stated === undefined || gold === undefined) return false;
  if (Number.isInteger(stated) && Number.isInteger(gold)) return stated === gold;
  return Math.abs(stated - gold) <= 1e-6 * Math.max(Math.abs(stated), Math.abs(gold));
}

/**
 * Whether a completion, or what its first `answer is …` states up to the end of the line, agrees with the answer but for
 * case, runs of white space and a period at the end (` Pens.` is `pens`).
 */
export function isExactMatch(completion: string, answer: string): boolean {
  const stated = /answer is:?(.*)/.exec(completion)?.[1];
  return [completion, stated].some((text) => text !== undefined && plain(text) === plain(answer));
}

function plain(text: string): string {
  return text.trim().replace(/\s*\.$/, "").replace(/\s+/g, " ").toLowerCase();
}
