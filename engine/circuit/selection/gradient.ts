/** Selection by gradient density: components whose rows hold the most squared task gradient per parameter. */
import type { ModelConfig } from "../../model/architecture.ts";
import { componentParameters } from "./budget.ts";

/** Squared gradient per parameter of each component [L · P]. */
export function gradientScores(config: ModelConfig, energies: ArrayLike<number>): Float64Array {
  return componentParameters(config).map((count, i) => energies[i]! / count);
}
