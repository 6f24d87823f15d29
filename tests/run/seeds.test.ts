/** Several seeds: means with intervals, and claims that count each problem once, however many seeds asked it. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { type SeedOutcomes, summarizeSeeds } from "../../engine/run/seeds.ts";
import type { Summary } from "../../engine/run/records.ts";
import { describeSeeds } from "../../engine/run/summary_text.ts";

const arm = {
  components: 1,
  parameters: 4,
  parameter_share: 0.1,
  capture_ratio: 1,
  overlap: { components: 1, parameters: 1 },
};

const outcome = { ci95: [0, 0] as const, update_norm: 1, negative_flips: 0, tries: 1 };

/** What a run of one seed found; the parts that means are not taken of are left empty. */
function summary(seed: number, base: number, amplified: number, random: number): Summary {
  return {
    model: "m",
    data: "d",
    seed,
    localization_examples: 5,
    components: { selected: 1, total: 4, percent: 25, by_kind: { q: 1, k: 0, v: 0, mlp: 0 } },
    circuit: { ...arm, ...outcome, gain: amplified - base, p: 0.5 },
    verdict: [],
    selection: { method: "dcm", circuit: arm, squared_gradient_share: 0.1 },
    accuracy: { base, amplified, gain: amplified - base, ci95: [0, 0] },
    per_template: {},
    flips: { positive: 3, negative: 1, mcnemar_p: 0.6 },
    other_abilities: { fact: { base: 1, amplified: 0.5 } },
    controls: {
      random: {
        ...arm,
        ...outcome,
        amplified: random,
        gain: random - base,
        best_step: 2,
        other_abilities: {},
        flips_against: { positive: 30, negative: 1 },
        p: 1e-7,
      },
    },
    best_step: 2,
    changed_parameters_percent: 1,
    seconds: { total: 2 },
    adapter: "a",
  };
}

/** Forty problems that every seed asks: `won` and `lost` of them by the update, and the control right where the base was. */
function outcomes(seeds: number, won: number, lost: number): SeedOutcomes[] {
  const problems = Array.from({ length: 40 }, (_, i) => `problem ${i}`);
  const base = problems.map((_, i) => i < 20);
  const amplified = problems.map((_, i) => i < 20 ? i >= lost : i < 20 + won);
  return Array.from({ length: seeds }, () => ({ problems, base, amplified, controls: { random: base } }));
}

Deno.test("every number of several seeds is a mean with its interval", () => {
  const result = summarizeSeeds([
    summary(3, 0.5, 0.6, 0.55),
    summary(4, 0.5, 0.8, 0.55),
    summary(5, 0.5, 0.7, 0.7),
  ], outcomes(3, 8, 0));
  assertEquals([result.seeds, result.seconds], [[3, 4, 5], 6]);
  assertAlmostEquals(result.gain.mean, 0.2, 1e-12);
  const { random } = result.controls;
  assertAlmostEquals(random!.advantage.mean, 0.1, 1e-12);
  // Differences 0.05, 0.25, 0: deviation √0.0175 over √3, times t = 4.302653 for two degrees of freedom.
  const half = 4.302653 * Math.sqrt(0.0175 / 3);
  assertAlmostEquals(random!.advantage.interval![0], 0.1 - half, 1e-6);
  assertAlmostEquals(random!.advantage.interval![1], 0.1 + half, 1e-6);
  assert(!("p" in random!), "flips of seeds that share problems were summed");
  assertEquals(result.other_abilities.fact!.amplified, { mean: 0.5, interval: [0.5, 0.5] });
});

Deno.test("the text says how far the circuit is ahead of each control, and what may be claimed", () => {
  const text = describeSeeds(
    summarizeSeeds([summary(0, 0.5, 0.6, 0.55), summary(1, 0.5, 0.8, 0.55)], outcomes(2, 12, 1)),
  );
  assertMatch(text, /^seeds {10}0, 1; means with 95 % intervals$/m);
  assertMatch(text, /^control {8}random: .*; the circuit is 15\.0 points \(.* to .*\) ahead of it$/m);
  // Twelve won and one lost, of forty: 2 (1 + 13) / 2^13 by problems, doubled by Holm; two seeds can say no more than 2 / 2^2.
  assertMatch(
    text,
    /^verdict {8}The circuits beat control random: 27\.5 points \(p = 0\.0068 over problems, Holm; ahead in 2 of 2 seeds, p = 0\.50 over seeds\)\.$/m,
  );
  const none = describeSeeds(summarizeSeeds([summary(0, 0.5, 0.6, 0.55)], outcomes(1, 2, 1)));
  assertMatch(none, /^verdict {8}No gain may be claimed: 2\.5 points \(p = 1\.0 over problems/m);
  const one = describeSeeds(summarizeSeeds([summary(0, 0.5, 0.6, 0.55)], outcomes(1, 12, 1)));
  assertMatch(one, /the circuit is 5\.0 points ahead of it$/m);
});
