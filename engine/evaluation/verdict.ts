/**
 * What a run may claim, from its numbers alone: paired outcomes on the same problems, clusters by template, Holm's correction over
 * several outcomes, ranks among random draws, non-inferiority of other abilities, and power. Fractions, not per cent.
 */
import { seededRandom } from "../random.ts";
import { flips, type Interval, mcnemarExact } from "./statistics.ts";

/** Level of every claim. */
const level = 0.05;
/** Loss of another ability that still counts as none. */
export const nonInferiorityMargin = 0.005;

/**
 * Holm's step-down correction: adjusted p of each, in the order given (Holm 1979).
 *
 * @example Two outcomes
 * ```ts ignore
 * holm([0.01, 0.04]); // [0.02, 0.04]
 * ```
 */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((a, b) => ps[a]! - ps[b]!);
  const adjusted = new Array<number>(ps.length);
  let highest = 0;
  order.forEach((i, rank) => {
    highest = Math.max(highest, Math.min(1, (ps.length - rank) * ps[i]!));
    adjusted[i] = highest;
  });
  return adjusted;
}

/** Rank p of a value among random draws: the share of all, itself included, that are at least as large. */
export function rankP(value: number, draws: readonly number[]): number {
  return (1 + draws.filter((draw) => draw >= value).length) / (1 + draws.length);
}

/**
 * Percentile interval of the mean of paired differences, drawing whole clusters (templates, or problems over seeds) anew and
 * averaging over the clusters drawn. What it covers is other clusters like these, not only other items of the same ones.
 *
 * @throws {RangeError} if the lists differ in length or are empty.
 */
export function clusterBootstrap(
  differences: readonly number[],
  clusters: readonly string[],
  { seed, resamples = 2000 }: { seed: number; resamples?: number },
): Interval {
  if (differences.length !== clusters.length || differences.length === 0) {
    throw new RangeError(`Lists pair item by item, but hold ${differences.length} and ${clusters.length}.`);
  }
  const means = [...Map.groupBy(differences.keys(), (i) => clusters[i]!).values()]
    .map((items) => items.reduce((sum, i) => sum + differences[i]!, 0) / items.length);
  const random = seededRandom(`${seed}/cluster bootstrap`);
  const drawn = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let n = 0; n < means.length; n++) sum += means[Math.floor(random() * means.length)]!;
    return sum / means.length;
  }).sort();
  const at = (share: number) => drawn[Math.round(share * (resamples - 1))]!;
  return [at(0.025), at(0.975)];
}

/** The difference that a paired test of `items` sees at p 0.05 in 80 of 100 runs, where the share `changed` of outcomes differs. */
export function detectable(items: number, changed: number): number {
  return (1.959964 + 0.841621) * Math.sqrt(Math.max(changed, 1 / items) / items);
}

/** Outcomes of one control on the test problems. */
export interface ControlOutcome {
  readonly name: string;
  /** What it is a draw of; draws of one family are judged together. */
  readonly family: string;
  readonly correct: readonly boolean[];
}

/** What a verdict is made from. */
export interface VerdictInput {
  /** Per test problem. */
  readonly base: readonly boolean[];
  readonly amplified: readonly boolean[];
  /** Template of each test problem. */
  readonly templates: readonly string[];
  readonly controls: readonly ControlOutcome[];
  /** Other abilities: outcomes per item before and after. */
  readonly abilities: Readonly<
    Record<string, { readonly base: readonly boolean[]; readonly amplified: readonly boolean[] }>
  >;
  readonly seed: number;
}

/** Claims with the numbers behind them, and the same in sentences. */
export interface Verdict {
  /** Whether the task was gained, at adjusted p ≤ 0.05 and in the right direction. */
  readonly gained: boolean;
  /** Families of controls that the circuit beats, each of their draws at adjusted p ≤ 0.05. */
  readonly beaten: readonly string[];
  /** Controls that beat the circuit so. */
  readonly beaten_by: readonly string[];
  /** Abilities shown to have lost less than the margin. */
  readonly kept: readonly string[];
  readonly sentences: readonly string[];
}

const points = (fraction: number) => `${fraction >= 0 ? "+" : ""}${(100 * fraction).toFixed(1)} points`;
const show = (p: number) => p < 0.001 ? "p < 0.001" : `p = ${p.toPrecision(2)}`;
const mean = (values: readonly boolean[]) => values.filter(Boolean).length / values.length;

/** The verdict of a run. The outcomes corrected for each other are the gain and the comparison with every control. */
export function verdict({ base, amplified, templates, controls, abilities, seed }: VerdictInput): Verdict {
  const compare = (before: readonly boolean[]) => {
    const { positive, negative } = flips(before, amplified);
    return {
      positive,
      negative,
      difference: (positive - negative) / before.length,
      p: mcnemarExact(positive, negative),
    };
  };
  const gain = compare(base);
  const against = controls.map((control) => ({ ...control, ...compare(control.correct) }));
  const [gainP, ...controlPs] = holm([gain.p, ...against.map(({ p }) => p)]);
  const gained = gain.difference > 0 && gainP! <= level;
  const sentences: string[] = [];

  const few = `${base.length} problems can see ${
    (100 * detectable(base.length, (gain.positive + gain.negative) / base.length)).toFixed(1)
  } points at p 0.05 (power 80 %)`;
  if (gained) {
    sentences.push(`The update gained ${points(gain.difference)} on the task (${show(gainP!)}, Holm).`);
  } else if (gain.difference < 0 && gainP! <= level) {
    sentences.push(`The update lost ${points(gain.difference)} on the task (${show(gainP!)}, Holm).`);
  } else {sentences.push(
      `No gain may be claimed: ${points(gain.difference)}, ${show(gainP!)} (Holm); ${few}.`,
    );}
  const interval = clusterBootstrap(amplified.map((now, i) => Number(now) - Number(base[i])), templates, {
    seed,
  });
  if (gained && interval[0] <= 0) {
    sentences.push(
      `It may not be claimed for other templates: drawn anew by template, the interval is ${
        points(interval[0])
      } to ${points(interval[1])}.`,
    );
  }

  const beaten: string[] = [];
  const beatenBy: string[] = [];
  const families = Map.groupBy(against.keys(), (i) => against[i]!.family);
  for (const [family, members] of families) {
    const worst = members.reduce((a, b) => against[b]!.difference < against[a]!.difference ? b : a);
    const wins = members.every((i) => against[i]!.difference > 0 && controlPs[i]! <= level);
    const losses = members.filter((i) => against[i]!.difference < 0 && controlPs[i]! <= level);
    const draws = members.map((i) => mean(against[i]!.correct));
    const rank = members.length > 1
      ? ` Rank among ${members.length} draws: ${show(rankP(mean(amplified), draws))}${
        members.length < 19 ? "; 19 draws are needed for 0.05" : ""
      }.`
      : "";
    const highest = Math.max(...members.map((i) => controlPs[i]!));
    if (wins) {
      beaten.push(family);
      sentences.push(
        `The circuit beats control ${family} (${points(against[worst]!.difference)} or more, ${
          show(highest)
        }, Holm).${rank}`,
      );
    } else if (losses.length > 0) {
      beatenBy.push(...losses.map((i) => against[i]!.name));
      sentences.push(
        `Control ${losses.map((i) => against[i]!.name).join(", ")} beats the circuit by ${
          (-100 * against[worst]!.difference).toFixed(1)
        } points (${show(controlPs[worst]!)}, Holm).${rank}`,
      );
    } else {
      sentences.push(
        `It may not be claimed that the circuit is better or worse than control ${family} (${
          points(against[worst]!.difference)
        } against its best draw, ${show(controlPs[worst]!)}, Holm).${rank}`,
      );
    }
  }

  const kept: string[] = [];
  for (const [name, { base, amplified }] of Object.entries(abilities)) {
    const change = amplified.map((now, i) => Number(now) - Number(base[i]));
    const low = lowerEnd(change);
    if (low > -nonInferiorityMargin) kept.push(name);
    else {
      sentences.push(
        `It may not be claimed that ${name} kept within ${(100 * nonInferiorityMargin).toFixed(1)} points: ${
          points(change.reduce((sum, value) => sum + value, 0) / change.length)
        } on ${change.length} items, lower end ${points(low)}.`,
      );
    }
  }
  if (kept.length > 0) {
    sentences.push(
      `Within ${(100 * nonInferiorityMargin).toFixed(1)} points of before (lower end of the 95 % interval): ${
        kept.join(", ")
      }.`,
    );
  }
  return { gained, beaten, beaten_by: beatenBy, kept, sentences };
}

/**
 * Lower end of the 95 % interval of a mean of paired changes. The variance counts one changed item more than there were, so that
 * no change at all among few items does not pass for certainty.
 */
function lowerEnd(change: readonly number[]): number {
  const n = change.length;
  const average = change.reduce((sum, value) => sum + value, 0) / n;
  const squares = change.reduce((sum, value) => sum + value * value, 0) + 1;
  return average - 1.959964 * Math.sqrt(Math.max(0, squares / n - average ** 2) / n);
}
