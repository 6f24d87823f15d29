/** Selection by both: components that the mask (DCM) kept, and of those the densest in gradient. */
import type { ModelConfig } from "../../model/architecture.ts";
import type { Selection } from "../components.ts";
import { gradientScores } from "./gradient.ts";

/** Gradient density of the components that the mask kept [L · P]; the others can never be chosen. */
export function dcmGradientScores(
  config: ModelConfig,
  energies: ArrayLike<number>,
  kept: Selection,
): Float64Array {
  return gradientScores(config, energies).map((score, i) => kept[i] ? score : -Infinity);
}
