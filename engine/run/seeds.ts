/** A run repeated for several seeds: means over seeds, intervals, and paired tests against the controls. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { writeJson } from "../files.ts";
import { mcnemarExact, meanAndInterval } from "../evaluation/statistics.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { runAmplify, type RunOptions } from "./amplify_run.ts";
import type { RunSettings } from "./settings.ts";
import type { Summary } from "./summary.ts";

type MeanAndInterval = ReturnType<typeof meanAndInterval>;

/** Accuracies over seeds, as fractions; intervals are 95 % t-intervals of the mean. */
export interface SeedsSummary {
  readonly seeds: number[];
  readonly base: MeanAndInterval;
  readonly amplified: MeanAndInterval;
  readonly gain: MeanAndInterval;
  readonly other_abilities: Record<string, { base: MeanAndInterval; amplified: MeanAndInterval }>;
  /** `p`: McNemar's exact p of the circuit's update against the control, flips summed over seeds. */
  readonly controls: Record<string, { amplified: MeanAndInterval; gain: MeanAndInterval; p: number }>;
  readonly seconds: number;
  readonly adapter: string;
}

/** "0-4" or "1,3,7" as numbers. Throws InputError. */
export function parseSeeds(text: string): number[] {
  const range = text.match(/^(\d+)-(\d+)$/);
  const seeds = range
    ? Array.from(
      { length: Math.max(0, Number(range[2]) - Number(range[1]) + 1) },
      (_, i) => Number(range[1]) + i,
    )
    : /^\d+(,\d+)*$/.test(text)
    ? [...new Set(text.split(",").map(Number))]
    : [];
  if (seeds.length === 0) {
    throw new InputError(`--seeds "${text}" is not a range like 0-4 or a list like 1,3.`);
  }
  return seeds;
}

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
    summaries.push(await runAmplify(gpu, { ...settings, seed }, { ...options, out, progress }));
  }
  const over = (pick: (summary: Summary) => number) => meanAndInterval(summaries.map(pick));
  const first = summaries[0]!;
  const result: SeedsSummary = {
    seeds: [...seeds],
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
      Object.keys(first.controls).map((name) => {
        const sum = (side: "positive" | "negative") =>
          summaries.reduce((total, { controls }) => total + controls[name]!.flips_against[side], 0);
        return [name, {
          amplified: over(({ controls }) => controls[name]!.amplified),
          gain: over(({ controls }) => controls[name]!.gain),
          p: mcnemarExact(sum("positive"), sum("negative")),
        }];
      }),
    ),
    seconds: summaries.reduce((sum, { seconds }) => sum + seconds.total!, 0),
    adapter: gpu.adapterName,
  };
  await writeJson(join(options.out, "summary.json"), result);
  return result;
}

/** The result in a few lines. */
export function describeSeeds(result: SeedsSummary): string {
  const show = ({ mean, interval }: MeanAndInterval, unit: string) =>
    `${(100 * mean).toFixed(1)} ${unit}` +
    (interval ? ` (${(100 * interval[0]).toFixed(1)} to ${(100 * interval[1]).toFixed(1)})` : "");
  const lines = [
    `seeds          ${result.seeds.join(", ")}; means with 95 % intervals`,
    `accuracy       ${show(result.base, "%")} → ${show(result.amplified, "%")}, gain ${
      show(result.gain, "points")
    }`,
  ];
  for (const [name, { base, amplified }] of Object.entries(result.other_abilities)) {
    lines.push(`${name.padEnd(14)} ${show(base, "%")} → ${show(amplified, "%")}`);
  }
  for (const [name, { amplified, gain, p }] of Object.entries(result.controls)) {
    lines.push(
      `control        ${name}: ${show(amplified, "%")}, gain ${show(gain, "points")}; p = ${
        p.toPrecision(2)
      } against it`,
    );
  }
  return lines.join("\n");
}
