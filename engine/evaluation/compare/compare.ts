/**
 * Two models on the same items: answers won and lost (negative flips of MUSCLE, arXiv 2407.09435), McNemar's exact test, a cluster
 * bootstrap of the difference, and whether the second is not worse by more than a margin. Accuracies and differences are fractions.
 */
import { InputError } from "../../errors.ts";
import { seededRandom } from "../../random.ts";
import { type ComparedSize, describeRegimes, regimes } from "../puzzles/regimes.ts";
import { flips, type Interval, mcnemarExact } from "../statistics.ts";
import type { Outcome, Outcomes } from "./outcomes.ts";

/** One task, or all together. */
export interface Compared {
  /** Items that both have. */
  readonly items: number;
  /** Clusters that these items fall into. */
  readonly clusters: number;
  /** Accuracy of the first and of the second. */
  readonly a: number;
  readonly b: number;
  /** The second less the first, and its 95 % interval over clusters. */
  readonly difference: number;
  readonly ci95: Interval;
  /** Items that became right, and that became wrong. */
  readonly positive_flips: number;
  readonly negative_flips: number;
  /** Share of all items that became wrong. */
  readonly negative_flip_rate: number;
  /** McNemar's exact p. */
  readonly p: number;
  /** Whether the whole interval lies above minus the margin. */
  readonly non_inferior: boolean;
  /** Of a puzzle, the two at each size. */
  readonly complexity?: readonly ComparedSize[];
}

/** See file comment. */
export interface Comparison {
  readonly tasks: Readonly<Record<string, Compared>>;
  /** All items of all tasks; absent where there is one task. */
  readonly pooled?: Compared;
  /** Of non-inferiority, a fraction. */
  readonly margin: number;
  /** Tasks that only one of the two has. */
  readonly unmatched: readonly string[];
}

/** What is compared how. */
export interface CompareOptions {
  /** A fraction; default 0.005. */
  readonly margin?: number;
  /** Of the bootstrap. */
  readonly seed?: number;
}

/**
 * Compares two sets of outcomes by task and item.
 * @throws {InputError} where no task is in both, an item is in one only, or items of one name are not the same.
 */
export function compareOutcomes(
  a: Outcomes,
  b: Outcomes,
  { margin = 0.005, seed = 0 }: CompareOptions = {},
): Comparison {
  const shared = [...a.keys()].filter((task) => b.has(task));
  if (shared.length === 0) {
    throw new InputError(
      `The two have no task in common: ${[...a.keys()].join(", ")} and ${[...b.keys()].join(", ")}.`,
    );
  }
  const pairs = new Map(shared.map((task) => [task, aligned(task, a.get(task)!, b.get(task)!)]));
  const compared = (items: readonly Pair[]) => compare(items, margin, seed);
  return {
    tasks: Object.fromEntries(
      [...pairs].map(([task, items]) => {
        const sized = items.flatMap(({ size, ...item }) => size === undefined ? [] : [{ ...item, size }]);
        return [task, { ...compared(items), ...(sized.length > 0 && { complexity: regimes(sized) }) }];
      }),
    ),
    ...(shared.length > 1 && {
      pooled: compared(
        [...pairs].flatMap(([task, items]) =>
          items.map((item) => ({ ...item, cluster: `${task} ${item.cluster}` }))
        ),
      ),
    }),
    margin,
    unmatched: [...a.keys(), ...b.keys()].filter((task) => !shared.includes(task)),
  };
}

/** An item's two outcomes. */
interface Pair {
  readonly cluster: string;
  readonly before: boolean;
  readonly after: boolean;
  readonly size?: number;
}

function aligned(task: string, a: readonly Outcome[], b: readonly Outcome[]): Pair[] {
  const others = new Map(b.map((outcome) => [outcome.id, outcome]));
  for (const [side, list] of [["first", a], ["second", b]] as const) {
    const ids = new Set(list.map(({ id }) => id));
    if (ids.size < list.length) throw new InputError(`Task "${task}" has an item twice in the ${side}.`);
  }
  if (a.length !== b.length || a.some(({ id }) => !others.has(id))) {
    throw new InputError(
      `Task "${task}" has other items in the first (${a.length}) than in the second (${b.length}).`,
    );
  }
  return a.map(({ id, hash, cluster, correct, size }) => {
    const other = others.get(id)!;
    if (hash !== undefined && other.hash !== undefined && hash !== other.hash) {
      throw new InputError(
        `Item ${id} of task "${task}" is not the same in both, so outcomes cannot be paired.`,
      );
    }
    return { cluster, before: correct, after: other.correct, ...(size !== undefined && { size }) };
  });
}

function compare(items: readonly Pair[], margin: number, seed: number): Compared {
  const [before, after] = [items.map((item) => item.before), items.map((item) => item.after)];
  const { positive, negative } = flips(before, after);
  const share = (outcomes: readonly boolean[]) => outcomes.filter(Boolean).length / outcomes.length;
  const clusters = [...Map.groupBy(items, ({ cluster }) => cluster).values()].map((members) => ({
    change: members.reduce((sum, item) => sum + Number(item.after) - Number(item.before), 0),
    size: members.length,
  }));
  const ci95 = clusterBootstrap(clusters, seed);
  return {
    items: items.length,
    clusters: clusters.length,
    a: share(before),
    b: share(after),
    difference: (positive - negative) / items.length,
    ci95,
    positive_flips: positive,
    negative_flips: negative,
    negative_flip_rate: negative / items.length,
    p: mcnemarExact(positive, negative),
    non_inferior: ci95[0] > -margin,
  };
}

/** 95 % percentile interval of the mean change an item, whole clusters drawn anew. */
export function clusterBootstrap(
  clusters: readonly { readonly change: number; readonly size: number }[],
  seed: number,
  resamples = 4000,
): Interval {
  const random = seededRandom(`${seed}/clusters`);
  const means = Float64Array.from({ length: resamples }, () => {
    let [change, size] = [0, 0];
    for (let draw = 0; draw < clusters.length; draw++) {
      const cluster = clusters[Math.floor(random() * clusters.length)]!;
      change += cluster.change;
      size += cluster.size;
    }
    return change / size;
  }).sort();
  const at = (share: number) => means[Math.round(share * (resamples - 1))]!;
  return [at(0.025), at(0.975)];
}

/** The comparison in lines. */
export function describeComparison({ tasks, pooled, margin, unmatched }: Comparison): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const points = (value: number) => `${value < 0 ? "" : "+"}${(100 * value).toFixed(1)}`;
  const lines = Object.entries({ ...tasks, ...(pooled && { "all together": pooled }) }).flatMap((
    [name, one],
  ) => [
    `${name.padEnd(28)} ${percent(one.a)} → ${percent(one.b)} (${
      points(one.difference)
    } points, 95 % interval ${points(one.ci95[0])} to ${points(one.ci95[1])} over ${one.clusters} ${
      one.clusters < one.items ? "clusters" : "items"
    }); ${one.positive_flips} won, ${one.negative_flips} lost (${percent(one.negative_flip_rate)}), p = ${
      one.p.toPrecision(2)
    }; ${one.non_inferior ? "not worse" : "not shown to be no worse"} by ${(100 * margin).toFixed(1)} points`,
    ...(one.complexity ? describeRegimes(one.complexity) : []),
  ]);
  if (unmatched.length > 0) lines.push(`only in one of the two: ${unmatched.join(", ")}`);
  return lines.join("\n");
}
