/**
 * Which number a reference answer or a completion states. Rules, in order; all numbers are read by number.ts.
 *
 * | a reference answer | a completion, without its thinking and before a next problem that it makes up |
 * |---|---|
 * | the line after the last `####` | the first that states a number: a `####` line, a sentence with `answer is`, |
 * | the last `\boxed{…}` | a line `Answer: N`, `<answer>…</answer>` |
 * | the sentence with `answer is` | the last `\boxed{…}` |
 * | all of it, or what follows its last `=` | the last number |
 * | must be one number, else it is refused | unreadable is wrong |
 */
import { type ExactNumber, findNumbers, type FoundNumber, type ReadNumber } from "./number.ts";

/** A text's one number; or why it is none. */
export type SingleNumber =
  | { readonly value: ExactNumber }
  | { readonly fault: "none" | "several" | "unreadable" };

/** What is said of a reference answer that states no number for certain. */
export const answerFaults = {
  none: "states no number",
  several: "states several numbers",
  unreadable: "states a number that cannot be read for certain",
} as const;

/** The one number of a text, behind its last `=` if a number stands there; words and units beside it do not matter. */
function singleNumber(text: string): SingleNumber {
  const { plain, numbers } = findNumbers(text);
  const equals = Math.max(plain.lastIndexOf("="), plain.lastIndexOf("≈"));
  const behind = numbers.filter(({ start }) => start > equals);
  const [first, ...more] = behind.length > 0 ? behind : numbers;
  if (!first) return { fault: "none" };
  if (more.length > 0) return { fault: "several" };
  return first.value ? { value: first.value } : { fault: "unreadable" };
}

// A sentence runs to a period that no digit follows or, once it holds a digit, to the end of its line:
// a solution that forgets its period must not swallow the next question and that question's numbers.
const sentence = "answer is(?:[^.\\d]|\\.(?=\\d))*(?:[^.\\n]|\\.(?=\\d))*\\.?";
const answerSentences = new RegExp(sentence, "g");
const anyAnswerSentences = new RegExp(`\\b${sentence.replace(" ", "\\s+")}`, "gi");
const markLines = /####[ \t]*(?:\n\s*)?([^\n]*)/g;
const answerLines = /\banswer\b\W{0,4}?[:=][\s*]*([^\n]*)/gi;
const answerTags = /<answer>([\s\S]*?)(?:<\/answer>|$)/gi;
const nextProblem =
  /\n\s*(?:[#*>]+\s*)?(?:Q|Question|Problem|Exercise|Example|Human|User|Instruction)\s*\d*\s*[*]*[:.]/;

/**
 * Where a solution's first statement of its answer ends: a sentence of the form `answer is … .`, or a line `#### N` that
 * more text follows. The length of the text where it states none.
 */
export function statementEnd(text: string): number {
  const ends = [text.length];
  const spoken = firstOf(text, answerSentences, ([found]) => hasNumber(found));
  if (spoken) ends.push(spoken.index + spoken[0].length);
  const marked = firstOf(text, markLines, ([, line]) => hasNumber(line!));
  if (marked) ends.push(marked.index + marked[0].length);
  return Math.min(...ends);
}

/**
 * The number that a completion states as its answer; undefined where it states none, or one that cannot be read.
 *
 * @example The answer of a completion
 * ```ts
 * import { statedNumber } from "../../engine/evaluation/mod.ts";
 *
 * console.log(statedNumber("3 + 4 = 7. The answer is 7. Q: 8")); // { numerator: 7n, denominator: 1n }
 * ```
 */
export function statedNumber(completion: string): ReadNumber {
  const text = completion.slice(0, nextProblemStart(completion));
  const statements = [
    ...[...text.matchAll(markLines)].map((found) => ({ at: found.index, value: ofStatement(found[1]!) })),
    ...[...text.matchAll(anyAnswerSentences)].map((found) => ({
      at: found.index,
      value: ofStatement(found[0].replace(/^answer\s+is/i, "")),
    })),
    ...[...text.matchAll(answerLines)].map((found) => ({ at: found.index, value: ofLine(found[1]!) })),
    ...[...text.matchAll(answerTags)].map((found) => ({ at: found.index, value: ofStatement(found[1]!) })),
  ].filter(({ value }) => value !== null);
  if (statements.length > 0) return statements.reduce((a, b) => b.at < a.at ? b : a).value!.value;
  const box = lastBoxed(text);
  if (box !== undefined) {
    const read = singleNumber(box);
    return "value" in read ? read.value : undefined;
  }
  return findNumbers(text).numbers.at(-1)?.value;
}

/**
 * The number that a reference answer states, or why it states none that can be scored.
 *
 * @example What a row of data says
 * ```ts
 * import { referenceNumber } from "../../engine/evaluation/mod.ts";
 *
 * console.log(referenceNumber("3 of 4 are red.\n#### 3/4")); // { value: { numerator: 3n, denominator: 4n } }
 * console.log(referenceNumber("#### 5 or 6")); // { fault: "several" }
 * ```
 */
export function referenceNumber(answer: string): SingleNumber {
  const marked = answer.split("####");
  if (marked.length > 1) return singleNumber(marked.at(-1)!.trim().split("\n", 1)[0]!);
  const box = lastBoxed(answer);
  if (box !== undefined) return singleNumber(box);
  const spoken = [...answer.matchAll(anyAnswerSentences)].filter(([found]) => hasNumber(found)).at(-1);
  return singleNumber(spoken ? spoken[0] : answer);
}

/** A number in a wrapper, so that one that cannot be read (undefined) differs from none (null). */
type Stated = { readonly value: ReadNumber } | null;

/**
 * The number of a statement: the one after the last `=` of an equation that begins it, else its first within two words,
 * else its last (`is that Tom has 3 bags of 12 cups, so 36`).
 */
function ofStatement(statement: string): Stated {
  const { plain, numbers } = findNumbers(statement);
  const [first, second] = numbers;
  if (!first) return /\d/.test(plain) ? { value: undefined } : null; // x8 is a statement, but of what?
  if (second && plain.slice(first.end, second.start).trim() === "") return { value: undefined }; // 64 24: which of them?
  const equals = plain.lastIndexOf("=");
  const result = equals < 0 ? undefined : numbers.find(({ start }) => start > equals);
  if (result !== undefined) {
    const between = plain.slice(first.end, equals);
    const calculates = /^\s*(?:[\p{L}%]+\s*)?[-+*/]/u.test(between);
    if (calculates || !/\p{L}{2}/u.test(between.replace(/\b(?:because|since|as)\b/g, ""))) {
      return stated(result);
    }
  }
  const wordsBefore = plain.slice(0, first.start).match(/[^\W\d]+/g)?.length ?? 0;
  return stated(wordsBefore <= 2 ? first : numbers.at(-1)!);
}

/** The number of a line that holds nothing else but units. */
function ofLine(line: string): Stated {
  const read = singleNumber(line);
  if ("value" in read) return { value: read.value };
  return read.fault === "unreadable" ? { value: undefined } : null;
}

const stated = ({ value }: FoundNumber): Stated => ({ value });
const hasNumber = (text: string) => /\d/.test(text) || findNumbers(text).numbers.length > 0;

function firstOf(text: string, pattern: RegExp, holds: (match: RegExpExecArray) => boolean) {
  for (const match of text.matchAll(pattern)) if (holds(match)) return match;
}

/** Where a completion goes over to a next problem of its own making; its length where it does not. */
function nextProblemStart(text: string): number {
  const found = nextProblem.exec(text);
  return found && text.slice(0, found.index).trim() !== "" ? found.index : text.length;
}

/** What the last `\boxed{…}` or `\fbox{…}` holds, braces balanced; undefined where there is none. */
function lastBoxed(text: string): string | undefined {
  const found = [...text.matchAll(/\\(?:boxed|fbox)\s*\{/g)].at(-1);
  if (!found) return undefined;
  const start = found.index + found[0].length;
  let depth = 1;
  for (let end = start; end < text.length; end++) {
    if (text[end] === "{") depth++;
    if (text[end] === "}" && --depth === 0) return text.slice(start, end);
  }
  return undefined;
}
