/** Statistics over seeds against cases by hand and simulated ones. */
import { assert, assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { overSeeds, signFlipP } from "../../engine/evaluation/seed_statistics.ts";
import { mcnemarExact } from "../../engine/evaluation/statistics.ts";
import { seededRandom } from "../../engine/random.ts";

Deno.test("sign flips by hand: one sign in all, one against, none", () => {
  assertEquals(signFlipP([1, 2, 1, 3, 1], 0), 2 / 32);
  assertEquals(signFlipP([1, 1, -1], 0), 1); // every sum of three ones is at least 1 in size
  assertEquals(signFlipP([0, 0], 0), 1);
  assertEquals(signFlipP([0.1, 0.2, 0.3], 0), 2 / 8); // 0.1 + 0.2 + 0.3 in any order
  // Equal sizes are the binomial of McNemar's test.
  assertAlmostEquals(signFlipP([...Array(9).fill(1), ...Array(2).fill(-1)], 0), mcnemarExact(9, 2), 1e-12);
  assertAlmostEquals(signFlipP([...Array(40).fill(1), ...Array(20).fill(-1)], 0), mcnemarExact(40, 20), 4e-3);
});

Deno.test("a problem that several seeds asked counts once", () => {
  const pair = (problems: string[], after: boolean[]) => ({
    problems,
    before: after.map(() => false),
    after,
  });
  // Problem a was won by both seeds, b by one of two, c and d by none.
  const result = overSeeds([
    pair(["a", "b", "c"], [true, true, false]),
    pair(["a", "b", "d"], [true, false, false]),
  ], 0);
  assertAlmostEquals(result.difference, (1 + 0.5 + 0 + 0) / 4, 1e-12);
  assertEquals(result.seeds_ahead, 2);
  assertEquals(result.p_seeds, 0.5); // two seeds: 2 / 2^2
  assertEquals(result.p_problems, 0.5); // two problems moved
  assert(result.ci95[0] >= 0 && result.ci95[1] <= 1);
});

Deno.test("seeds that share their problems do not make chance significant", () => {
  const random = seededRandom("shared problems");
  let claimed = 0, claimedAsIfNew = 0;
  const trials = 400;
  for (let trial = 0; trial < trials; trial++) {
    // Two models equally good, each with its own luck a problem, which five seeds see again.
    const luck = Array.from({ length: 60 }, () => [random() < 0.5, random() < 0.5] as const);
    const pairs = Array.from({ length: 5 }, () => ({
      problems: luck.map((_, i) => `${i}`),
      before: luck.map(([before]) => before),
      after: luck.map(([, after]) => after),
    }));
    if (overSeeds(pairs, trial).p_problems <= 0.05) claimed++;
    const won = 5 * luck.filter(([before, after]) => !before && after).length;
    const lost = 5 * luck.filter(([before, after]) => before && !after).length;
    if (mcnemarExact(won, lost) <= 0.05) claimedAsIfNew++;
  }
  assertLess(claimed / trials, 0.075); // 0.05 and three standard errors less the test's discreteness
  assert(claimedAsIfNew / trials > 0.2, `adding counts claims ${claimedAsIfNew} of ${trials}`);
});
