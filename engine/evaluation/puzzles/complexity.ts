/** Accuracy against complexity: what became of the plans of each size. */
import { type Interval, wilsonInterval } from "../statistics.ts";
import { type PlanOutcome, planOutcomes, type PlanRecord } from "./task.ts";

/** One size. */
export interface SizeResult {
  /** Disks, checkers of a colour, pairs or blocks. */
  readonly size: number;
  /** Moves of a shortest plan. */
  readonly minimum_moves: number;
  /** How many were asked. */
  readonly instances: number;
  /** Share of instances that were solved. */
  readonly accuracy: number;
  /** Wilson's 95 % interval of it. */
  readonly ci95: Interval;
  /** How many ended up how; those cut off for want of tokens stand apart from those that are wrong. */
  readonly outcomes: Readonly<Record<PlanOutcome, number>>;
  /** Mean number of the first illegal move, over plans that have one; null where none has. */
  readonly first_wrong_move: number | null;
  /** Mean number of tokens written. */
  readonly tokens: number;
}

/** A sample of a puzzle as far as it counts here. */
export type PuzzleSample = PlanRecord & {
  readonly doc: { readonly size: number; readonly minimum_moves: number };
};

/** Results by size, the smallest first. */
export function bySize(samples: readonly PuzzleSample[]): SizeResult[] {
  const sizes = [...Map.groupBy(samples, ({ doc }) => doc.size)].sort(([a], [b]) => a - b);
  return sizes.map(([size, own]) => {
    const count = (outcome: PlanOutcome) => own.filter((sample) => sample.outcome === outcome).length;
    const wrong = own.flatMap(({ first_wrong_move }) => first_wrong_move ?? []);
    return {
      size,
      minimum_moves: own[0]!.doc.minimum_moves,
      instances: own.length,
      accuracy: count("solved") / own.length,
      ci95: wilsonInterval(count("solved"), own.length),
      outcomes: Object.fromEntries(planOutcomes.map((outcome) => [outcome, count(outcome)])) as Record<
        PlanOutcome,
        number
      >,
      first_wrong_move: wrong.length > 0 ? mean(wrong) : null,
      tokens: mean(own.map(({ tokens }) => tokens)),
    };
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A puzzle's results, a line for each size. */
export function describeSizes(results: readonly SizeResult[]): string[] {
  const percent = (share: number) => (100 * share).toFixed(1);
  return results.map(
    ({ size, minimum_moves, accuracy, ci95, instances, outcomes, first_wrong_move, tokens }) => {
      const [low, high] = ci95.map(percent);
      const ended = planOutcomes.filter((outcome) => outcomes[outcome] > 0)
        .map((outcome) => `${outcomes[outcome]} ${outcome.replaceAll("_", " ")}`);
      const wrong = first_wrong_move === null
        ? ""
        : `; first illegal move ${first_wrong_move.toFixed(1)} on average`;
      return `  size ${size} (at least ${minimum_moves} ${minimum_moves === 1 ? "move" : "moves"}): ${
        percent(accuracy)
      } % (95 % interval ${low} to ${high}) of ${instances}: ${ended.join(", ")}${wrong}; ${
        tokens.toFixed(0)
      } tokens`;
    },
  );
}
