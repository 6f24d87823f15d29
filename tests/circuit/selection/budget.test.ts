import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  componentParameters,
  fillBudget,
  parseBudget,
  randomOfEqualParameters,
  selectedParameters,
} from "../../../engine/circuit/selection/budget.ts";
import { InputError } from "../../../engine/errors.ts";
import type { ModelConfig } from "../../../engine/model/architecture.ts";
import { seededRandom } from "../../../engine/random.ts";

// 2 layers of 2 q, 1 k, 1 v heads of width 4 and 6 neurons, hidden size 8: a head moves 32 parameters, a neuron 8.
const config = {
  layers: 2,
  hiddenSize: 8,
  queryHeads: 2,
  keyValueHeads: 1,
  headWidth: 4,
  mlpWidth: 6,
} as ModelConfig;
const components = 2 * (4 + 6);

Deno.test("a component's parameters are its rows of q, k, v or up_proj", () => {
  assertEquals([...componentParameters(config).subarray(0, 10)], [32, 32, 32, 32, 8, 8, 8, 8, 8, 8]);
  assertEquals(componentParameters(config).length, components);
});

Deno.test("budgets are counts or shares of components or parameters", () => {
  assertEquals(parseBudget("40"), { unit: "components", amount: 40, share: false });
  assertEquals(parseBudget("1.6%"), { unit: "components", amount: 0.016, share: true });
  assertEquals(parseBudget("20000p"), { unit: "parameters", amount: 20000, share: false });
  assertEquals(parseBudget("1%p"), { unit: "parameters", amount: 0.01, share: true });
  for (const text of ["", "0", "1.5", "101%", "1p%", "-3", "many", "0%p"]) {
    assertThrows(() => parseBudget(text), InputError, `not "${text}"`);
  }
});

Deno.test("a budget is filled by falling score, passing over what no longer fits", () => {
  const scores = new Float64Array(components);
  scores.set([5, 9, 0, 0, 7, 7]); // q-head 1, then neurons 0 and 1 (a tie: lower index first), then q-head 0
  const chosen = (text: string) =>
    [...fillBudget(config, scores, parseBudget(text), 1000).entries()].filter(([, on]) => on).map(([i]) => i);
  assertEquals(chosen("1"), [1]);
  assertEquals(chosen("3"), [1, 4, 5]);
  assertEquals(chosen("48p"), [1, 4, 5]);
  assertEquals(chosen("4.1%p"), [1, 4]); // 41 parameters: 32 + 8
  assertEquals(chosen("31p"), [4, 5, 6]); // no head fits
  assertThrows(
    () => fillBudget(config, scores, parseBudget("7p"), 1000),
    InputError,
    "smallest has 8 parameters",
  );
});

Deno.test("random selections of equal parameters move as many, to within one component, and differ", () => {
  const like = Array.from({ length: components }, (_, i) => [0, 3, 5, 17].includes(i));
  assertEquals(selectedParameters(config, like), 80);
  const random = seededRandom("equal parameters");
  const seen = new Set<string>();
  const hits = new Float64Array(components);
  for (let n = 0; n < 2000; n++) {
    const drawn = randomOfEqualParameters(config, like, random);
    assertEquals(selectedParameters(config, drawn), 80); // neurons fill what heads leave
    seen.add(JSON.stringify(drawn));
    drawn.forEach((on, i) => hits[i]! += Number(on));
  }
  assert(seen.size > 1000, `${seen.size} different`);
  // Every neuron is as likely as every other: within five standard deviations of the mean.
  const neurons = [...hits].filter((_, i) => i % 10 >= 4);
  const mean = neurons.reduce((a, b) => a + b, 0) / neurons.length;
  neurons.forEach((count) => assert(Math.abs(count - mean) < 5 * Math.sqrt(mean), `${count} beside ${mean}`));
});
