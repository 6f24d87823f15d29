/** A model's answers to prompts: log-probabilities of continuations, or written completions. */
import { InputError } from "../../errors.ts";
import { generate } from "../../model/generate.ts";
import type { Model } from "../../model/model.ts";
import { score } from "../../model/score.ts";
import { cutAtStop } from "../scoring.ts";
import { stopTokens } from "../prompt.ts";
import { completionText, endAtStop } from "../tasks.ts";
import type { ThinkingOptions } from "../thinking.ts";
import type { ContinuationResult } from "./measures.ts";
import { stripEnd } from "./python_text.ts";
import type { Written } from "./task.ts";

/** How texts become tokens and how much is written. */
export interface AnswerOptions {
  /** The text has all special tokens in it already, as chat templates write them. */
  readonly chat: boolean;
  readonly maxNewTokens: number;
  /** Keeps tags of thinking in texts although they are special tokens, which the harness drops. */
  readonly thinking?: ThinkingOptions;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Token ids of a context and of the continuation after it: spaces at the context's end belong to what follows. */
export function encodePair(
  model: Model,
  context: string,
  continuation: string,
  chat: boolean,
): { context: number[]; continuation: number[] } {
  const encode = (text: string) => model.tokenizer.encode(text, { addSpecialTokens: !chat });
  const trimmed = stripEnd(context);
  const whole = encode(context + continuation);
  const first = trimmed === "" ? [] : encode(trimmed);
  if (first.length > 0) return { context: first, continuation: whole.slice(first.length) };
  const begin = beginning(model);
  return { context: [begin], continuation: whole[0] === begin ? whole.slice(1) : whole };
}

/** What stands before a text without context: what the tokenizer puts before each, else the end of another. */
function beginning(model: Model): number {
  const start = model.tokenizer.encode("")[0] ?? model.config.eosTokens[0];
  if (start === undefined) {
    throw new InputError("The model has no token for an empty context; give it a text.");
  }
  return start;
}

/** Scores each pair of context and continuation. */
export async function scorePairs(
  model: Model,
  pairs: readonly (readonly [context: string, continuation: string])[],
  { chat, onProgress }: AnswerOptions,
): Promise<ContinuationResult[]> {
  const requests = pairs.map(([context, continuation]) => encodePair(model, context, continuation, chat));
  return await score(model, requests, { ...(onProgress && { onProgress }) });
}

/**
 * The greedy completion of each context, cut before the first text that ends it. A context that leaves no room is cut from the left.
 * @throws InputError if the window has no room for what is to be written.
 */
export async function complete(
  model: Model,
  contexts: readonly string[],
  until: readonly string[],
  { chat, maxNewTokens, thinking, onProgress }: AnswerOptions,
): Promise<Written[]> {
  const room = model.contextLength - maxNewTokens;
  if (room < 1) {
    throw new InputError(
      `${maxNewTokens} new tokens leave no room for a question in a context of ${model.contextLength}; write fewer.`,
      "max-new-tokens",
    );
  }
  const requests = contexts.map((text) => ({
    ids: model.tokenizer.encode(text, { addSpecialTokens: !chat }).slice(-room),
  }));
  const ends = stopTokens(model, { chat });
  const written = await generate(model, requests, {
    maxNewTokens,
    stopTokens: ends,
    ...(until.length > 0 && { stopAt: endAtStop(model, until) }),
    ...(onProgress && { onProgress }),
  });
  return written.map((ids) => {
    const whole = thinking
      ? completionText(model, ids, thinking)
      : model.tokenizer.decode(ids, { skipSpecialTokens: true });
    const text = cutAtStop(whole, until);
    const atLimit = ids.length === maxNewTokens && !ends.includes(ids.at(-1)!) && text === whole;
    return { text, tokens: ids.length, atLimit };
  });
}
