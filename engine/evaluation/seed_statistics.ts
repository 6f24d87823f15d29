/**
 * Statistics over seeds. Runs of other seeds ask many of the same problems, so their answers must not be counted as if they were new:
 * a problem is one cluster, whatever number of seeds asked it, and a seed is one observation, whatever number of problems it has.
 */
import { seededRandom } from "../random.ts";
import type { Interval } from "./statistics.ts";
import { clusterBootstrap } from "./verdict.ts";

/** Outcomes of one arm and of what it is compared with, on the test problems of one seed. */
export interface SeedPair {
  /** The question of each problem: what the problem is over all seeds. */
  readonly problems: readonly string[];
  readonly before: readonly boolean[];
  readonly after: readonly boolean[];
}

/** A difference in accuracy over seeds, as a fraction. */
export interface SeedDifference {
  /** Mean over problems of the mean over the seeds that asked them. */
  readonly difference: number;
  /** 95 %, drawing problems anew. */
  readonly ci95: Interval;
  /** Two-sided, by turning the sign of whole problems: chance of a difference as large if before and after were exchangeable. */
  readonly p_problems: number;
  /** Two-sided, by turning the sign of whole seeds; no smaller than 2 / 2^seeds. */
  readonly p_seeds: number;
  /** Seeds in which the difference is above 0. */
  readonly seeds_ahead: number;
}

/** Sign flips that are counted one by one up to this many values; beyond, this many are drawn. */
const exactUpTo = 14, drawn = 20_000;

/**
 * Two-sided p of a sum under random signs. Exact for few values; else by 20,000 draws, the observed one included.
 *
 * @example Five differences of one sign
 * ```ts ignore
 * signFlipP([1, 2, 1, 3, 1], 0); // 2 / 32
 * ```
 */
export function signFlipP(values: readonly number[], seed: number): number {
  const moving = values.filter((value) => value !== 0);
  const size = (sum: number) => Math.abs(sum) * (1 + 1e-12) + 1e-15; // sums of the same numbers in another order are equal
  const observed = Math.abs(moving.reduce((sum, value) => sum + value, 0));
  if (moving.length <= exactUpTo) {
    let reached = 0;
    const all = 2 ** moving.length;
    for (let signs = 0; signs < all; signs++) {
      if (size(moving.reduce((sum, value, i) => sum + (signs >> i & 1 ? value : -value), 0)) >= observed) {
        reached++;
      }
    }
    return reached / all;
  }
  const random = seededRandom(`${seed}/sign flips`);
  let reached = 1;
  for (let draw = 1; draw < drawn; draw++) {
    let sum = 0;
    for (const value of moving) sum += random() < 0.5 ? value : -value;
    if (size(sum) >= observed) reached++;
  }
  return reached / drawn;
}

/** What several seeds say of one difference together. */
export function overSeeds(pairs: readonly SeedPair[], seed: number): SeedDifference {
  const changes = pairs.map(({ before, after }) => after.map((now, i) => Number(now) - Number(before[i])));
  const differences = changes.flat();
  const problems = pairs.flatMap((pair) => pair.problems);
  const byProblem = [...Map.groupBy(differences.keys(), (i) => problems[i]!).values()]
    .map((items) => items.reduce((sum, i) => sum + differences[i]!, 0) / items.length);
  const bySeed = changes.map((items) => items.reduce((sum, change) => sum + change, 0) / items.length);
  return {
    difference: byProblem.reduce((sum, value) => sum + value, 0) / byProblem.length,
    ci95: clusterBootstrap(differences, problems, { seed }),
    p_problems: signFlipP(byProblem, seed),
    p_seeds: signFlipP(bySeed, seed),
    seeds_ahead: bySeed.filter((value) => value > 0).length,
  };
}
