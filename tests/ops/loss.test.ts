/** Token logits, pair losses and cross-entropy against their twins. P positions, J pairs a position, K ids, D width, V vocabulary. */
import { assert } from "@std/assert";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import {
  crossEntropy,
  klDivergence,
  type Objective,
  pairLoss,
  tokenLogits,
  tokenLogitsBackward,
} from "../../engine/ops/loss.ts";
import type { Storage } from "../../engine/ops/weight.ts";
import * as twin from "../../engine/reference/ops.ts";
import { assertDerivative, dot, gpuTest, gradientTolerance, type Trial } from "./gpu_fixture.ts";

const objectives: readonly Objective[] = ["logit-difference", "preference"];

/** Ids [5, 3] of a vocabulary of 12, with repeats within a row and across chunks. */
const ids = Uint32Array.of(0, 4, 11, 5, 5, 3, 11, 0, 11, 7, 8, 9, 1, 2, 4);
const [positions, perRow] = [5, 3];

gpuTest("logits of chosen tokens equal x · wᵀ at their rows, whatever chunk holds them", async (trial) => {
  for (const storage of ["f32", "f16", "bf16"] as const satisfies readonly Storage[]) {
    for (const width of storage === "f32" ? [8, 5] : [8, 6]) {
      const { weight, values } = trial.weight([4, 1, 7], width, storage);
      const [x, dlogits] = [trial.randoms(positions * width), trial.randoms(ids.length)];
      const [logits, dx] = [trial.unwritten(positions, perRow), trial.unwritten(positions, width)];
      const index = trial.upload(ids, positions, perRow);
      trial.run((plan) => {
        tokenLogits(plan, trial.upload(x, positions, width), weight, index, logits);
        tokenLogitsBackward(plan, trial.upload(dlogits, positions, perRow), weight, index, dx);
      });
      const all = twin.matmulNT(x, values, positions, 12, width);
      const chosen = Array.from(ids, (id, i) => all[Math.floor(i / perRow) * 12 + id]!);
      await trial.expect(`${storage} logits of width ${width}`, logits, chosen);
      const dall = new Float64Array(positions * 12);
      ids.forEach((id, i) => dall[Math.floor(i / perRow) * 12 + id]! += dlogits[i]!);
      const expected = twin.matmulNN(dall, values, positions, width, 12);
      await trial.expect(`${storage} dx of width ${width}`, dx, expected, gradientTolerance);
    }
  }
});

gpuTest("the gradient of token logits is the slope of their forward kernel", async (trial) => {
  const width = 6;
  const { weight } = trial.weight([5, 7], width);
  const [x, dlogits] = [trial.randoms(positions * width), trial.randoms(ids.length)];
  const input = trial.upload(x, positions, width);
  const [logits, dx] = [trial.unwritten(positions, perRow), trial.unwritten(positions, width)];
  const index = trial.upload(ids, positions, perRow);
  trial.run((plan) => tokenLogitsBackward(plan, trial.upload(dlogits, positions, perRow), weight, index, dx));
  const forward = trial.run((plan) => tokenLogits(plan, input, weight, index, logits));
  await assertDerivative("x", x, await trial.gpu.read(dx), async (changed) => {
    trial.gpu.write(input, changed);
    forward.run();
    return dot(await trial.gpu.read(logits), dlogits);
  });
});

/** The twins put together: each pair's soft-capped loss and gradient [P, J, 2], times its weight. */
function expectedPairs(logits: Float32Array, weights: Float32Array, objective: Objective, cap: number) {
  const capped = twin.softCap(logits, cap);
  const losses: number[] = [];
  const differences: number[] = [];
  const dcapped: number[] = [];
  weights.forEach((weight, i) => {
    const pair = twin.pairLoss(capped.subarray(2 * i, 2 * i + 2), [0], [1], 2, objective);
    losses.push(weight * pair.loss);
    differences.push(pair.differences[0]!);
    dcapped.push(...pair.dlogits.map((d) => weight * d));
  });
  return { losses, differences, dlogits: twin.softCapBackward(dcapped, logits, cap) };
}

async function runPairs(
  trial: Trial,
  logits: Float32Array,
  weights: Float32Array,
  objective: Objective,
  cap: number,
) {
  const shape = [weights.length, 1, 2];
  const [dlogits, results] = [trial.unwritten(...shape), trial.unwritten(...shape)];
  const input = trial.upload(logits, ...shape);
  const plan = trial.run((plan) =>
    pairLoss(plan, objective, input, trial.upload(weights, weights.length, 1), cap, dlogits, results)
  );
  const both = await trial.gpu.read(results);
  const [losses, differences] = [0, 1].map((part) => both.filter((_, i) => i % 2 === part));
  return { input, plan, results, dlogits, losses: losses!, differences: differences! };
}

for (const objective of objectives) {
  gpuTest(
    `the ${objective} loss of pairs equals its twin, with and without a final soft cap`,
    async (trial) => {
      for (const cap of [0, 4]) {
        for (const count of [1, 64, 77]) {
          const [logits, weights] = [trial.randoms(2 * count, 8), trial.randoms(count)];
          const actual = await runPairs(trial, logits, weights, objective, cap);
          const expected = expectedPairs(logits, weights, objective, cap);
          const both = expected.losses.flatMap((loss, i) => [loss, expected.differences[i]!]);
          const what = `${count} pairs, cap ${cap}`;
          await trial.expect(`results of ${what}`, actual.results, both);
          await trial.expect(`gradient of ${what}`, actual.dlogits, expected.dlogits, gradientTolerance);
        }
      }
    },
  );

  gpuTest(`the ${objective} loss stays finite and exact at differences of ±100 and more`, async (trial) => {
    const logits = Float32Array.from([50, -50, -50, 50, 100, 0, 0, 100, 0, 1e4, 1e4, 0, 12, 0, 0, 12, 0, 0]);
    const weights = new Float32Array(logits.length / 2).fill(0.5);
    for (const cap of [0, 30]) {
      const actual = await runPairs(trial, logits, weights, objective, cap);
      const expected = expectedPairs(logits, weights, objective, cap);
      const gradient = await trial.gpu.read(actual.dlogits);
      const near = (what: string, at: number, actual: number, expected: number, least: number) =>
        assert(
          Math.abs(actual - expected) <= 2e-5 * Math.max(Math.abs(expected), least),
          `${what} ${at} with cap ${cap} is ${actual}, not ${expected}.`,
        );
      expected.losses.forEach((loss, i) => near("Loss", i, actual.losses[i]!, loss, 0.01));
      expected.differences.forEach((d, i) => near("Difference", i, actual.differences[i]!, d, 0.01));
      expected.dlogits.forEach((d, i) => near("Gradient", i, gradient[i]!, d, 0.01));
    }
  });

  gpuTest(`the gradient of the ${objective} loss is the slope of its forward kernel`, async (trial) => {
    const [logits, weights] = [trial.randoms(24, 3), trial.randoms(12)];
    const { input, plan, results, dlogits } = await runPairs(trial, logits, weights, objective, 5);
    await assertDerivative("logits", logits, await trial.gpu.read(dlogits), async (changed) => {
      trial.gpu.write(input, changed);
      plan.run();
      const both = await trial.gpu.read(results);
      return both.reduce((sum, value, i) => i % 2 ? sum : sum + value, 0);
    });
  });
}

/** Runs cross-entropy on a copy of `logits` [P, V]; `out` ends up as the gradient. */
function recordCrossEntropy(trial: Trial, logits: Float32Array, targets: Uint32Array, weights: Float32Array) {
  const out = trial.upload(logits, targets.length, logits.length / targets.length);
  const losses = trial.unwritten(targets.length);
  const plan = trial.run((plan) =>
    crossEntropy(plan, out, trial.upload(targets), trial.upload(weights), losses)
  );
  return { out, losses, plan };
}

const lossesOf = async (trial: Trial, losses: Tensor) =>
  (await trial.gpu.read(losses)).reduce((a, b) => a + b, 0);

gpuTest("cross-entropy and its gradient equal their twins, rows of weight 0 included", async (trial) => {
  for (const [rows, vocabulary] of [[1, 5], [3, 64], [7, 130], [4, 257]] as const) {
    const logits = trial.randoms(rows * vocabulary, 10);
    const targets = Uint32Array.from({ length: rows }, (_, r) => r * 37 % vocabulary);
    targets[rows - 1] = vocabulary - 1;
    const weights = Float32Array.from({ length: rows }, (_, r) => r === 1 ? 0 : 0.5 + r);
    const { out, losses } = recordCrossEntropy(trial, logits, targets, weights);
    const expected = twin.crossEntropy(logits, targets, weights, vocabulary);
    const what = `${rows} × ${vocabulary}`;
    await trial.expect(`losses of ${what}`, losses, expected.rowLosses.map((loss, r) => loss * weights[r]!));
    await trial.expect(`gradient of ${what}`, out, expected.dlogits, gradientTolerance);
  }
});

gpuTest("cross-entropy of logits as far apart as 2,000 is finite", async (trial) => {
  const logits = new Float32Array(3 * 70).map((_, i) => i % 70 === 69 ? 1000 : -1000);
  const targets = Uint32Array.of(69, 0, 69);
  const weights = Float32Array.of(1, 1, 2);
  const { out, losses } = recordCrossEntropy(trial, logits, targets, weights);
  await trial.expect("losses", losses, [0, 2000, 0]);
  const { dlogits } = twin.crossEntropy(logits, targets, weights, 70);
  await trial.expect("gradient", out, dlogits, gradientTolerance);
});

gpuTest("the gradient of cross-entropy is the slope of its loss", async (trial) => {
  const logits = trial.randoms(5 * 9, 2);
  const { out, losses, plan } = recordCrossEntropy(
    trial,
    logits,
    Uint32Array.of(0, 8, 3, 3, 5),
    Float32Array.of(1, 0.5, 2, 0, 1),
  );
  await assertDerivative("logits", logits, await trial.gpu.read(out), async (changed) => {
    trial.gpu.write(out, changed);
    plan.run();
    return await lossesOf(trial, losses);
  });
});

gpuTest(
  "cross-entropy of capped logits gives the gradient of what they were before the cap",
  async (trial) => {
    const [cap, targets, weights] = [3, Uint32Array.of(0, 8, 3), Float32Array.of(1, 0.5, 2)];
    const uncapped = trial.randoms(3 * 9, 8);
    const capped = Float32Array.from(twin.softCap(uncapped, cap));
    const out = trial.upload(capped, 3, 9);
    const losses = trial.unwritten(3);
    trial.run((plan) => crossEntropy(plan, out, trial.upload(targets), trial.upload(weights), losses, cap));
    const { dlogits, rowLosses } = twin.crossEntropy(capped, targets, weights, 9);
    await trial.expect("losses", losses, rowLosses.map((loss, r) => loss * weights[r]!));
    await trial.expect("gradient", out, twin.softCapBackward(dlogits, uncapped, cap), gradientTolerance);
  },
);

gpuTest("the divergence from an anchor and its gradient equal their twins, capped or not", async (trial) => {
  for (const [rows, vocabulary, cap] of [[1, 5, 0], [3, 64, 3], [7, 130, 0], [4, 257, 30]] as const) {
    const uncapped = trial.randoms(rows * vocabulary, 10);
    const logits = cap ? Float32Array.from(twin.softCap(uncapped, cap)) : uncapped;
    const anchor = trial.randoms(rows * vocabulary, cap || 10);
    anchor.set(logits.subarray(0, vocabulary)); // the first row diverges by nothing
    const weights = Float32Array.from({ length: rows }, (_, r) => r === 1 ? 0 : 0.5 + r);
    const out = trial.upload(logits, rows, vocabulary);
    const losses = trial.unwritten(rows);
    const plan = trial.run((plan) =>
      klDivergence(plan, trial.upload(anchor, rows, vocabulary), out, trial.upload(weights), losses, cap)
    );
    const expected = twin.klDivergence(anchor, logits, weights, vocabulary);
    const what = `${rows} × ${vocabulary}, cap ${cap}`;
    await trial.expect(`losses of ${what}`, losses, expected.rowLosses.map((loss, r) => loss * weights[r]!));
    const gradient = cap ? twin.softCapBackward(expected.dlogits, uncapped, cap) : expected.dlogits;
    await trial.expect(`gradient of ${what}`, out, gradient, gradientTolerance);
    if (cap || rows === 1) continue; // the slope of one row that diverges by nothing is nothing
    await assertDerivative("logits", logits, await trial.gpu.read(out), async (changed) => {
      trial.gpu.write(out, changed);
      plan.run();
      return await lossesOf(trial, losses);
    });
  }
});

gpuTest("divergences of logits as far apart as 2,000 are finite", async (trial) => {
  const logits = new Float32Array(2 * 70).map((_, i) => i % 70 === 69 ? 1000 : -1000);
  const anchor = new Float32Array(2 * 70).map((_, i) => i === 0 || i === 70 + 69 ? 1000 : -1000);
  const out = trial.upload(logits, 2, 70);
  const losses = trial.unwritten(2);
  trial.run((plan) =>
    klDivergence(plan, trial.upload(anchor, 2, 70), out, trial.upload(Float32Array.of(1, 1)), losses)
  );
  await trial.expect("losses", losses, [2000, 0]);
});
