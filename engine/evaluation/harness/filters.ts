/** Reading an answer from a completion, and comparing it: the rules that task definitions name. */

import { strip } from "./python_text.ts";

/** What is left of a completion. */
export type Filter = (completion: string) => string;

/** Stands where a filter found nothing. */
export const noAnswer = "[invalid]";

/** The `which` match of a pattern (0 the first, -1 the last): its first group that is not empty, trimmed. */
export function matchOf(pattern: RegExp, which: 0 | -1): Filter {
  return (completion) => {
    const match = [...completion.matchAll(pattern)].at(which);
    return strip(match?.slice(1).find((group) => group) ?? noAnswer);
  };
}

/** GSM8K's two: the number after `####`, or after another phrase; and the last number of all. */
export function numberFilters(strict: RegExp): Readonly<Record<string, Filter>> {
  return {
    "strict-match": matchOf(strict, 0),
    "flexible-extract": matchOf(/(-?[$0-9.,]{2,})|(-?[0-9]+)/g, -1),
  };
}

/** Equal numbers as GSM8K's task compares texts: without commas, dollars, all up to `#### `, and a final period. */
export function sameNumberText(a: string, b: string): boolean {
  const plain = (text: string) =>
    text.replace(/,/g, "").replace(/\$/g, "").replace(/[^]*#### /g, "").replace(/\.$/, "").toLowerCase();
  return plain(a) === plain(b);
}

/** Equal but for case and ASCII punctuation. */
export function sameWords(a: string, b: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, "");
  return plain(a) === plain(b);
}
