import { assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import type { Activation } from "../../engine/model/architecture.ts";
import {
  adamwStep,
  argmax,
  attention,
  attentionBackward,
  type AttentionShape,
  crossEntropy,
  embedding,
  embeddingBackward,
  filterLogits,
  gatedMlp,
  gatedMlpBackward,
  klDivergence,
  maskAdamStep,
  matmulNN,
  matmulNT,
  matmulTN,
  pairLoss,
  type PairObjective,
  philox4x32,
  rmsNorm,
  rmsNormBackward,
  rotary,
  sampleIndex,
  scaleComponents,
  scaleComponentsBackward,
  sgdStep,
  softCap,
  softCapBackward,
  uniformFromBits,
} from "../../engine/reference/ops.ts";

/** `count` values in [-1,1), the same for the same seed. */
function randoms(count: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    return 2 * uniformFromBits(philox4x32([i, 0, 0, 0], [seed, 0])[0]) - 1;
  });
}

/** Σ a · b. */
function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** Demands that `gradient` is the derivative of `value` by every one of `variable`, by central differences. */
function checkGradient(
  name: string,
  variable: Float64Array,
  gradient: Float64Array,
  value: () => number,
): void {
  assertEquals(gradient.length, variable.length);
  const largest = gradient.reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
  for (let i = 0; i < variable.length; i++) {
    const held = variable[i]!;
    const h = 1e-5;
    variable[i] = held + h;
    const above = value();
    variable[i] = held - h;
    const below = value();
    variable[i] = held;
    assertAlmostEquals((above - below) / (2 * h), gradient[i]!, 1e-6 * largest, `${name}[${i}]`);
  }
}

Deno.test("embedding looks rows up and adds the gradients of repeated ids", () => {
  const ids = [2, 0, 2];
  const table = randoms(4 * 3, 1);
  const dy = randoms(3 * 3, 2);
  assertEquals(embedding(table, [3], 3, 2), table.slice(9).map((value) => 2 * value));
  checkGradient(
    "table",
    table,
    embeddingBackward(dy, ids, 4, 3, 2),
    () => dot(embedding(table, ids, 3, 2), dy),
  );
});

Deno.test("the three matmuls agree with a worked example and are each other's gradients", () => {
  assertEquals([...matmulNT([1, 2, 3, 4], [5, 6, 7, 8], 2, 2, 2)], [17, 23, 39, 53]);
  assertEquals([...matmulNN([1, 2, 3, 4], [5, 6, 7, 8], 2, 2, 2)], [19, 22, 43, 50]);
  assertEquals([...matmulTN([1, 2, 3, 4], [5, 6, 7, 8], 2, 2, 2)], [26, 30, 38, 44]);
  const [m, n, k] = [3, 5, 4];
  const [x, w, dy] = [randoms(m * k, 1), randoms(n * k, 2), randoms(m * n, 3)];
  const value = () => dot(matmulNT(x, w, m, n, k), dy);
  checkGradient("x", x, matmulNN(dy, w, m, k, n), value);
  checkGradient("w", w, matmulTN(dy, x, n, k, m), value);
});

for (const offset of [0, 1] as const) {
  Deno.test(`rmsNorm with offset ${offset} has the right gradients`, () => {
    const [rows, width, epsilon] = [3, 5, 1e-2];
    const [x, weight, dy] = [randoms(rows * width, 1), randoms(width, 2), randoms(rows * width, 3)];
    const { dx, dweight } = rmsNormBackward(dy, x, weight, rows, width, epsilon, offset);
    const value = () => dot(rmsNorm(x, weight, rows, width, epsilon, offset), dy);
    checkGradient("x", x, dx, value);
    checkGradient("weight", weight, dweight, value);
  });
}

Deno.test("rotary turns pairs half a head apart, and its inverse is its gradient", () => {
  const quarter = rotary([1, 0, 0, 0], [Math.PI / 2], 1, 4, 10000);
  assertAlmostEquals(quarter[0]!, 0, 1e-12);
  assertAlmostEquals(quarter[2]!, 1, 1e-12);
  const positions = [0, 3, 7];
  const [x, dy] = [randoms(3 * 2 * 6, 1), randoms(3 * 2 * 6, 2)];
  const turned = rotary(x, positions, 2, 6, 100);
  rotary(turned, positions, 2, 6, 100, true).forEach((value, i) => assertAlmostEquals(value, x[i]!, 1e-12));
  checkGradient(
    "x",
    x,
    rotary(dy, positions, 2, 6, 100, true),
    () => dot(rotary(x, positions, 2, 6, 100), dy),
  );
});

const plain: AttentionShape = {
  queryHeads: 4,
  keyValueHeads: 2,
  headWidth: 3,
  scale: 0.7,
  softCap: 0,
  window: 0,
  queryStarts: [0, 4, 5, 11],
};
const attentionShapes: Record<string, AttentionShape> = {
  "over all earlier positions": plain,
  "with a soft cap": { ...plain, softCap: 0.5 },
  "with a sliding window": { ...plain, window: 3, softCap: 2 },
  "against cached keys": { ...plain, window: 4, queryStarts: [0, 1, 3], keyStarts: [0, 6, 9] },
};
for (const [title, shape] of Object.entries(attentionShapes)) {
  Deno.test(`attention ${title} has the right gradients`, () => {
    const queryRows = Array.from(shape.queryStarts).at(-1)!;
    const keyRows = Array.from(shape.keyStarts ?? shape.queryStarts).at(-1)!;
    const [q, dout] = [randoms(queryRows * 12, 1), randoms(queryRows * 12, 2)];
    const [k, v] = [randoms(keyRows * 6, 3), randoms(keyRows * 6, 4)];
    const { dq, dk, dv } = attentionBackward(dout, q, k, v, shape);
    const value = () => dot(attention(q, k, v, shape).out, dout);
    checkGradient("q", q, dq, value);
    checkGradient("k", k, dk, value);
    checkGradient("v", v, dv, value);
  });
}

Deno.test("attention sees neither later keys, nor other sequences, nor keys before its window", () => {
  const shape = { ...plain, queryHeads: 1, keyValueHeads: 1, headWidth: 1, window: 2 };
  const zeros = new Float64Array(11);
  const v = Float64Array.from({ length: 11 }, (_, i) => 2 ** i);
  const { out, logSumExp } = attention(zeros, zeros, v, shape);
  assertEquals([...out], [1, 1.5, 3, 6, 16, 32, 48, 96, 192, 384, 768]);
  assertEquals([...logSumExp.subarray(3, 7)].map(Math.exp).map(Math.round), [2, 1, 1, 2]);
});

Deno.test("one query against cached keys equals the last row of the whole sequence", () => {
  const [q, k, v] = [randoms(6 * 12, 1), randoms(6 * 6, 2), randoms(6 * 6, 3)];
  const shape = { ...plain, window: 4 };
  const whole = attention(q, k, v, { ...shape, queryStarts: [0, 6] });
  const last = attention(q.subarray(5 * 12), k, v, { ...shape, queryStarts: [0, 1], keyStarts: [0, 6] });
  assertEquals(last.out, whole.out.slice(5 * 12));
  assertEquals(last.logSumExp, whole.logSumExp.slice(5 * 4));
});

for (const activation of ["silu", "gelu_tanh"] satisfies Activation[]) {
  Deno.test(`gatedMlp with ${activation} has the right gradients`, () => {
    const gate = randoms(12, 1).map((value) => 4 * value);
    const [up, dy] = [randoms(12, 2), randoms(12, 3)];
    const { dgate, dup } = gatedMlpBackward(dy, gate, up, activation);
    const value = () => dot(gatedMlp(gate, up, activation), dy);
    checkGradient("gate", gate, dgate, value);
    checkGradient("up", up, dup, value);
  });
}

Deno.test("silu and gelu_tanh give their known values at 1", () => {
  assertAlmostEquals(gatedMlp([1], [1], "silu")[0]!, 0.7310585786300049, 1e-12);
  assertAlmostEquals(gatedMlp([1], [1], "gelu_tanh")[0]!, 0.8411919906082768, 1e-12);
});

Deno.test("softCap bounds its values, has the right gradient and does nothing at cap 0", () => {
  const x = randoms(8, 1).map((value) => 3 * value);
  const dy = randoms(8, 2);
  assertLess(softCap([1e6], 1.5)[0]!, 1.5 + 1e-12);
  checkGradient("x", x, softCapBackward(dy, x, 1.5), () => dot(softCap(x, 1.5), dy));
  assertEquals(softCap(x, 0), x);
  assertEquals(softCapBackward(dy, x, 0), dy);
});

Deno.test("scaleComponents doubles at 1, keeps at 0.5, ablates at 0, and has the right gradients", () => {
  assertEquals([...scaleComponents([1, 2, 3, 4, 5, 6], [1, 0.5, 0], 2)], [2, 4, 3, 4, 0, 0]);
  const [x, dy, mask] = [randoms(2 * 6, 1), randoms(2 * 6, 2), randoms(3, 3)];
  const { dx, dmask } = scaleComponentsBackward(dy, x, mask, 2);
  const value = () => dot(scaleComponents(x, mask, 2), dy);
  checkGradient("x", x, dx, value);
  checkGradient("mask", mask, dmask, value);
});

Deno.test("crossEntropy weighs rows and has the right gradient", () => {
  const logits = randoms(3 * 5, 1);
  const value = () => crossEntropy(logits, [4, 0, 2], [0.5, 0, 2], 5).loss;
  const { dlogits, rowLosses } = crossEntropy(logits, [4, 0, 2], [0.5, 0, 2], 5);
  checkGradient("logits", logits, dlogits, value);
  assertEquals(rowLosses[1], 0);
  assertAlmostEquals(value(), 0.5 * rowLosses[0]! + 2 * rowLosses[2]!, 1e-12);
  assertAlmostEquals(crossEntropy([0, 0, 0, 0], [1], [1], 4).loss, Math.log(4), 1e-12);
});

Deno.test("klDivergence is zero at the anchor and has the right gradient", () => {
  const [anchor, logits] = [randoms(3 * 5, 2), randoms(3 * 5, 1)];
  const weights = [0.5, 0, 2];
  const value = () => klDivergence(anchor, logits, weights, 5).loss;
  checkGradient("logits", logits, klDivergence(anchor, logits, weights, 5).dlogits, value);
  assertAlmostEquals(klDivergence(anchor, anchor, weights, 5).loss, 0, 1e-12);
  // Of (1/2, 1/2) from (3/4, 1/4): (log 2 + log 2/3) / 2 … = log(2 / √3).
  assertAlmostEquals(klDivergence([0, 0], [Math.log(3), 0], [1], 2).loss, Math.log(2 / Math.sqrt(3)), 1e-12);
});

for (const objective of ["logit-difference", "preference"] satisfies PairObjective[]) {
  Deno.test(`pairLoss ${objective} has the right gradient`, () => {
    const logits = randoms(3 * 5, 1);
    const value = () => pairLoss(logits, [4, 0, 2], [1, 3, 2], 5, objective).loss;
    checkGradient("logits", logits, pairLoss(logits, [4, 0, 2], [1, 3, 2], 5, objective).dlogits, value);
  });
}

Deno.test("preference loss stays finite however wrong the model is", () => {
  assertEquals(pairLoss([-1000, 1000], [0], [1], 2, "preference").loss, 2000);
  assertEquals(pairLoss([1000, -1000], [0], [1], 2, "preference").loss, 0);
});

Deno.test("the first AdamW step decays, then moves by the learning rate", () => {
  const weights = Float64Array.of(2, -2);
  const constants = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 0, weightDecay: 0.5 };
  adamwStep(weights, [3, -0.01], new Float64Array(2), new Float64Array(2), 1, constants);
  assertAlmostEquals(weights[0]!, 2 * 0.95 - 0.1, 1e-12);
  assertAlmostEquals(weights[1]!, -2 * 0.95 + 0.1, 1e-12);
});

Deno.test("a gradient step moves against the gradient", () => {
  const weights = Float64Array.of(1, 2);
  sgdStep(weights, [10, -10], 0.1);
  assertEquals([...weights], [0, 3]);
});

Deno.test("a mask step adds the L1 gradient, clamps to [0,1] and leaves a zero without gradient at zero", () => {
  const mask = Float64Array.of(1, 0.5, 0, 0.05);
  const constants = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, regularization: 0.5 };
  maskAdamStep(mask, [-2, 0, 0, 0], new Float64Array(4), new Float64Array(4), 1, constants);
  [1, 0.4, 0, 0].forEach((value, i) => assertAlmostEquals(mask[i]!, value, 1e-7));
});

Deno.test("philox4x32 gives the known answers of Random123", () => {
  const ones = 0xffffffff;
  assertEquals(philox4x32([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assertEquals(
    philox4x32([ones, ones, ones, ones], [ones, ones]),
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  );
  assertEquals(
    philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

Deno.test("argmax takes the first of equals", () => {
  assertEquals(argmax([-3, 2, 2, 1]), 1);
});

Deno.test("filterLogits applies temperature, then top-k, then top-p to what is left", () => {
  const logits = [8, 4, 2, 1].map(Math.log);
  const shares = (
    filter: { temperature?: number; topK?: number; topP?: number },
  ) => [...filterLogits(logits, { temperature: 1, topK: 0, topP: 1, ...filter }).probabilities];
  const check = (actual: number[], parts: number[]) => {
    const total = parts.reduce((a, b) => a + b);
    parts.forEach((part, i) => assertAlmostEquals(actual[i]!, part / total, 1e-12));
  };
  check(shares({}), [8, 4, 2, 1]);
  check(shares({ temperature: 0.5 }), [64, 16, 4, 1]);
  check(shares({ topK: 2 }), [8, 4, 0, 0]);
  check(shares({ topK: 99 }), [8, 4, 2, 1]);
  check(shares({ topP: 0.79 }), [8, 4, 0, 0]); // 8/15 < 0.79 < 12/15
  check(shares({ topP: 0.81 }), [8, 4, 2, 0]);
  check(shares({ topK: 2, topP: 0.66 }), [8, 0, 0, 0]); // 8/12 ≥ 0.66
  check(shares({ topP: 0 }), [8, 0, 0, 0]);
  assertEquals(filterLogits(logits, { temperature: 3, topK: 3, topP: 1 }).threshold, Math.log(2));
  check([...filterLogits([1, 1, 0], { temperature: 1, topK: 1, topP: 1 }).probabilities], [1, 1, 0]);
});

Deno.test("sampleIndex walks the cumulative probabilities and skips those of zero", () => {
  const picks = [0, 0.24, 0.25, 0.74, 0.75, 0.9999].map((u) => sampleIndex([0, 0.25, 0, 0.5, 0.25, 0], u));
  assertEquals(picks, [1, 1, 3, 3, 4, 4]);
});

Deno.test("uniformFromBits stays below 1 and is exact in float32", () => {
  const largest = uniformFromBits(0xffffffff);
  assertLess(largest, 1);
  assertEquals(Math.fround(largest), largest);
});
