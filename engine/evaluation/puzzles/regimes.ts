/**
 * Two models over a dial of complexity: where the three regimes of The Illusion of Thinking (arXiv 2506.06941) lie.
 *
 * The rule: `high` are the largest sizes, from the one on from which neither model solves more than a tenth. Of those below, `medium`
 * begins with the first size at which the second model solves more than the first, by McNemar's exact test at 5 %. `low` is what comes
 * before.
 */
import { flips, type Interval, mcnemarExact, wilsonInterval } from "../statistics.ts";

/** See file comment. */
export type Regime = "low" | "medium" | "high";

/** One size of two models on the same instances. Accuracies are fractions, intervals Wilson's of 95 %. */
export interface ComparedSize {
  readonly size: number;
  readonly items: number;
  readonly a: number;
  readonly a_ci95: Interval;
  readonly b: number;
  readonly b_ci95: Interval;
  /** McNemar's exact p. */
  readonly p: number;
  readonly regime: Regime;
}

/** An instance's size and its two outcomes. */
export interface SizedPair {
  readonly size: number;
  readonly before: boolean;
  readonly after: boolean;
}

const collapse = 0.1, level = 0.05;

/**
 * Both models at each size, the smallest first, and the regime it belongs to.
 *
 * @example One size at which the second model is better
 * ```ts
 * import { regimes } from "../../../engine/evaluation/puzzles/regimes.ts";
 *
 * const pairs = Array.from({ length: 8 }, () => ({ size: 3, before: false, after: true }));
 * console.log(regimes(pairs)[0]!.regime); // medium
 * ```
 */
export function regimes(pairs: readonly SizedPair[]): ComparedSize[] {
  const sizes = [...Map.groupBy(pairs, ({ size }) => size)].sort(([a], [b]) => a - b).map(([size, own]) => {
    const [before, after] = [own.map((pair) => pair.before), own.map((pair) => pair.after)];
    const { positive, negative } = flips(before, after);
    const [a, b] = [before, after].map((outcomes) => outcomes.filter(Boolean).length) as [number, number];
    return {
      size,
      items: own.length,
      a: a / own.length,
      a_ci95: wilsonInterval(a, own.length),
      b: b / own.length,
      b_ci95: wilsonInterval(b, own.length),
      p: mcnemarExact(positive, negative),
    };
  });
  const high = sizes.findLastIndex(({ a, b }) => Math.max(a, b) > collapse) + 1;
  const gained = sizes.findIndex(({ a, b, p }) => b > a && p < level);
  const medium = gained < 0 ? high : gained;
  return sizes.map((one, i) => ({ ...one, regime: i >= high ? "high" : i >= medium ? "medium" : "low" }));
}

/** A line for each size, and one that names the regimes. */
export function describeRegimes(sizes: readonly ComparedSize[]): string[] {
  const percent = (share: number) => (100 * share).toFixed(1);
  const within = (ci95: Interval) => `${percent(ci95[0])} to ${percent(ci95[1])}`;
  const named = (["low", "medium", "high"] as const).map((regime) => {
    const own = sizes.filter((one) => one.regime === regime).map(({ size }) => size);
    return `${regime} complexity ${own.length > 0 ? own.join(", ") : "none"}`;
  });
  return [
    ...sizes.map(({ size, a, b, a_ci95, b_ci95, p }) =>
      `  size ${size}: ${percent(a)} % (${within(a_ci95)}) → ${percent(b)} % (${within(b_ci95)}), p = ${
        p.toPrecision(2)
      }`
    ),
    `  sizes of ${named.join("; of ")} (high: neither solves more than ${
      percent(collapse)
    } % from there on; medium: from the first size on at which the second solves more, McNemar's p < ${level})`,
  ];
}
