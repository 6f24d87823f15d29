/** Accuracy by size, and the regimes of two models. */
import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { compareOutcomes, describeComparison } from "../../../engine/evaluation/compare/compare.ts";
import type { Outcome } from "../../../engine/evaluation/compare/outcomes.ts";
import { bySize, describeSizes, type PuzzleSample } from "../../../engine/evaluation/puzzles/complexity.ts";
import { describeRegimes, regimes } from "../../../engine/evaluation/puzzles/regimes.ts";
import type { PlanOutcome } from "../../../engine/evaluation/puzzles/task.ts";

const sample = (
  size: number,
  outcome: PlanOutcome,
  tokens: number,
  first_wrong_move: number | null = null,
): PuzzleSample => ({
  doc: { size, minimum_moves: 2 ** size - 1 },
  outcome,
  tokens,
  first_wrong_move,
  moves: 3,
  legal_moves: 3,
  fault: null,
});

Deno.test("results by size count outcomes apart, with Wilson's interval", () => {
  const results = bySize([
    sample(10, "cut_off", 64),
    sample(2, "solved", 20),
    sample(2, "illegal_move", 10, 2),
    sample(2, "illegal_move", 30, 5),
    sample(2, "solved", 40),
  ]);
  assertEquals(results.map(({ size, instances, accuracy }) => [size, instances, accuracy]), [[2, 4, 0.5], [
    10,
    1,
    0,
  ]]);
  const [two, ten] = results as [typeof results[0], typeof results[0]];
  assertEquals(two.outcomes, { solved: 2, illegal_move: 2, goal_not_reached: 0, no_plan: 0, cut_off: 0 });
  assertEquals([two.first_wrong_move, two.tokens, two.minimum_moves], [3.5, 25, 3]);
  assertEquals([ten.first_wrong_move, ten.outcomes.cut_off], [null, 1]);
  assertAlmostEquals(two.ci95[0], 0.15004, 1e-5); // Wilson's for 2 of 4
  assertAlmostEquals(two.ci95[1], 0.84996, 1e-5);
  assertEquals(describeSizes(results), [
    "  size 2 (at least 3 moves): 50.0 % (95 % interval 15.0 to 85.0) of 4: 2 solved, 2 illegal move; first illegal move 3.5 on average; 25 tokens",
    "  size 10 (at least 1023 moves): 0.0 % (95 % interval 0.0 to 79.3) of 1: 1 cut off; 64 tokens",
  ]);
});

/** Ten instances of each size, and how many of them each model solves. */
function pairsOf(solved: Record<number, [a: number, b: number]>) {
  return Object.entries(solved).flatMap(([size, [a, b]]) =>
    Array.from({ length: 10 }, (_, i) => ({ size: Number(size), before: i < a, after: i < b }))
  );
}
const named = (solved: Record<number, [number, number]>) =>
  regimes(pairsOf(solved)).map(({ regime }) => regime);

Deno.test("regimes: alike, then the second better, then both collapsed", () => {
  assertEquals(named({ 1: [10, 10], 2: [9, 8], 3: [2, 9], 4: [1, 7], 5: [1, 1], 6: [0, 0] }), [
    "low",
    "low",
    "medium",
    "medium",
    "high",
    "high",
  ]);
  // Five of ten won and none lost has p = 0.0625; six has 0.031.
  assertEquals(named({ 1: [3, 8] }), ["low"]);
  assertEquals(named({ 1: [3, 9] }), ["medium"]);
  // A size that fails below one that is solved is no collapse.
  assertEquals(named({ 1: [0, 0], 2: [5, 5] }), ["low", "low"]);
  assertEquals(named({ 1: [0, 1], 2: [1, 0] }), ["high", "high"]);
  // The first model being better is no medium regime.
  assertEquals(named({ 1: [10, 1], 2: [10, 10] }), ["low", "low"]);
  assertEquals(named({ 10: [0, 0], 9: [10, 10] }), ["low", "high"]);
});

Deno.test("two evaluations of a puzzle are compared by size, and other tasks are not", () => {
  const outcomes = (which: "before" | "after") =>
    new Map<string, Outcome[]>([
      [
        "hanoi",
        pairsOf({ 1: [10, 10], 2: [0, 10], 3: [0, 0] }).map((pair, i) => ({
          id: `${i}`,
          cluster: `item ${i}`,
          correct: pair[which],
          size: pair.size,
        })),
      ],
      ["gsm8k", [{ id: "0", cluster: "item 0", correct: true }]],
    ]);
  const compared = compareOutcomes(outcomes("before"), outcomes("after"));
  const { hanoi, gsm8k } = compared.tasks;
  assertEquals(hanoi!.complexity!.map(({ size, a, b, regime }) => [size, a, b, regime]), [
    [1, 1, 1, "low"],
    [2, 0, 1, "medium"],
    [3, 0, 0, "high"],
  ]);
  assertEquals([gsm8k!.complexity, compared.pooled!.complexity], [undefined, undefined]);
  const text = describeComparison(compared);
  assertStringIncludes(text, describeRegimes(hanoi!.complexity!).join("\n"));
  assertStringIncludes(
    text,
    "sizes of low complexity 1; of medium complexity 2; of high complexity 3 (high:",
  );
});
