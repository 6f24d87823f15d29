/**
 * The method's two objectives over a set of localization examples, with the reference model.
 * Legend: N examples, T tokens, V vocabulary, L layers.
 */

import { argmax, pairLoss, type PairObjective } from "./ops.ts";
import type { ReferenceMask } from "./masking.ts";
import type { ForwardOptions, ReferenceModel } from "./transformer.ts";

/** Prefix ids and the two tokens that part the right trace from the wrong one. */
export interface ReferenceExample {
  readonly ids: readonly number[];
  readonly desired: number;
  readonly undesired: number;
}

/** Pair loss of one example at the last prefix token, with dlogits [T,V] already divided by N. */
function examplePass(
  model: ReferenceModel,
  example: ReferenceExample,
  examples: number,
  objective: PairObjective,
  options: ForwardOptions,
) {
  const vocabulary = model.config.vocabSize;
  const forward = model.forward(example.ids, options);
  const start = (example.ids.length - 1) * vocabulary;
  const last = forward.logits.subarray(start);
  const pair = pairLoss(last, [example.desired], [example.undesired], vocabulary, objective);
  const dlogits = new Float64Array(forward.logits.length);
  dlogits.set(pair.dlogits.map((d) => d / examples), start);
  return {
    loss: pair.loss / examples,
    difference: pair.differences[0]!,
    ...model.backward(forward, dlogits),
  };
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
  const differences = new Float64Array(examples.length);
  const gradients = new Map<string, Float64Array>();
  let loss = 0;
  examples.forEach((example, n) => {
    const pass = examplePass(model, example, examples.length, objective, {});
    loss += pass.loss;
    differences[n] = pass.difference;
    for (const [name, gradient] of pass.gradients) accumulate(gradients, name, gradient);
  });
  return { loss, differences, gradients };
}

/**
 * Mask objective: loss −Σ(logit[desired] − logit[undesired])/N with the mask at each last prefix token, without the
 * L1 term; differences [N]; gradient [L][components].
 */
export function maskLossAndGradient(
  model: ReferenceModel,
  examples: readonly ReferenceExample[],
  mask: ReferenceMask,
): { loss: number; differences: Float64Array; gradient: Float64Array[] } {
  const differences = new Float64Array(examples.length);
  const gradient = mask.map((layer) => new Float64Array(layer.length));
  let loss = 0;
  examples.forEach((example, n) => {
    const pass = examplePass(model, example, examples.length, "logit-difference", { mask });
    loss += pass.loss;
    differences[n] = pass.difference;
    pass.mask!.forEach((layer, l) => layer.forEach((d, c) => gradient[l]![c]! += d));
  });
  return { loss, differences, gradient };
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

/** Adds a gradient to the one already held under its name, or starts it. */
export function accumulate(
  gradients: Map<string, Float64Array>,
  name: string,
  gradient: Float64Array,
): void {
  const held = gradients.get(name);
  gradients.set(name, held ? held.map((value, i) => value + gradient[i]!) : gradient);
}
