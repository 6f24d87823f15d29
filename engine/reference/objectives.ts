/**
 * The method's two objectives over a set of localization examples, with the reference model.
 * Legend: N examples, T tokens, V vocabulary, L layers.
 */

import { type GradientSink, noGradients, WholeGradients } from "./matrices.ts";
import { argmax, pairLoss, type PairObjective, softCapBackward } from "./ops.ts";
import type { ReferenceMask } from "./masking.ts";
import type { ForwardOptions, HiddenResult, ReferenceModel, Weights } from "./transformer.ts";

/** Prefix ids and the two tokens that part the right trace from the wrong one. */
export interface ReferenceExample {
  readonly ids: readonly number[];
  readonly desired: number;
  readonly undesired: number;
}

/** Loss, differences [N] and, with a mask, its gradient [L][components] over a set of examples. */
export interface PairResult {
  readonly loss: number;
  readonly differences: Float64Array;
  readonly mask?: Float64Array[];
}

/**
 * The mean pair loss over all examples at their last prefix tokens, from the logits of their two tokens alone, and
 * gradients of weights into `gradients`. `hidden` may bring forward passes made before, one an example.
 */
export function pairPass(
  model: ReferenceModel<Weights>,
  examples: readonly ReferenceExample[],
  objective: PairObjective,
  gradients: GradientSink,
  options: ForwardOptions & { readonly hidden?: readonly HiddenResult[] } = {},
): PairResult {
  const differences = new Float64Array(examples.length);
  const mask = options.mask?.map((layer) => new Float64Array(layer.length));
  let loss = 0;
  examples.forEach(({ ids, desired, undesired }, n) => {
    const hidden = options.hidden?.[n] ?? model.hidden(ids, options);
    const pair = [desired, undesired];
    const { uncapped, logits } = model.tokenLogits(hidden, pair);
    const { loss: own, differences: [difference], dlogits } = pairLoss(logits, [0], [1], 2, objective);
    loss += own / examples.length;
    differences[n] = difference!;
    const mean = dlogits.map((d) => d / examples.length);
    const duncapped = softCapBackward(mean, uncapped, model.config.finalSoftCap);
    const dmask = model.tokenBackward(hidden, pair, duncapped, gradients);
    dmask?.forEach((layer, l) => layer.forEach((d, c) => mask![l]![c]! += d));
  });
  return { loss, differences, ...(mask && { mask }) };
}

/**
 * Update objective without any intervention: loss −Σ(logit[desired] − logit[undesired])/N (or the mean softplus of
 * −difference), differences [N], and the gradient of every parameter by weight name.
 */
export function updateLossAndGradients(
  model: ReferenceModel,
  examples: readonly ReferenceExample[],
  objective: PairObjective = "logit-difference",
): { loss: number; differences: Float64Array; gradients: Map<string, Float64Array> } {
  const gradients = new WholeGradients(model.weights);
  return { ...pairPass(model, examples, objective, gradients), gradients: gradients.byName };
}

/**
 * Mask objective: loss −Σ(logit[desired] − logit[undesired])/N with the mask at each last prefix token, without the
 * L1 term; differences [N]; gradient [L][components].
 */
export function maskLossAndGradient(
  model: ReferenceModel<Weights>,
  examples: readonly ReferenceExample[],
  mask: ReferenceMask,
): { loss: number; differences: Float64Array; gradient: Float64Array[] } {
  const { mask: gradient, ...rest } = pairPass(model, examples, "logit-difference", noGradients, { mask });
  return { ...rest, gradient: gradient! };
}

/** Greedy continuation of `prompt`: `newTokens` ids, no stop token, every step a whole forward. */
export function greedyTokens(model: ReferenceModel, prompt: readonly number[], newTokens: number): number[] {
  const ids = [...prompt];
  for (let n = 0; n < newTokens; n++) {
    const { logits } = model.forward(ids);
    ids.push(argmax(logits.subarray(-model.config.vocabSize)));
  }
  return ids.slice(prompt.length);
}
