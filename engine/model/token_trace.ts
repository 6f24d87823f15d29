/**
 * A text token by token: how probable each token was, what the model expected instead, and what the final norm and the unembedding
 * make of the residual stream after every layer (the logit lens).
 * Legend: T tokens, D model width, V vocabulary; depths are the embedding and each layer.
 */
import { InputError } from "../errors.ts";
import type { Model } from "./model.ts";
import type { SiteName } from "./sites.ts";
import { tokenText } from "./token_text.ts";

/** A token that a model expects, with its probability from 0 to 1. */
export interface ExpectedToken {
  /** What it adds to the text before it. */
  readonly text: string;
  /** Softmax of the logits, in float64. */
  readonly probability: number;
}

/** The likeliest next token as read at one depth, and there the probability of the token that does follow; null at the end. */
export interface LensReading extends ExpectedToken {
  /** Of the token that does follow. */
  readonly next_probability: number | null;
}

/** One token of a text. */
export interface TracedToken {
  /** In the text, from 0. */
  readonly position: number;
  /** In the vocabulary. */
  readonly id: number;
  /** What it adds to the text before it. */
  readonly text: string;
  /** Given all tokens before it; null for the first of a text. */
  readonly probability: number | null;
  /** Its place among all tokens by probability there, 1 for the likeliest. */
  readonly rank: number | null;
  /** What is expected after it, the likeliest first. */
  readonly expected: readonly ExpectedToken[];
  /** By depth. */
  readonly lens: readonly LensReading[];
}

/** See file comment. */
export interface TokenTrace {
  /** Names of the depths, from the embedding on. */
  readonly depths: readonly string[];
  /** In order. */
  readonly tokens: readonly TracedToken[];
}

/** What is traced. */
export interface TokenTraceOptions {
  /** Only so many tokens at the end; default 64. */
  readonly last?: number;
  /** How many expected tokens are named; default 5. */
  readonly top?: number;
}

/**
 * Traces the tokens of a text through the model as it is.
 *
 * @throws {InputError} for no tokens, more than the context holds, or unknown ids.
 *
 * @example What the layers expect after a question
 * ```ts
 * import { Gpu, Model, traceTokens } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const { depths, tokens } = await traceTokens(model, model.tokenizer.encode("Q: What is 3 + 4?\nA: 3 + 4 ="));
 * tokens.at(-1)!.lens.forEach(({ text, probability }, i) => console.log(depths[i], text, probability));
 * ```
 */
export async function traceTokens(
  model: Model,
  ids: readonly number[],
  { last = 64, top = 5 }: TokenTraceOptions = {},
): Promise<TokenTrace> {
  if (ids.length === 0) throw new InputError("There is no token to trace; give some text.");
  const { config: { layers, vocabSize: V }, tokenizer } = model;
  const first = Math.max(0, ids.length - last);
  // The token before the first one says how probable that was.
  const from = Math.max(0, first - 1);
  const positions = Array.from({ length: ids.length - from }, (_, i) => from + i);
  const sites: SiteName[] = [
    "layers.0.residual_before",
    ...Array.from({ length: layers }, (_, l) => `layers.${l}.residual_after` as const),
  ];
  const { captured } = await model.run(ids, {
    positions: [ids.length - 1],
    capture: sites.map((site) => ({ site, positions })),
  });
  const text = (id: number, position: number) => tokenText(tokenizer, id, ids[position]);
  const lens: LensReading[][] = positions.map(() => []);
  let ends: { probability: number | null; rank: number | null; expected: ExpectedToken[] }[] = [];
  for (const site of sites) {
    const logits = await model.unembed(captured.get(site)!);
    ends = positions.map((position, row) => {
      const own = logits.subarray(row * V, (row + 1) * V);
      const next = ids[position + 1];
      const { probabilityOf, likeliest } = readLogits(own, top);
      const expected = likeliest.map((id) => ({ text: text(id, position), probability: probabilityOf(id) }));
      const probability = next === undefined ? null : probabilityOf(next);
      lens[row]!.push({ ...expected[0]!, next_probability: probability });
      const rank = next === undefined
        ? null
        : 1 + own.reduce((n, logit) => logit > own[next]! ? n + 1 : n, 0);
      return { probability, rank, expected };
    });
  }
  return {
    depths: ["embedding", ...Array.from({ length: layers }, (_, l) => `layer ${l}`)],
    tokens: positions.slice(first - from).map((position, i) => {
      const row = i + first - from;
      return {
        position,
        id: ids[position]!,
        text: tokenText(tokenizer, ids[position]!, ids[position - 1]),
        probability: ends[row - 1]?.probability ?? null,
        rank: ends[row - 1]?.rank ?? null,
        expected: ends[row]!.expected,
        lens: lens[row]!,
      };
    }),
  };
}

/** Softmax of logits [V], in float64, and its `top` likeliest tokens; of equal ones the lowest id comes first. */
function readLogits(logits: Float32Array, top: number) {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
  const likeliest: number[] = [];
  logits.forEach((logit, id) => {
    if (likeliest.length === top && logit <= logits[likeliest.at(-1)!]!) return;
    const place = likeliest.findIndex((other) => logit > logits[other]!);
    likeliest.splice(place < 0 ? likeliest.length : place, 0, id);
    if (likeliest.length > top) likeliest.pop();
  });
  return { likeliest, probabilityOf: (id: number) => Math.exp(logits[id]! - highest) / total };
}
