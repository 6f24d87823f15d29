/** A run repeated for several seeds: means over seeds, each with its interval. */
import { join } from "node:path";
import { writeJson } from "../files.ts";
import { overSeeds, type SeedDifference } from "../evaluation/seed_statistics.ts";
import { meanAndInterval } from "../evaluation/statistics.ts";
import { holm } from "../evaluation/verdict.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { runAmplify, type RunOptions } from "./amplify_run.ts";
import type { RunSettings } from "./settings/run.ts";
import { setting } from "./settings/setting.ts";
import { listOf, longestRange, rangeOf, seed } from "./settings/value_types.ts";
import { evaluationsSchema, parseRecord, type Summary } from "./records.ts";
import { loadData } from "./stages.ts";
import { controlsOf } from "./controls.ts";

/** A mean over seeds; the interval is null where there is one seed only. */
export type MeanAndInterval = ReturnType<typeof meanAndInterval>;

/** Accuracies over seeds, as fractions; intervals are 95 % t-intervals of the mean. */
export interface SeedsSummary {
  readonly seeds: number[];
  readonly base: MeanAndInterval;
  readonly amplified: MeanAndInterval;
  readonly gain: MeanAndInterval;
  readonly other_abilities: Record<string, { base: MeanAndInterval; amplified: MeanAndInterval }>;
  /** `advantage`: accuracy of the circuit's update less that of the control, seed by seed. */
  readonly controls: Record<
    string,
    { amplified: MeanAndInterval; gain: MeanAndInterval; advantage: MeanAndInterval }
  >;
  /** The same differences with each problem counted once, however many seeds asked it: the gain, and the circuit less each control. */
  readonly over_problems: { gain: SeedDifference; controls: Record<string, SeedDifference> };
  /** What may be claimed, from `over_problems` alone. */
  readonly verdict: string[];
  readonly seconds: number;
  readonly adapter: string;
}

/** Outcomes of one seed's run on its test problems. */
export interface SeedOutcomes {
  /** The question of each. */
  readonly problems: readonly string[];
  readonly base: readonly boolean[];
  readonly amplified: readonly boolean[];
  readonly controls: Readonly<Record<string, readonly boolean[]>>;
}

/** The seeds of a repeated run: a list, ranges among them as text. */
export const seedsSetting = setting({
  name: "seeds",
  type: listOf(seed, {
    commas: true,
    is: `a range like 0-4 or a list like 1,3, of at most ${longestRange} seeds`,
    placeholder: "RANGE",
    expand: rangeOf,
  }),
  otherwise: "one run with the one seed",
  help: "repeat for several seeds, e.g. 0-4 or 1,3, and report means",
  example: "0-4",
});

/** Runs every seed in `out`/seed-N (resuming finished ones) and writes `out`/summary.json. */
export async function runSeeds(
  gpu: Gpu,
  settings: RunSettings,
  seeds: readonly number[],
  options: RunOptions,
): Promise<SeedsSummary> {
  const summaries: Summary[] = [];
  const outcomes: SeedOutcomes[] = [];
  const named = (seed: number, stage: string) => `seed ${seed}: ${stage}`;
  let expected = false;
  const expect: RunOptions["expect"] = (stages) => {
    if (expected) return;
    expected = true;
    options.expect?.(seeds.flatMap((seed) => stages.map((one) => ({ ...one, name: named(seed, one.name) }))));
  };
  for (const seed of seeds) {
    const progress: RunOptions["progress"] = (stage, done, total, note) =>
      options.progress?.(named(seed, stage), done, total, note);
    const out = join(options.out, `seed-${seed}`);
    const from = options.from === undefined ? undefined : join(options.from, `seed-${seed}`);
    summaries.push(await runAmplify(gpu, { ...settings, seed }, { ...options, out, from, progress, expect }));
    outcomes.push(await readOutcomes(out, { ...settings, seed }));
  }
  const result = summarizeSeeds(summaries, outcomes);
  await writeJson(join(options.out, "summary.json"), result);
  return result;
}

/** What a finished run answered on its test problems. */
async function readOutcomes(out: string, settings: RunSettings): Promise<SeedOutcomes> {
  const path = join(out, "evaluations.json");
  const { base, amplified, ...others } = parseRecord(
    path,
    evaluationsSchema,
    JSON.parse(await Deno.readTextFile(path)),
  );
  const { split } = await loadData(settings);
  const names = controlsOf(settings.evaluation).map(({ name }) => name);
  return {
    problems: split.test.map(({ question }) => question),
    base: base!.correct,
    amplified: amplified!.correct,
    controls: Object.fromEntries(names.map((name) => [name, others[name]!.correct])),
  };
}

/** What may be claimed of several seeds. The gain and the comparisons with the controls are corrected for each other by Holm. */
function seedsVerdict(
  gain: SeedDifference,
  controls: Record<string, SeedDifference>,
  seeds: number,
): string[] {
  const names = Object.keys(controls);
  const [gainP, ...controlPs] = holm([gain, ...Object.values(controls)].map(({ p_problems }) => p_problems));
  const size = ({ difference }: SeedDifference) => `${(100 * difference).toFixed(1)} points`;
  const evidence = (difference: SeedDifference, p: number) =>
    `p = ${p.toPrecision(2)} over problems, Holm; ahead in ${difference.seeds_ahead} of ${seeds} seeds, p = ${
      difference.p_seeds.toPrecision(2)
    } over seeds`;
  const claim = (difference: SeedDifference, p: number, better: string, worse: string, neither: string) =>
    `${p > 0.05 ? neither : difference.difference > 0 ? better : worse}: ${size(difference)} (${
      evidence(difference, p)
    }).`;
  return [
    claim(
      gain,
      gainP!,
      "The updates gained on the task",
      "The updates lost on the task",
      "No gain may be claimed",
    ),
    ...names.map((name, i) =>
      claim(
        controls[name]!,
        controlPs[i]!,
        `The circuits beat control ${name}`,
        `Control ${name} beats the circuits`,
        `It may not be claimed that the circuits are better or worse than control ${name}`,
      )
    ),
  ];
}

/** What runs of several seeds say together: each number's mean over the seeds, with its interval. */
export function summarizeSeeds(
  summaries: readonly Summary[],
  outcomes: readonly SeedOutcomes[],
): SeedsSummary {
  const over = (pick: (summary: Summary) => number) => meanAndInterval(summaries.map(pick));
  const first = summaries[0]!;
  const difference = (before: (outcomes: SeedOutcomes) => readonly boolean[]) =>
    overSeeds(
      outcomes.map((one) => ({ problems: one.problems, before: before(one), after: one.amplified })),
      first.seed,
    );
  const gain = difference(({ base }) => base);
  const controls = Object.fromEntries(
    Object.keys(first.controls).map((name) => [name, difference(({ controls }) => controls[name]!)]),
  );
  return {
    seeds: summaries.map(({ seed }) => seed),
    base: over(({ accuracy }) => accuracy.base),
    amplified: over(({ accuracy }) => accuracy.amplified),
    gain: over(({ accuracy }) => accuracy.gain),
    other_abilities: Object.fromEntries(
      Object.keys(first.other_abilities).map((name) => [name, {
        base: over(({ other_abilities }) => other_abilities[name]!.base),
        amplified: over(({ other_abilities }) => other_abilities[name]!.amplified),
      }]),
    ),
    controls: Object.fromEntries(
      Object.keys(first.controls).map((name) => [name, {
        amplified: over(({ controls }) => controls[name]!.amplified),
        gain: over(({ controls }) => controls[name]!.gain),
        advantage: over(({ accuracy, controls }) => accuracy.amplified - controls[name]!.amplified),
      }]),
    ),
    over_problems: { gain, controls },
    verdict: seedsVerdict(gain, controls, summaries.length),
    seconds: summaries.reduce((sum, { seconds }) => sum + seconds.total!, 0),
    adapter: first.adapter,
  };
}
