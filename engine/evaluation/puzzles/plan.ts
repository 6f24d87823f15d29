/**
 * Reading a plan from a completion: the last list of lists outside of thinking, whatever stands around it.
 *
 *     <think>[[1, A, B]] would be a start.</think> moves = [[1, 'A', 'C'], [2, 'A', 'B']]   ->   1 A C, 2 A B
 */
import { answerSpan, type ThinkingOptions } from "../thinking.ts";
import type { Move } from "./puzzle.ts";

/** What was found. */
export interface ReadPlan {
  readonly moves: readonly Move[];
  /** The list has its closing bracket; otherwise the moves are those that are whole. */
  readonly closed: boolean;
}

/**
 * The plan of a completion; undefined where there is none, be it that thinking has not ended.
 *
 * @example A plan behind thinking
 * ```ts
 * import { readPlan } from "../../../engine/evaluation/puzzles/plan.ts";
 *
 * console.log(readPlan("<think>Hm.</think> Plan: [[1, A, C], [2, A, B]]")?.moves); // two moves
 * ```
 */
export function readPlan(completion: string, options: ThinkingOptions = {}): ReadPlan | undefined {
  const { start, end } = answerSpan(completion, options);
  const tokens = [...completion.slice(start, end).matchAll(token)].map(([text]) => text);
  let found: ReadPlan | undefined;
  for (let at = 0; at < tokens.length;) {
    const list = listAt(tokens, at);
    if (list && list.moves.length > 0) found = list;
    at = list?.next ?? at + 1;
  }
  return found && { moves: found.moves, closed: found.closed };
}

// Brackets, commas, what stands in quotes, words, and any other character; comments, space and typeset quotes are passed over.
const token = /[[\](),]|"[^"\n]*"|'[^'\n]*'|[\p{L}\p{N}_-]+|(?:#[^\n]*|[\s“”‘’`])+|[^]/gu;

/** The list of lists that begins here, and the token behind it; undefined where none does. */
function listAt(tokens: readonly string[], first: number): (ReadPlan & { next: number }) | undefined {
  if (!isOpen(tokens[first]!)) return undefined;
  const moves: Move[] = [];
  for (let at = first + 1; at < tokens.length;) {
    const text = tokens[at]!;
    if (isClose(text)) return { moves, closed: true, next: at + 1 };
    if (text === "," || isSpace(text)) at++;
    else if (isOpen(text)) {
      const move = moveAt(tokens, at);
      if (move === "cut off") break;
      if (!move) return undefined;
      moves.push(move.words);
      at = move.next;
    } else return undefined; // a list of something else
  }
  return { moves, closed: false, next: tokens.length };
}

/** The list of words that begins here. */
function moveAt(
  tokens: readonly string[],
  first: number,
): { words: string[]; next: number } | "cut off" | undefined {
  const words: string[] = [];
  for (let at = first + 1; at < tokens.length; at++) {
    const text = tokens[at]!;
    if (isClose(text)) return { words, next: at + 1 };
    if (text === "," || isSpace(text)) continue;
    const word = /^["'](.*)["']$/.exec(text)?.[1] ?? text;
    if (!/^[\p{L}\p{N}_-]+$/u.test(word)) return undefined;
    words.push(word);
  }
  return "cut off";
}

const isOpen = (text: string) => text === "[" || text === "(";
const isClose = (text: string) => text === "]" || text === ")";
const isSpace = (text: string) => /^[\s#“”‘’`]/.test(text);
