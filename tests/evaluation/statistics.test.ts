import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
  assertLessOrEqual,
  assertThrows,
} from "@std/assert";
import {
  bootstrapGain,
  flips,
  macroAccuracy,
  mcnemarExact,
  meanAndInterval,
  wilsonInterval,
} from "../../engine/evaluation/statistics.ts";

const outcomes = (text: string) => [...text].map((letter) => letter === "1");

Deno.test("flips count what became right and what became wrong", () => {
  assertEquals(flips(outcomes("001101"), outcomes("110100")), { positive: 2, negative: 2 });
  assertEquals(flips([], []), { positive: 0, negative: 0 });
  assertThrows(() => flips([true], []), RangeError, "1 and 0");
});

Deno.test("McNemar's exact p agrees with exact rational arithmetic", () => {
  assertEquals(mcnemarExact(0, 0), 1);
  assertEquals(mcnemarExact(6, 6), 1);
  assertAlmostEquals(mcnemarExact(5, 0), 0.0625, 1e-12);
  assertAlmostEquals(mcnemarExact(10, 2), 0.03857421875, 1e-12);
  assertAlmostEquals(mcnemarExact(2, 10), 0.03857421875, 1e-12);
  assertAlmostEquals(mcnemarExact(121, 59), 4.434449263755176e-6, 1e-17);
  assertAlmostEquals(mcnemarExact(5200, 4800), 6.593515598672442e-5, 1e-15);
  assertAlmostEquals(mcnemarExact(3000, 1000) * 1e229, 2.4915145386299067, 1e-9);
});

Deno.test("McNemar's p stays a probability for a million flips", () => {
  assertLessOrEqual(mcnemarExact(500_000, 500_001), 1);
  assertEquals(mcnemarExact(600_000, 400_000), 0);
});

Deno.test("macro accuracy weighs every group alike", () => {
  assertEquals(macroAccuracy(outcomes("11110"), ["a", "a", "a", "a", "b"]), {
    accuracy: 0.5,
    perGroup: { a: 1, b: 0 },
  });
  assertEquals(macroAccuracy(outcomes("10"), ["7", "7"]).perGroup, { "7": 0.5 });
  assertThrows(() => macroAccuracy([], []), RangeError, "Nothing to average");
  assertThrows(() => macroAccuracy([true], []), RangeError);
});

Deno.test("the bootstrap interval of one group comes close to the normal approximation", () => {
  // 20 of 100 items gained and 5 lost: mean 0.15, standard error sqrt((0.25 - 0.0225) / 100) = 0.0477.
  const before = Array.from({ length: 100 }, (_, item) => item >= 20 && item < 60);
  const after = Array.from({ length: 100 }, (_, item) => item < 55);
  assertEquals(flips(before, after), { positive: 20, negative: 5 });
  const [low, high] = bootstrapGain(before, after, before.map(() => "a"), { seed: 0, resamples: 5000 });
  assertAlmostEquals(low, 0.15 - 1.96 * 0.0477, 0.011);
  assertAlmostEquals(high, 0.15 + 1.96 * 0.0477, 0.011);
});

Deno.test("the bootstrap repeats with its seed and resamples within groups", () => {
  const before = outcomes("0011001100");
  const after = outcomes("0111011000");
  const groups = [..."aaaaabbbbb"];
  const interval = bootstrapGain(before, after, groups, { seed: 9, resamples: 200 });
  assertEquals(bootstrapGain(before, after, groups, { seed: 9, resamples: 200 }), interval);
  assertLess(interval[0], interval[1]);
  // Group a gains everywhere and group b nowhere: no draw within the groups can change the mean.
  assertEquals(bootstrapGain(outcomes("0000"), outcomes("1100"), [..."aabb"], { seed: 1 }), [0.5, 0.5]);
  assertThrows(() => bootstrapGain([], [], [], { seed: 1 }), RangeError);
});

Deno.test("Wilson's interval agrees with Newcombe's published examples", () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  const published: [number, number, number, number][] = [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ];
  for (const [successes, total, low, high] of published) {
    const interval = wilsonInterval(successes, total);
    assertAlmostEquals(interval[0], low, 5e-5);
    assertAlmostEquals(interval[1], high, 5e-5);
  }
  assertEquals(wilsonInterval(0, 0), [0, 1]);
  assertEquals(wilsonInterval(20, 20)[1], 1);
});

Deno.test("the mean of seeds carries Student's t interval", () => {
  const { mean, interval } = meanAndInterval([1, 2, 3, 4, 5]);
  assertEquals(mean, 3);
  assert(interval);
  // t(0.975, 4) = 2.776445, standard error sqrt(2.5 / 5).
  assertAlmostEquals(interval[1] - mean, 2.776445 * Math.SQRT1_2, 1e-6);
  assertAlmostEquals(mean - interval[0], 2.776445 * Math.SQRT1_2, 1e-6);
  assertEquals(meanAndInterval([4]), { mean: 4, interval: null });
  assertThrows(() => meanAndInterval([]), RangeError);
});

Deno.test("Student's t quantiles agree with the tables beyond ten degrees of freedom", () => {
  for (
    const [freedom, expected] of [[11, 2.200985], [15, 2.131450], [30, 2.042272], [120, 1.979930]] as const
  ) {
    // Any values do, since their standard error is divided out again.
    const values = Array.from({ length: freedom + 1 }, (_, index) => index % 2);
    const { mean, interval } = meanAndInterval(values);
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / freedom;
    assertAlmostEquals((interval![1] - mean) / Math.sqrt(variance / values.length), expected, 3e-5);
  }
});
