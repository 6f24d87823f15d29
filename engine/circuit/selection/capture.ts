/**
 * What a selection holds of the gradient, before any update is made: the capture ratio, and where random selections lie.
 *
 * R = ‖g of the selection‖ / (√(its share of the parameters that may move) · ‖g‖), over the rows that an update may move
 * (q, k, v and up_proj). 1 is what a selection without regard to the gradient holds; √(1 / share) is the most.
 */
import type { ModelConfig } from "../../model/architecture.ts";
import { componentAt, randomLike, type Selection } from "../components.ts";
import { componentParameters, randomOfEqualParameters, selectedParameters } from "./budget.ts";

/** How a selection stands to the gradient. */
export interface Capture {
  /** R; see the file comment. 0 where nothing is selected. */
  readonly ratio: number;
  /** Share of the squared gradient of all rows that may move. */
  readonly squared_gradient_share: number;
  /** Share of the parameters that may move. */
  readonly movable_share: number;
}

/**
 * The capture of a selection, from the squared gradient of each component [L · P].
 *
 * @example Half of the squared gradient in a quarter of the parameters
 * ```ts ignore
 * capture(config, energies, selection).ratio; // √2
 * ```
 */
export function capture(config: ModelConfig, energies: ArrayLike<number>, selection: Selection): Capture {
  const parameters = componentParameters(config);
  let energy = 0, total = 0, moved = 0, movable = 0;
  for (let i = 0; i < energies.length; i++) {
    total += energies[i]!;
    movable += parameters[i]!;
    if (!selection[i]) continue;
    energy += energies[i]!;
    moved += parameters[i]!;
  }
  const squared_gradient_share = total > 0 ? energy / total : 0;
  const movable_share = moved / movable;
  return {
    ratio: moved > 0 ? Math.sqrt(squared_gradient_share / movable_share) : 0,
    squared_gradient_share,
    movable_share,
  };
}

/** Where the ratios of random selections lie. */
export interface CaptureDistribution {
  /** How many were drawn. */
  readonly draws: number;
  /** Of their ratios. */
  readonly mean: number;
  /** 2.5th and 97.5th percentile. */
  readonly interval: readonly [number, number];
  /** Share of the draws whose ratio is at least that of the selection, the selection itself counted among them. */
  readonly rank_p: number;
}

/** What random selections are drawn from. */
export type RandomKind = "same-composition" | "same-parameters";

/** A random selection beside `selection`: as many of each kind in each layer, or any of as many parameters. */
export function drawRandom(
  config: ModelConfig,
  selection: Selection,
  kind: RandomKind,
  random: () => number,
): Selection {
  return kind === "same-composition"
    ? randomLike(config, selection, random)
    : randomOfEqualParameters(config, selection, random);
}

/** Ratios of `draws` random selections beside that of `selection`: free, once there is one gradient. */
export function captureDistribution(
  config: ModelConfig,
  energies: ArrayLike<number>,
  selection: Selection,
  kind: RandomKind,
  random: () => number,
  draws = 1000,
): CaptureDistribution {
  const own = capture(config, energies, selection).ratio;
  const draw = kind === "same-composition"
    ? compositionDraws(config, selection, random)
    : parameterDraws(config, selection, random);
  const parameters = componentParameters(config);
  let total = 0, movable = 0;
  for (let i = 0; i < energies.length; i++) {
    total += energies[i]!;
    movable += parameters[i]!;
  }
  const ratios = Float64Array.from({ length: draws }, () => {
    let energy = 0, moved = 0;
    for (const i of draw()) {
      energy += energies[i]!;
      moved += parameters[i]!;
    }
    return total > 0 && moved > 0 ? Math.sqrt(energy / total / (moved / movable)) : 0;
  }).sort();
  const at = (share: number) => ratios[Math.min(draws - 1, Math.max(0, Math.round(share * (draws - 1))))]!;
  return {
    draws,
    mean: ratios.reduce((sum, ratio) => sum + ratio, 0) / draws,
    interval: [at(0.025), at(0.975)],
    rank_p: (1 + ratios.filter((ratio) => ratio >= own).length) / (1 + draws),
  };
}

/** Repeated draws like `randomLike`, as component numbers: groups are made once, and a draw costs what it selects. */
function compositionDraws(config: ModelConfig, selection: Selection, random: () => number) {
  const groups = [
    ...Map.groupBy(selection.keys(), (i) => {
      const { layer, kind } = componentAt(config, i);
      return `${layer} ${kind}`;
    }).values(),
  ].map((members) => ({ members, wanted: members.filter((i) => selection[i]).length }));
  return () => groups.flatMap(({ members, wanted }) => pickFirst(members, wanted, random));
}

/** Repeated draws like `randomOfEqualParameters`, as component numbers. */
function parameterDraws(config: ModelConfig, selection: Selection, random: () => number) {
  const parameters = componentParameters(config);
  const smallest = Math.min(...new Set(parameters));
  const budget = selectedParameters(config, selection);
  const order = [...selection.keys()];
  return () => {
    const chosen: number[] = [];
    let left = budget;
    for (let n = 0; n < order.length && left >= smallest; n++) {
      const pick = n + Math.floor(random() * (order.length - n));
      [order[n], order[pick]] = [order[pick]!, order[n]!];
      if (parameters[order[n]!]! > left) continue;
      left -= parameters[order[n]!]!;
      chosen.push(order[n]!);
    }
    return chosen;
  };
}

/** Draws `wanted` of `members` to its front, in place, and returns them. */
function pickFirst(members: number[], wanted: number, random: () => number): number[] {
  for (let n = 0; n < wanted; n++) {
    const pick = n + Math.floor(random() * (members.length - n));
    [members[n], members[pick]] = [members[pick]!, members[n]!];
  }
  return members.slice(0, wanted);
}

/** What two selections share. */
export interface Overlap {
  /** Components of `first` that `second` has as well, as a share of `first`. */
  readonly components: number;
  /** The same weighted by parameters. */
  readonly parameters: number;
}

/** How much of `first` lies in `second` too; 0 where `first` is empty. */
export function overlap(config: ModelConfig, first: Selection, second: Selection): Overlap {
  const parameters = componentParameters(config);
  let count = 0, shared = 0, size = 0, sharedSize = 0;
  first.forEach((selected, i) => {
    if (!selected) return;
    count++;
    size += parameters[i]!;
    if (!second[i]) return;
    shared++;
    sharedSize += parameters[i]!;
  });
  return { components: count && shared / count, parameters: size && sharedSize / size };
}
