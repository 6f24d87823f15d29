/** Component masks against their twins: scaling, gradient, and the training step with its books. N tokens, W channels. */
import { assert, assertEquals } from "@std/assert";
import { maskBackward, maskStep, type MaskTraining, scaleByMask } from "../../engine/ops/component_mask.ts";
import * as twin from "../../engine/reference/ops.ts";
import {
  assertClose,
  assertDerivative,
  dot,
  forwardTolerance,
  gpuTest,
  gradientTolerance,
  type Trial,
} from "./gpu_fixture.ts";

/** Width of a component and their number: heads and neurons, multiples of 4 and not. */
const slices = [[8, 4], [6, 5], [1, 77], [1, 64]] as const;
const n = 5;
const flags = [0, 1, 0, 1, 1];
const first = 3;

/** Tokens [N, 4] as in shaders/cache.wgsl, of which masks read the flags only. */
function tokensOf(trial: Trial) {
  return trial.upload(Uint32Array.from(flags.flatMap((flag, i) => [91 + i, i, 0, flag])), n, 4);
}

/** `scaled` at flagged rows, `plain` elsewhere. */
function atFlags(scaled: ArrayLike<number>, plain: ArrayLike<number>): Float64Array {
  return Float64Array.from(
    scaled,
    (value, i) => flags[Math.floor(i / (scaled.length / n))] ? value : plain[i]!,
  );
}

gpuTest("masks scale flagged tokens by twice the mask and leave other tokens alone", async (trial) => {
  for (const [width, count] of slices) {
    const mask = trial.randoms(first + count + 2);
    const x = trial.randoms(n * width * count);
    const slice = { mask: trial.upload(mask), first, width };
    const from = trial.upload(x, n, width * count);
    const y = trial.unwritten(n, width * count);
    trial.run((plan) => {
      scaleByMask(plan, tokensOf(trial), slice, from, y);
    });
    const scaled = twin.scaleComponents(x, mask.subarray(first, first + count), width);
    const what = `${count} components of ${width}`;
    await trial.expect(what, y, atFlags(scaled, x));
    await trial.expect(`${what}, input`, from, x, 0);
  }
});

gpuTest(
  "a mask's gradient sums flagged tokens only, keeps to its own components and goes on to the input",
  async (trial) => {
    for (const [width, count] of slices) {
      const [x, dy] = [trial.randoms(n * width * count), trial.randoms(n * width * count)];
      const gradient = trial.upload(new Float32Array(first + count + 2).fill(7));
      const mask = trial.randoms(first + count + 2);
      const slice = { mask: trial.upload(mask), first, width };
      const [input, incoming] = [trial.upload(x, n, width * count), trial.upload(dy, n, width * count)];
      trial.run((plan) => maskBackward(plan, tokensOf(trial), slice, input, incoming, gradient));
      const own = mask.subarray(first, first + count);
      const flagged = atFlags(dy, new Float32Array(dy.length));
      const expected = new Float64Array(first + count + 2).fill(7);
      expected.set(twin.scaleComponentsBackward(flagged, x, own, width).dmask, first);
      const what = `${count} components of ${width}`;
      await trial.expect(what, gradient, expected, gradientTolerance);
      await trial.expect(`${what}, dx`, incoming, atFlags(twin.scaleComponents(dy, own, width), dy));
    }
  },
);

gpuTest("a mask's gradient is the slope of the scaling kernel", async (trial) => {
  const [width, count] = [3, 7];
  const [mask, x, dy] = [trial.randoms(count), trial.randoms(n * 21), trial.randoms(n * 21)];
  const tensor = trial.upload(mask);
  const slice = { mask: tensor, first: 0, width };
  const [input, y, gradient] = [trial.upload(x, n, 21), trial.unwritten(n, 21), trial.unwritten(count)];
  const tokens = tokensOf(trial);
  trial.run((plan) => maskBackward(plan, tokens, slice, input, trial.upload(dy, n, 21), gradient));
  const forward = trial.run((plan) => scaleByMask(plan, tokens, slice, input, y));
  await assertDerivative("mask", mask, await trial.gpu.read(gradient), async (changed) => {
    trial.gpu.write(tensor, changed);
    forward.run();
    return dot(await trial.gpu.read(y), dy);
  });
});

const [betas, epsilon, strength, steps] = [[0.9, 0.999] as const, 1e-8, 0.05, 30];

/** Mask training on the GPU beside its twin, from the same start. */
class Training {
  readonly tensors: MaskTraining;
  readonly expected: Float64Array;
  readonly history: number[] = [];
  state = { stopped: 0, selected: 0, unchanged: 0, steps: 0 };
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  private readonly results;
  private readonly plan;

  constructor(
    private readonly trial: Trial,
    readonly start: Float32Array,
    private readonly patience: number,
  ) {
    const count = start.length;
    this.expected = Float64Array.from(start);
    [this.first, this.second] = [new Float64Array(count), new Float64Array(count)];
    this.state.selected = count;
    this.tensors = {
      mask: trial.upload(start),
      gradient: trial.unwritten(count),
      moments: trial.upload(new Float32Array(2 * count), count, 2),
      step: trial.unwritten(4),
      state: trial.upload(Uint32Array.of(0, count, 0, 0)),
      history: trial.upload(new Float32Array(2 * steps).fill(-1), steps, 2),
    };
    this.results = trial.unwritten(3, 1, 2);
    const options = { strength, patience, initial: count, betas, epsilon };
    this.plan = trial.run((plan) => maskStep(plan, this.tensors, this.results, options), 0);
  }

  /** Step t = 1, 2, … with this gradient, here and there. */
  step(t: number, gradient: Float32Array) {
    const { gpu } = this.trial;
    const learningRate = 0.06 * 0.95 ** t;
    const losses = this.trial.randoms(3);
    gpu.write(this.tensors.gradient, gradient);
    gpu.write(this.tensors.step, Float32Array.of(learningRate, 1 - betas[0] ** t, 1 - betas[1] ** t, NaN));
    gpu.write(this.results, Float32Array.from([...losses].flatMap((loss) => [loss, 99])));
    this.plan.run();
    if (this.state.stopped) return;
    const norm = this.expected.reduce((sum, value) => sum + Math.abs(value), 0);
    this.history.push(losses.reduce((a, b) => a + b) + strength * norm);
    const constants = { learningRate, beta1: betas[0], beta2: betas[1], epsilon, regularization: strength };
    twin.maskAdamStep(this.expected, gradient, this.first, this.second, t, constants);
    const selected = this.expected.filter((value) => value > 0.5).length;
    this.history.push(selected);
    const { state } = this;
    state.unchanged = selected === state.selected ? state.unchanged + 1 : 0;
    state.selected = selected;
    state.steps++;
    if (state.unchanged >= this.patience && selected !== this.start.length) state.stopped = 1;
  }

  /** Demands that the GPU's mask, state and history are the twin's. */
  async compare() {
    const { gpu } = this.trial;
    await this.trial.expect("mask", this.tensors.mask, this.expected);
    const { stopped, selected, unchanged, steps: taken } = this.state;
    assertEquals([...await gpu.readU32(this.tensors.state)], [stopped, selected, unchanged, taken]);
    const history = await gpu.read(this.tensors.history);
    assertClose("history", history.subarray(0, 2 * taken), this.history, forwardTolerance);
    assert(
      history.subarray(2 * taken).every((value) => value === -1),
      "History goes on behind the last step.",
    );
  }
}

gpuTest("mask training follows its twin over 30 steps, L1 term and clamping included", async (trial) => {
  for (const count of [1, 64, 131]) {
    const training = new Training(trial, trial.randoms(count).map(Math.abs), 0xffffffff);
    const slope = trial.randoms(count); // some components fall to 0, some rise to 1
    for (let t = 1; t <= steps; t++) {
      const noise = trial.randoms(count, 0.5);
      training.step(t, slope.map((value, i) => value + noise[i]!));
    }
    if (count > 1) {
      assert(
        training.expected.some((value) => value === 0) && training.expected.some((value) => value === 1),
      );
    }
    await training.compare();
  }
});

gpuTest("a component at 0 without gradient stays there, for the L1 term has no slope at 0", async (trial) => {
  const training = new Training(trial, Float32Array.of(0, 0.5, 1), 0xffffffff);
  for (let t = 1; t <= 5; t++) training.step(t, new Float32Array(3));
  assertEquals((await trial.gpu.read(training.tensors.mask))[0], 0);
  await training.compare();
});

gpuTest(
  "mask training stops once the number selected has rested, and then freezes everything",
  async (trial) => {
    const training = new Training(trial, new Float32Array(70).fill(1), 4);
    const gradient = Float32Array.from({ length: 70 }, (_, i) => i < 20 ? 1 : -1);
    for (let t = 1; t <= steps; t++) training.step(t, gradient);
    const { stopped, selected, steps: taken } = training.state;
    assertEquals([stopped, selected], [1, 50]);
    assert(taken > 10 && taken < steps - 3, `The twin stopped after ${taken} steps.`);
    await training.compare();
  },
);

gpuTest("mask training does not stop while every component is still selected", async (trial) => {
  const training = new Training(trial, new Float32Array(9).fill(1), 2);
  for (let t = 1; t <= 8; t++) training.step(t, new Float32Array(9).fill(-1));
  assertEquals(training.state, { stopped: 0, selected: 9, unchanged: 8, steps: 8 });
  await training.compare();
});
