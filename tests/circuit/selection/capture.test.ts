import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { capture, captureDistribution, overlap } from "../../../engine/circuit/selection/capture.ts";
import type { ModelConfig } from "../../../engine/model/architecture.ts";
import { seededRandom } from "../../../engine/random.ts";

// One layer of 1 q, 1 k, 1 v head of width 2 and 9 neurons, hidden size 4: heads move 8 parameters each, neurons 4; 60 in all.
const config = {
  layers: 1,
  hiddenSize: 4,
  queryHeads: 1,
  keyValueHeads: 1,
  headWidth: 2,
  mlpWidth: 9,
} as ModelConfig;
const only = (...indices: number[]) => Array.from({ length: 12 }, (_, i) => indices.includes(i));

Deno.test("the capture ratio is the gradient's norm per root of the share of parameters", () => {
  const energies = [6, 0, 0, 3, 1, 1, 1, 0, 0, 0, 0, 0]; // 12 in all
  assertEquals(capture(config, energies, only(0, 3)), {
    ratio: Math.sqrt(9 / 12 / (12 / 60)),
    squared_gradient_share: 9 / 12,
    movable_share: 12 / 60,
  });
  assertAlmostEquals(capture(config, energies, only(...energies.keys())).ratio, 1);
  assertEquals(capture(config, energies, only()).ratio, 0);
});

Deno.test("where every parameter has the same gradient, no selection captures more than its share", () => {
  const energies = [8, 8, 8, ...new Array<number>(9).fill(4)];
  for (const selection of [only(0), only(5, 6), only(1, 2, 11)]) {
    assertAlmostEquals(capture(config, energies, selection).ratio, 1);
  }
});

Deno.test("random selections place the best one last and an average one in the middle", () => {
  const energies = [0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1];
  for (const kind of ["same-composition", "same-parameters"] as const) {
    const best = captureDistribution(config, energies, only(3, 4), kind, seededRandom(kind), 500);
    assert(best.rank_p < 0.06, `${kind}: ${best.rank_p}`);
    assert(best.interval[0] <= best.mean && best.mean <= best.interval[1]);
    const worst = captureDistribution(config, energies, only(10, 11), kind, seededRandom(kind), 500);
    assert(worst.rank_p > 0.6, `${kind}: ${worst.rank_p}`);
  }
});

Deno.test("the expected squared capture of a random selection is one where all components are equally large", () => {
  const energies = [0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1];
  const neurons = energies.map((energy, i) => i < 3 ? 0 : energy);
  let sum = 0;
  const draws = 4000;
  const random = seededRandom("expectation");
  for (let n = 0; n < draws; n++) {
    const { interval: [drawn] } = captureDistribution(
      config,
      neurons,
      only(3, 4, 5),
      "same-composition",
      random,
      1,
    );
    sum += drawn ** 2;
  }
  // Neurons hold all of the gradient in 36 of 60 parameters.
  assertAlmostEquals(sum / draws, 60 / 36, 0.05);
});

Deno.test("overlap counts components and weighs them by parameters", () => {
  assertEquals(overlap(config, only(0, 3, 4), only(0, 5)), { components: 1 / 3, parameters: 8 / 16 });
  assertEquals(overlap(config, only(), only(1)), { components: 0, parameters: 0 });
});
