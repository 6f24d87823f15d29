/** Pivots for people: the tokens around them as text, and how probable a model finds the two that part. */
import { score } from "../model/score.ts";
import type { Model } from "../model/model.ts";
import { tokenText } from "../model/token_text.ts";
import type { TokenPair } from "./localization.ts";

/** A pivot for people, as it stands in pivots.jsonl. */
export interface DescribedPivot {
  /** How many tokens of the prefix come before `tokens`. */
  readonly omitted: number;
  /** Texts of the last tokens before the pivot, in order. */
  readonly tokens: readonly string[];
  /** The token that keeps the trace right. */
  readonly desired: DescribedToken;
  /** The token that makes it wrong. */
  readonly undesired: DescribedToken;
}

/** A token as text, with its probability from 0 to 1 after the prefix. */
export interface DescribedToken {
  readonly text: string;
  readonly probability: number;
}

/** Most tokens of a prefix that are kept as text. */
const mostTokens = 160;

/**
 * Each example for people, with probabilities of the model as it is.
 *
 * @throws {InputError} for an example that the model cannot read.
 */
export async function describePivots(
  model: Model,
  examples: readonly TokenPair[],
): Promise<DescribedPivot[]> {
  const { tokenizer } = model;
  const probabilities = await pivotProbabilities(model, examples);
  return examples.map(({ prefix_ids: ids, desired_token, undesired_token }, i) => {
    const omitted = Math.max(0, ids.length - mostTokens);
    const token = (name: "desired" | "undesired", id: number) => ({
      text: tokenText(tokenizer, id, ids.at(-1)),
      probability: probabilities[name][i]!,
    });
    return {
      omitted,
      tokens: ids.slice(omitted).map((id, t) => tokenText(tokenizer, id, ids[omitted + t - 1])),
      desired: token("desired", desired_token),
      undesired: token("undesired", undesired_token),
    };
  });
}

/** Probabilities of the two tokens of each example, in their order; from 0 to 1. */
export interface PivotProbabilities {
  /** Of the tokens that keep traces right. */
  readonly desired: readonly number[];
  /** Of the tokens that make them wrong. */
  readonly undesired: readonly number[];
}

/**
 * How probable the model as it is finds the two tokens of each example after its prefix.
 *
 * @throws {InputError} for an example that the model cannot read.
 */
export async function pivotProbabilities(
  model: Model,
  examples: readonly TokenPair[],
): Promise<PivotProbabilities> {
  const requests = examples.flatMap(({ prefix_ids: context, desired_token, undesired_token }) =>
    [desired_token, undesired_token].map((token) => ({ context, continuation: [token] }))
  );
  const scores = await score(model, requests);
  const probability = ({ logProbability }: { logProbability: number }) =>
    Math.min(1, Math.exp(logProbability));
  return {
    desired: scores.filter((_, i) => i % 2 === 0).map(probability),
    undesired: scores.filter((_, i) => i % 2 === 1).map(probability),
  };
}
