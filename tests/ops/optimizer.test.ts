/** Parameter updates over 30 steps against their twins. */
import { adamDefaults, adamW, gradientStep, writeAdamStep } from "../../engine/ops/optimizer.ts";
import * as twin from "../../engine/reference/ops.ts";
import { assertClose, forwardTolerance, gpuTest, gpuTestOfVariants } from "./gpu_fixture.ts";

const steps = 30;

gpuTestOfVariants(
  "AdamW follows its twin over 30 steps whose rate and weight decay change",
  async (trial) => {
    for (
      const { betas, epsilon } of [adamDefaults, { betas: [0.8, 0.95] as [number, number], epsilon: 1e-3 }]
    ) {
      const count = 130;
      const start = trial.randoms(count, 2);
      const [values, gradient] = [trial.upload(start), trial.unwritten(count)];
      const moments = trial.upload(new Float32Array(2 * count), count, 2);
      const step = trial.unwritten(4);
      const expected = Float64Array.from(start);
      const [first, second] = [new Float64Array(count), new Float64Array(count)];
      const plan = trial.run((plan) => adamW(plan, step, gradient, moments, values, { betas, epsilon }), 0);
      for (let t = 1; t <= steps; t++) {
        const [learningRate, weightDecay] = [0.02 * 0.9 ** Math.floor(t / 5), t % 2 ? 0.1 : 0];
        const g = trial.randoms(count, t % 3 === 0 ? 10 : 1e-2);
        trial.gpu.write(gradient, g);
        writeAdamStep(trial.gpu, step, t, learningRate, weightDecay, betas);
        plan.run();
        const constants = { learningRate, weightDecay, beta1: betas[0], beta2: betas[1], epsilon };
        twin.adamwStep(expected, g, first, second, t, constants);
        if (t === 1 || t % 10 === 0) await trial.expect(`values after ${t} steps`, values, expected);
      }
      const both = Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 ? second : first)[i >> 1]!);
      const held = await trial.gpu.read(moments);
      // The first and second moments differ in size, so each is compared among its own.
      const pick = (values: ArrayLike<number>, odd: number) =>
        Float64Array.from({ length: count }, (_, i) => values[2 * i + odd]!);
      for (const odd of [0, 1]) {
        assertClose(`moment ${odd + 1}`, pick(held, odd), pick(both, odd), 2 * forwardTolerance);
      }
    }
  },
);

gpuTest("the plain gradient step follows its twin over 30 steps whose rate changes", async (trial) => {
  for (const count of [1, 64, 77]) {
    const start = trial.randoms(count, 2);
    const [values, gradient, step] = [trial.upload(start), trial.unwritten(count), trial.unwritten(4)];
    const plan = trial.run((plan) => gradientStep(plan, step, gradient, values), 0);
    const expected = Float64Array.from(start);
    for (let t = 0; t < steps; t++) {
      const g = trial.randoms(count);
      trial.gpu.write(gradient, g);
      trial.gpu.write(step, Float32Array.of(0.1 / (t + 1)));
      plan.run();
      twin.sgdStep(expected, g, 0.1 / (t + 1));
    }
    await trial.expect(`${count} values`, values, expected);
  }
});
