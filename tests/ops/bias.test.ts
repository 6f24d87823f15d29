/** Biases against plain sums. N tokens, O outputs. */
import { addBias, biasGradient } from "../../engine/ops/bias.ts";
import { gpuTest, gradientTolerance } from "./gpu_fixture.ts";

for (const [n, outputs] of [[1, 1], [5, 7], [33, 130]] as const) {
  gpuTest(`a bias of ${outputs} is added to ${n} rows`, async (trial) => {
    const [y, bias] = [trial.randoms(n * outputs), trial.randoms(outputs)];
    const result = trial.upload(y, n, outputs);
    trial.run((plan) => addBias(plan, trial.upload(bias), result));
    await trial.expect("y", result, y.map((value, i) => value + bias[i % outputs]!));
  });

  gpuTest(`the gradient of a bias of ${outputs} adds up ${n} rows onto what is there`, async (trial) => {
    const [dy, before] = [trial.randoms(n * outputs), trial.randoms(outputs)];
    const gradient = trial.upload(before);
    trial.run((plan) => biasGradient(plan, trial.upload(dy, n, outputs), gradient));
    const expected = Float64Array.from(before);
    dy.forEach((value, i) => expected[i % outputs]! += value);
    await trial.expect("gradient", gradient, expected, gradientTolerance);
  });
}
