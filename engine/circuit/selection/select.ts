/** Selecting components by any of the methods, within a budget. L layers, P components a layer. */
import type { Model } from "../../model/model.ts";
import type { Progress } from "../../progress.ts";
import { seededRandom } from "../../random.ts";
import type { Selection } from "../components.ts";
import type { TokenPair } from "../localization.ts";
import { attributionScores } from "./attribution.ts";
import { type Budget, fillBudget } from "./budget.ts";
import { languageEnergies } from "./energies.ts";
import { gainForHarmScores } from "./gain_for_harm.ts";
import { gradientScores } from "./gradient.ts";
import { randomScores } from "./random.ts";

/** `dcm` learns a mask (method section 2); the others rank components by one gradient or less. */
export const selectionMethods = [
  "dcm",
  "gradient",
  "gradient-conflict",
  "fisher",
  "dcm-gradient",
  "attribution",
  "random",
] as const;

/** See selectionMethods. */
export type SelectionMethod = typeof selectionMethods[number];

/** What a ranking reads. */
export interface RankingInput {
  readonly model: Model;
  readonly examples: readonly TokenPair[];
  /** taskEnergies of the examples. */
  readonly energies: ArrayLike<number>;
  /** Questions of other abilities with their answers as ids; `skip` is the length of the question. For `gradient-conflict`. */
  readonly others: () => readonly { readonly ids: readonly number[]; readonly skip: number }[];
  readonly seed: number;
  readonly progress?: Progress;
}

/** Most sequences whose gradients are taken, one at a time, for harm. */
const mostSequences = 48;

/** Selects by ranking, within `budget`. Masks are learned elsewhere, since they are a stage of their own. */
export async function selectByRank(
  method: Exclude<SelectionMethod, "dcm" | "dcm-gradient">,
  input: RankingInput,
  budget: Budget,
): Promise<Selection> {
  return fillBudget(input.model.config, await ranks(method, input, budget), budget, input.model.parameters);
}

async function ranks(
  method: Exclude<SelectionMethod, "dcm" | "dcm-gradient">,
  { model, examples, energies, others, seed, progress }: RankingInput,
  budget: Budget,
): Promise<Float64Array> {
  const report = (done: number, total: number) => progress?.("gradients of text", done, total);
  switch (method) {
    case "gradient":
      return gradientScores(model.config, energies);
    case "gradient-conflict": {
      const { mean } = await languageEnergies(model, spread(others()), report);
      return gainForHarmScores(energies, mean);
    }
    case "fisher": {
      const text = examples.map(({ prefix_ids }) => ({ ids: prefix_ids, skip: 1 }));
      const { fisher } = await languageEnergies(model, spread(text), report);
      return gainForHarmScores(energies, fisher);
    }
    case "attribution":
      return await attributionScores(model, examples, budget);
    case "random":
      return randomScores(energies.length, seededRandom(`${seed}/random selection`));
  }
}

/** At most `mostSequences` of a list, spread evenly over it. */
function spread<T>(all: readonly T[]): T[] {
  const count = Math.min(all.length, mostSequences);
  return Array.from({ length: count }, (_, i) => all[Math.floor(i * all.length / count)]!);
}
