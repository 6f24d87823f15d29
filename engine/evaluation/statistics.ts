/**
 * Paired statistics of two models on the same items: flips, McNemar's exact test, macro accuracy, and intervals.
 * Accuracies and gains are fractions, not per cent. Every interval covers 95 %.
 */
import { seededRandom } from "../random.ts";

/** Lower and upper end of a 95 % interval. */
export type Interval = [low: number, high: number];

/** Items whose outcome changed: `positive` became right, `negative` became wrong. */
export interface Flips {
  /** Wrong before, right after. */
  positive: number;
  /** Right before, wrong after. */
  negative: number;
}

/** The 97.5 % quantile of the standard normal distribution. */
const z = 1.959963984540054;

/**
 * Counts the items that became right and those that became wrong (arXiv 2407.09435).
 *
 * @throws RangeError if the two differ in length.
 *
 * @example Answers won and lost
 * ```ts
 * import { flips } from "../../engine/evaluation/mod.ts";
 *
 * console.log(flips([true, false], [false, true])); // { positive: 1, negative: 1 }
 * ```
 */
export function flips(before: readonly boolean[], after: readonly boolean[]): Flips {
  requireSameLength(before, after);
  return {
    positive: before.filter((was, item) => !was && after[item]).length,
    negative: before.filter((was, item) => was && !after[item]).length,
  };
}

/**
 * McNemar's exact test: the two-sided binomial p of so uneven a split of flips, were both kinds equally likely.
 * Stable for millions of flips; 1 where there are none.
 *
 * @example Is it chance?
 * ```ts
 * import { mcnemarExact } from "../../engine/evaluation/mod.ts";
 *
 * console.log(mcnemarExact(13, 3)); // 0.0213: 13 answers won and 3 lost
 * ```
 */
export function mcnemarExact(positive: number, negative: number): number {
  const total = positive + negative;
  const fewer = Math.min(positive, negative);
  // P(X = fewer) in logarithms, since the binomial coefficient overflows from about 1,000 flips on.
  let logLargest = -total * Math.LN2;
  for (let i = 1; i <= fewer; i++) logLargest += Math.log((total - fewer + i) / i);
  // The tail below, each term relative to the largest: P(X = k − 1) / P(X = k) = k / (total − k + 1).
  let tail = 1;
  for (let k = fewer, term = 1; k > 0 && term > 0; k--) tail += term *= k / (total - k + 1);
  return Math.min(1, 2 * Math.exp(logLargest) * tail);
}

/**
 * Accuracy as the mean over groups (templates) of each group's share of right items, so that large groups do
 * not drown small ones.
 *
 * @throws RangeError if the two differ in length or are empty.
 *
 * @example Accuracy by template
 * ```ts
 * import { macroAccuracy } from "../../engine/evaluation/mod.ts";
 *
 * console.log(macroAccuracy([true, true, false], ["a", "a", "b"]).accuracy); // 0.5
 * ```
 */
export function macroAccuracy(
  correct: readonly boolean[],
  groups: readonly string[],
): { accuracy: number; perGroup: Record<string, number> } {
  const byGroup = grouped(correct.map(Number), groups);
  const perGroup = new Map([...byGroup].map(([group, values]) => [group, mean(values)]));
  return { accuracy: mean([...perGroup.values()]), perGroup: Object.fromEntries(perGroup) };
}

/**
 * Bootstrap percentile interval of the gain in macro accuracy from `before` to `after`. Items are drawn anew
 * within each group and keep both their outcomes, which makes it a paired, stratified bootstrap. A group of
 * one item adds no spread, so with many such groups the interval is too narrow.
 *
 * @throws RangeError if the lists differ in length or are empty.
 *
 * @example An interval for a gain
 * ```ts
 * import { bootstrapGain } from "../../engine/evaluation/mod.ts";
 *
 * const before = [false, false, true, true], after = [true, false, true, true];
 * console.log(bootstrapGain(before, after, ["a", "a", "b", "b"], { seed: 0 }));
 * ```
 */
export function bootstrapGain(
  before: readonly boolean[],
  after: readonly boolean[],
  groups: readonly string[],
  options: { seed: number; resamples?: number },
): Interval {
  requireSameLength(before, after);
  const change = before.map((was, item) => Number(after[item]) - Number(was));
  const byGroup = [...grouped(change, groups).values()];
  const random = seededRandom(options.seed);
  const gains = Float64Array.from({ length: options.resamples ?? 2000 }, () => {
    let gain = 0;
    for (const values of byGroup) {
      let sum = 0;
      for (let draw = 0; draw < values.length; draw++) sum += values[Math.floor(random() * values.length)]!;
      gain += sum / values.length;
    }
    return gain / byGroup.length;
  }).sort();
  return [quantile(gains, 0.025), quantile(gains, 0.975)];
}

/**
 * Wilson's score interval of a share of `successes` out of `total`; [0, 1] where there is no trial.
 *
 * @example An interval for an accuracy
 * ```ts
 * import { wilsonInterval } from "../../engine/evaluation/mod.ts";
 *
 * console.log(wilsonInterval(300, 480)); // 0.581 to 0.667
 * ```
 */
export function wilsonInterval(successes: number, total: number): Interval {
  if (total === 0) return [0, 1];
  const share = successes / total;
  const scale = 1 + z * z / total;
  const centre = (share + z * z / (2 * total)) / scale;
  const half = z / scale * Math.sqrt(share * (1 - share) / total + z * z / (4 * total * total));
  // The ends are exact at the borders, where rounding would otherwise leave 1e-17.
  return [successes === 0 ? 0 : centre - half, successes === total ? 1 : centre + half];
}

/**
 * Mean of independent repeats (seeds) with Student's t interval.
 * The interval is null for a single value, which says nothing about spread.
 * @throws RangeError if there is no value.
 */
export function meanAndInterval(values: readonly number[]): { mean: number; interval: Interval | null } {
  const centre = mean(values);
  const freedom = values.length - 1;
  if (freedom === 0) return { mean: centre, interval: null };
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / freedom;
  const half = tQuantile(freedom) * Math.sqrt(variance / values.length);
  return { mean: centre, interval: [centre - half, centre + half] };
}

// 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom.
const tTable = [
  12.706205,
  4.302653,
  3.182446,
  2.776445,
  2.570582,
  2.446912,
  2.364624,
  2.306004,
  2.262157,
  2.228139,
];

/** The 97.5 % quantile of Student's t; beyond the table by Fisher's expansion (Abramowitz-Stegun 26.7.5). */
function tQuantile(freedom: number): number {
  const listed = tTable[freedom - 1];
  if (listed !== undefined) return listed;
  const first = (z ** 3 + z) / 4;
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const third = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  const fourth = (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160;
  return z + first / freedom + second / freedom ** 2 + third / freedom ** 3 + fourth / freedom ** 4;
}

/** Quantile of sorted values, interpolated linearly between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}

function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Nothing to average: give at least one outcome.");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Values by group, groups in the order they first appear. */
function grouped(values: readonly number[], groups: readonly string[]): Map<string, number[]> {
  requireSameLength(values, groups);
  if (values.length === 0) throw new RangeError("Nothing to average: give at least one outcome.");
  return Map.groupBy(values, (_, item) => groups[item]!);
}

function requireSameLength(a: readonly unknown[], b: readonly unknown[]): void {
  if (a.length !== b.length) {
    throw new RangeError(`Lists pair item by item, but hold ${a.length} and ${b.length}.`);
  }
}
