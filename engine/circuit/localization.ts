/** Localization examples: where a right and a wrong trace part. */

import type { Model } from "../model/model.ts";

/** One example, as it stands in localization.json. */
export interface LocalizationExample {
  /** Text before the pivotal token, prompt included. */
  readonly prefix: string;
  /** Token ids up to the pivot, prompt included. */
  readonly prefix_ids: readonly number[];
  /** Id of the token that keeps the trace right, and of the one that makes it wrong. */
  readonly desired_token: number;
  /** The token of the wrong trace. */
  readonly undesired_token: number;
  /** Template of its problem. */
  readonly template_id: string;
  /** Instance of its template. */
  readonly instance_id: string;
  /** Whether the greedy trace was the right one. */
  readonly greedy_correct: boolean;
}

/** What mask learning and updates need of an example. */
export type TokenPair = Pick<LocalizationExample, "prefix_ids" | "desired_token" | "undesired_token">;

/**
 * Checks that a model can read all examples.
 *
 * @throws {InputError} for an example that is empty, too long for the context, or holds an unknown id.
 */
export function checkPairs(model: Model, examples: readonly TokenPair[]) {
  for (const { prefix_ids, desired_token, undesired_token } of examples) {
    model.checkSequence(prefix_ids);
    model.checkSequence([desired_token, undesired_token]);
  }
}
