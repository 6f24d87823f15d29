/** Whether plans can be written at all: what instances and their shortest plans take in tokens. */
import type { Prompted } from "../harness/prompts.ts";
import type { Model } from "../../model/model.ts";
import type { PuzzleRow } from "./catalog.ts";
import { type AnyPuzzle, planText } from "./puzzle.ts";

/** Sentences on the sizes whose shortest plans exceed the new tokens, and on those whose questions exceed the window. */
export function roomNotices(
  model: Model,
  puzzle: AnyPuzzle,
  prompts: readonly Prompted[],
  { chat, maxNewTokens }: { readonly chat: boolean; readonly maxNewTokens: number },
): string[] {
  const tokens = (text: string, addSpecialTokens: boolean) =>
    model.tokenizer.encode(text, { addSpecialTokens }).length;
  const sizes = [...Map.groupBy(prompts, ({ doc }) => (doc as PuzzleRow).size)].map(([size, [first]]) => ({
    size,
    plan: tokens(planText((first!.doc as PuzzleRow).plan), false),
    question: tokens(first!.contexts[0]!, !chat),
  })).sort((a, b) => a.size - b.size);
  const long = sizes.filter(({ plan }) => plan > maxNewTokens);
  const cut = sizes.filter(({ question }) => question > model.contextLength - maxNewTokens);
  const list = (some: readonly { readonly size: number }[]) => some.map(({ size }) => size).join(", ");
  return [
    ...long.length === 0 ? [] : [
      `${puzzle.title} of size ${list(long)}: a shortest plan takes ${
        long[0]!.plan
      } tokens or more, and ${maxNewTokens} may be written; more would let it end.`,
    ],
    ...cut.length === 0 ? [] : [
      `${puzzle.title} of size ${
        list(cut)
      }: the window of ${model.contextLength} tokens has no room for the whole question and ${maxNewTokens} new tokens, so its beginning is cut off.`,
    ],
  ];
}
