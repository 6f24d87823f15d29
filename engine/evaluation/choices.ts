/** Choices that a row lists: which one is right, and which one a completion names. */
import { InputError } from "../errors.ts";
import { isExactMatch } from "./scoring.ts";

/** The choice that a completion names first, from 0: by its text, or by a letter that stands alone. Undefined where it names none. */
export function namedChoice(completion: string, choices: readonly string[]): number | undefined {
  const text = completion.toLowerCase();
  const exact = choices.findIndex((choice) => isExactMatch(completion, choice));
  if (exact >= 0) return exact;
  const letter = /(?<![\p{L}\p{N}'’])([A-Z])(?![\p{L}\p{N}'’])/u.exec(completion);
  const byLetter = letter ? letter[1]!.charCodeAt(0) - 65 : -1;
  const found =
    choices.map((choice, i) => ({ i, at: text.indexOf(choice.toLowerCase()), size: choice.length }))
      .filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at || b.size - a.size)[0];
  if (byLetter >= 0 && byLetter < choices.length && (!found || letter!.index <= found.at)) return byLetter;
  return found?.i;
}

/** The right choice, from 0: by its text, a letter, or a number from 0. Throws InputError for an answer that is none of them. */
export function rightChoice(answer: string, choices: readonly string[]): number {
  const byText = choices.indexOf(answer);
  const byLetter = /^[A-Z]$/.test(answer)
    ? answer.charCodeAt(0) - 65
    : /^\d+$/.test(answer)
    ? Number(answer)
    : -1;
  const found = byText >= 0 ? byText : byLetter;
  if (found >= 0 && found < choices.length) return found;
  throw new InputError(`answer "${answer}" is none of ${choices.length} choices.`);
}
