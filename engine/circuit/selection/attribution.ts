/**
 * Selection by attribution: gradient × activation at the last prefix token, from one backward pass at mask 0.5, where every
 * component is left alone. First order: what strengthening a component does for the right token.
 */
import { evaluateMask } from "../mask_pass.ts";
import type { TokenPair } from "../localization.ts";
import type { Model } from "../../model/model.ts";
import { type Budget, componentParameters } from "./budget.ts";

/** Rise of the mean logit difference with each component's mask [L · P], per parameter where the budget counts parameters. */
export async function attributionScores(
  model: Model,
  examples: readonly TokenPair[],
  budget: Budget,
): Promise<Float64Array> {
  const neutral = new Float32Array(model.config.layers * model.componentsPerLayer).fill(0.5);
  const { gradient } = await evaluateMask(model, examples, neutral);
  const parameters = componentParameters(model.config);
  return Float64Array.from(
    gradient,
    (slope, i) => -slope / (budget.unit === "parameters" ? parameters[i]! : 1),
  );
}
