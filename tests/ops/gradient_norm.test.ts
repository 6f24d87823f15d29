/** Sums, norms over several tensors and clipping against plain loops. */
import { clipToNorm, squaredNorm, sum } from "../../engine/ops/gradient_norm.ts";
import { forwardTolerance, gpuTest, type Trial } from "./gpu_fixture.ts";
import { clipGradients } from "../reference/training.ts";

/** Random tensors of these sizes on the GPU and in float64, by name. */
function tensorsOf(trial: Trial, sizes: readonly number[], size = 1) {
  const values = sizes.map((count) => trial.randoms(count, size));
  return {
    tensors: values.map((data) => trial.upload(data)),
    twin: new Map(values.map((data, i) => [`tensor ${i}`, Float64Array.from(data)])),
  };
}

gpuTest("a sum of few and of many values lands at its place alone", async (trial) => {
  for (const count of [1, 63, 64, 1000, 70000]) {
    const values = trial.randoms(count);
    const totals = trial.upload(Float32Array.of(5, 5, 5));
    trial.run((plan) => sum(plan, trial.upload(values), totals, 1));
    await trial.expect(`${count} values`, totals, [5, values.reduce((a, b) => a + b, 0), 5], 1e-5);
  }
});

gpuTest("the squared norm counts every element of every tensor once", async (trial) => {
  const { tensors, twin } = tensorsOf(trial, [1, 7, 64, 300, 20000, 2]);
  const totals = trial.upload(Float32Array.of(5, 5));
  trial.run((plan) => squaredNorm(plan, tensors, totals, 1));
  await trial.expect("totals", totals, [5, clipGradients(twin, Infinity) ** 2]);
});

for (const [what, limit] of [["above", 0.5], ["below", 1e4]] as const) {
  gpuTest(`gradients whose norm is ${what} the limit are clipped as by their twin`, async (trial) => {
    const { tensors, twin } = tensorsOf(trial, [5, 1000, 64], 3);
    const totals = trial.unwritten(1);
    trial.run((plan) => {
      squaredNorm(plan, tensors, totals, 0);
      clipToNorm(plan, tensors, totals, 0, limit);
    });
    clipGradients(twin, limit);
    for (const [i, expected] of [...twin.values()].entries()) {
      await trial.expect(`tensor ${i}`, tensors[i]!, expected, what === "above" ? forwardTolerance : 0);
    }
  });
}

gpuTest("gradients of zero stay zero", async (trial) => {
  const [gradient, totals] = [trial.upload(new Float32Array(9)), trial.unwritten(1)];
  trial.run((plan) => {
    squaredNorm(plan, [gradient], totals, 0);
    clipToNorm(plan, [gradient], totals, 0, 1);
  });
  await trial.expect("gradient", gradient, new Float32Array(9), 0);
});
