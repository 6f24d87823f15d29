/**
 * How large a selection may be, in components or in parameters, and filling it by a score.
 * Legend: L layers, P components a layer, D hidden, C head width.
 */
import { InputError } from "../../errors.ts";
import type { ModelConfig } from "../../model/architecture.ts";
import { componentAt, componentKinds, kindCounts, nameOfComponent, type Selection } from "../components.ts";

/** A limit on a selection: so many of what, or a share of all there are (of all components, or of the model's parameters). */
export interface Budget {
  readonly unit: "components" | "parameters";
  /** A count, or with `share` a number in (0, 1]. */
  readonly amount: number;
  readonly share: boolean;
}

/**
 * Reads `40` and `1.6%` (components), `20000p` and `1%p` (parameters; the share is of all parameters of the model).
 *
 * @throws {InputError} when the text is none of these.
 */
export function parseBudget(text: string): Budget {
  const match = text.trim().match(/^(\d+(?:\.\d+)?|\.\d+)(%?)(p?)$/);
  const number = Number(match?.[1]);
  const share = match?.[2] === "%";
  if (!match || number <= 0 || (share ? number > 100 : !Number.isInteger(number))) {
    throw new InputError(
      `A budget is 40 or 1.6% (components), 20000p or 1%p (parameters), not "${text}".`,
    );
  }
  return {
    unit: match[3] ? "parameters" : "components",
    amount: share ? number / 100 : number,
    share,
  };
}

/** Parameters that an update of each component may move, [L · P]: C·D for a head's rows, D for a neuron's row of up_proj. */
export function componentParameters(config: ModelConfig): Float64Array {
  const counts = kindCounts(config);
  const layer = componentKinds.flatMap((kind) =>
    new Array<number>(counts[kind]).fill(
      kind === "mlp" ? config.hiddenSize : config.headWidth * config.hiddenSize,
    )
  );
  return Float64Array.from({ length: config.layers * layer.length }, (_, i) => layer[i % layer.length]!);
}

/**
 * The most that a budget allows, in its unit. `modelParameters` are all parameters of the model, moved or not.
 */
export function budgetLimit(budget: Budget, components: number, modelParameters: number): number {
  if (!budget.share) return budget.amount;
  return budget.amount * (budget.unit === "components" ? components : modelParameters);
}

/**
 * The components with the highest scores that fit the budget: in falling order of score, skipping what no longer fits.
 * Ties go to the lower index; components with a score of -Infinity or NaN are never taken.
 *
 * @throws {InputError} when not even one component fits.
 */
export function fillBudget(
  config: ModelConfig,
  scores: ArrayLike<number>,
  budget: Budget,
  modelParameters: number,
): Selection {
  const parameters = componentParameters(config);
  let left = budgetLimit(budget, scores.length, modelParameters);
  const chosen = new Array<boolean>(scores.length).fill(false);
  const order = Array.from(scores, (_, i) => i)
    .filter((i) => scores[i]! > -Infinity)
    .sort((a, b) => scores[b]! - scores[a]! || a - b);
  for (const i of order) {
    const cost = budget.unit === "components" ? 1 : parameters[i]!;
    if (cost > left) continue;
    left -= cost;
    chosen[i] = true;
  }
  if (!chosen.includes(true)) {
    const least = Math.min(...new Set(parameters));
    throw new InputError(
      `The budget holds no component: the smallest has ${least} parameters, and the model ${modelParameters}; raise it.`,
    );
  }
  return chosen;
}

/**
 * A uniformly random selection that moves as many parameters as `like`, or less by less than one component: the control of
 * equal parameters, which any kinds in any layers may make up. Components are drawn one by one; what no longer fits is passed over.
 */
export function randomOfEqualParameters(
  config: ModelConfig,
  like: Selection,
  random: () => number,
): Selection {
  const parameters = componentParameters(config);
  const smallest = Math.min(config.hiddenSize, config.headWidth * config.hiddenSize);
  const chosen = new Array<boolean>(like.length).fill(false);
  const order = Uint32Array.from(like, (_, i) => i);
  let left = selectedParameters(config, like);
  for (let n = 0; n < order.length && left >= smallest; n++) {
    const pick = n + Math.floor(random() * (order.length - n));
    [order[n], order[pick]] = [order[pick]!, order[n]!];
    const component = order[n]!;
    if (parameters[component]! > left) continue;
    left -= parameters[component]!;
    chosen[component] = true;
  }
  return chosen;
}

/** Parameters that an update of the selection may move. */
export function selectedParameters(config: ModelConfig, selection: Selection): number {
  const parameters = componentParameters(config);
  return selection.reduce((sum, selected, i) => selected ? sum + parameters[i]! : sum, 0);
}

/** A component in words, e.g. "layer 2 v-head 1" or "layer 0 neuron 17". */
export function componentName(config: ModelConfig, index: number): string {
  return nameOfComponent(componentAt(config, index));
}
