/** A run repeated for several seeds: means over seeds, each with its interval. */
import { join } from "node:path";
import { writeJson } from "../files.ts";
import { meanAndInterval } from "../evaluation/statistics.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { runAmplify, type RunOptions } from "./amplify_run.ts";
import type { RunSettings } from "./settings/run.ts";
import { setting } from "./settings/setting.ts";
import { listOf, rangeOf, seed } from "./settings/value_types.ts";
import type { Summary } from "./records.ts";

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
  readonly seconds: number;
  readonly adapter: string;
}

/** The seeds of a repeated run: a list, ranges among them as text. */
export const seedsSetting = setting({
  name: "seeds",
  type: listOf(seed, {
    commas: true,
    is: "a range like 0-4 or a list like 1,3",
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
  for (const seed of seeds) {
    const progress: RunOptions["progress"] = (stage, done, total, note) =>
      options.progress?.(`seed ${seed}: ${stage}`, done, total, note);
    const out = join(options.out, `seed-${seed}`);
    const from = options.from === undefined ? undefined : join(options.from, `seed-${seed}`);
    summaries.push(await runAmplify(gpu, { ...settings, seed }, { ...options, out, from, progress }));
  }
  const result = summarizeSeeds(summaries);
  await writeJson(join(options.out, "summary.json"), result);
  return result;
}

/** What runs of several seeds say together: each number's mean over the seeds, with its interval. */
export function summarizeSeeds(summaries: readonly Summary[]): SeedsSummary {
  const over = (pick: (summary: Summary) => number) => meanAndInterval(summaries.map(pick));
  const first = summaries[0]!;
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
    seconds: summaries.reduce((sum, { seconds }) => sum + seconds.total!, 0),
    adapter: first.adapter,
  };
}
