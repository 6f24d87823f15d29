/** Single tokens as text. */
import type { Tokenizer } from "./tokenizer.ts";

/** What a token adds to the text of the token before it: some decoders drop the space of whatever comes first. */
export function tokenText(tokenizer: Tokenizer, id: number, before?: number): string {
  if (before === undefined) return tokenizer.decode([id]);
  const [one, both] = [tokenizer.decode([before]), tokenizer.decode([before, id])];
  return both.startsWith(one) ? both.slice(one.length) : tokenizer.decode([id]);
}
