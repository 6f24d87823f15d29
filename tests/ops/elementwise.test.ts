/** Gated MLP, soft cap, fill and row copies against their twins. N tokens, F MLP width. */
import { assert, assertEquals } from "@std/assert";
import { Tensor } from "../../engine/gpu/tensor.ts";
import {
  copyRows,
  fill,
  gatedMlp,
  gatedMlpBackward,
  softCap,
  softCapBackward,
} from "../../engine/ops/elementwise.ts";
import * as twin from "../../engine/reference/ops.ts";
import { assertDerivative, dot, gpuTest, gradientTolerance } from "./gpu_fixture.ts";

const activations = ["silu", "gelu_tanh"] as const;

/** gate [N, F] and up [N, F] as the kernels read them, [N, 2F]; also how dgate and dup come back. */
function joined(gate: ArrayLike<number>, up: ArrayLike<number>, width: number): Float32Array<ArrayBuffer> {
  const both = new Float32Array(gate.length * 2);
  for (let i = 0; i < gate.length; i++) {
    const at = Math.floor(i / width) * 2 * width + i % width;
    both[at] = gate[i]!;
    both[at + width] = up[i]!;
  }
  return both;
}

gpuTest(
  "the gated MLP hands on neurons scaled by a mask at flagged tokens, and keeps them unscaled",
  async (trial) => {
    for (const [n, width] of [[3, 5], [4, 64]] as const) {
      const first = 3;
      const flags = Array.from({ length: n }, (_, i) => i % 2);
      const [gate, up] = [trial.randoms(n * width, 6), trial.randoms(n * width)] as const;
      const mask = trial.randoms(first + width + 2);
      const [y, masked] = [trial.unwritten(n, width), trial.unwritten(n, width)];
      const tokens = trial.upload(Uint32Array.from(flags.flatMap((flag, i) => [90 + i, i, 0, flag])), n, 4);
      const slice = { mask: trial.upload(mask), first, width: 1 };
      const gateUp = trial.upload(joined(gate, up, width), n, 2 * width);
      trial.run((plan) => gatedMlp(plan, gateUp, y, "silu", { tokens, slice, y: masked }));
      const plain = twin.gatedMlp(gate, up, "silu");
      const scaled = twin.scaleComponents(plain, mask.subarray(first, first + width), 1);
      await trial.expect(`y of ${n} × ${width}`, y, plain);
      await trial.expect(
        `masked ${n} × ${width}`,
        masked,
        scaled.map((v, i) => flags[Math.floor(i / width)] ? v : plain[i]!),
      );
    }
  },
);

for (const activation of activations) {
  gpuTest(`the gated MLP with ${activation} equals its twin, forward and backward`, async (trial) => {
    for (const [n, width] of [[1, 1], [3, 5], [4, 64], [7, 130]] as const) {
      const [gate, up, dy] = [6, 1, 1].map((size) => trial.randoms(n * width, size)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const gateUp = trial.upload(joined(gate, up, width), n, 2 * width);
      const [y, dGateUp] = [trial.unwritten(n, width), trial.unwritten(n, 2 * width)];
      trial.run((plan) => {
        gatedMlp(plan, gateUp, y, activation);
        gatedMlpBackward(plan, gateUp, trial.upload(dy, n, width), dGateUp, activation);
      });
      await trial.expect(`y of ${n} × ${width}`, y, twin.gatedMlp(gate, up, activation));
      const { dgate, dup } = twin.gatedMlpBackward(dy, gate, up, activation);
      await trial.expect(
        `gradient of ${n} × ${width}`,
        dGateUp,
        joined(dgate, dup, width),
        gradientTolerance,
      );
    }
  });

  gpuTest(
    `the gated MLP with ${activation} stays finite and exact for gates up to ±10,000`,
    async (trial) => {
      const sizes = [0, 1e-6, 5, 10, 20, 40, 89, 200, 1e4];
      const gate = Float32Array.from(sizes.flatMap((size) => [size, -size]));
      const one = new Float32Array(gate.length).fill(1);
      const gateUp = trial.upload(joined(gate, one, gate.length), 1, 2 * gate.length);
      const [y, dGateUp] = [trial.unwritten(1, gate.length), trial.unwritten(1, 2 * gate.length)];
      trial.run((plan) => {
        gatedMlp(plan, gateUp, y, activation);
        gatedMlpBackward(plan, gateUp, trial.upload(one, 1, gate.length), dGateUp, activation);
      });
      const [values, slopes] = [await trial.gpu.read(y), await trial.gpu.read(dGateUp)];
      gate.forEach((x, i) => {
        // Each value by its own size, down to what float32 leaves of 1 + tanh(…) in the tail of gelu.
        const near = (what: string, actual: number, expected: number) =>
          assert(
            Math.abs(actual - expected) <= Math.max(1e-5 * Math.abs(expected), 2e-6),
            `${what} at ${x} is ${actual}, not ${expected}.`,
          );
        near("value", values[i]!, twin.activate(x, activation));
        near("slope", slopes[i]!, twin.activateDerivative(x, activation));
        near("gradient of up", slopes[gate.length + i]!, twin.activate(x, activation));
      });
    },
  );

  gpuTest(
    `the gradient of the gated MLP with ${activation} is the slope of its forward kernel`,
    async (trial) => {
      const [n, width] = [5, 6];
      const both = trial.randoms(n * 2 * width, 2);
      const dy = trial.randoms(n * width);
      const gateUp = trial.upload(both, n, 2 * width);
      const [y, dGateUp] = [trial.unwritten(n, width), trial.unwritten(n, 2 * width)];
      trial.run((plan) => gatedMlpBackward(plan, gateUp, trial.upload(dy, n, width), dGateUp, activation));
      const forward = trial.run((plan) => gatedMlp(plan, gateUp, y, activation));
      await assertDerivative("gate and up", both, await trial.gpu.read(dGateUp), async (x) => {
        trial.gpu.write(gateUp, x);
        forward.run();
        return dot(await trial.gpu.read(y), dy);
      });
    },
  );
}

gpuTest(
  "soft cap bends as its twin, from the middle to far outside, and so does its gradient",
  async (trial) => {
    for (const cap of [0.5, 30]) {
      for (const count of [1, 64, 131]) {
        const x = trial.randoms(count, 3 * cap);
        x.set([1e6, -1e6, 0].slice(0, count - 1));
        const dy = trial.randoms(count);
        const [y, d] = [trial.upload(x), trial.upload(dy)];
        trial.run((plan) => {
          softCap(plan, y, cap);
          softCapBackward(plan, y, d, cap);
        });
        await trial.expect(`y of ${count} capped at ${cap}`, y, twin.softCap(x, cap));
        await trial.expect(`dy of ${count}`, d, twin.softCapBackward(dy, x, cap), gradientTolerance);
      }
    }
  },
);

gpuTest("soft cap's gradient is the slope of its forward kernel", async (trial) => {
  const [x, dy] = [trial.randoms(20, 3), trial.randoms(20)];
  const [y, d] = [trial.upload(x), trial.upload(dy)];
  const forward = trial.run((plan) => softCap(plan, y, 2));
  trial.run((plan) => softCapBackward(plan, y, d, 2));
  await assertDerivative("x", x, await trial.gpu.read(d), async (values) => {
    trial.gpu.write(y, values);
    forward.run();
    return dot(await trial.gpu.read(y), dy);
  });
});

gpuTest("fill sets every value of a tensor and nothing behind it", async (trial) => {
  for (const count of [1, 64, 77]) {
    const whole = trial.upload(new Float32Array(count + 9).fill(7));
    trial.run((plan) => fill(plan, new Tensor(whole.handle, [count], "part"), -2.5));
    const expected = new Float32Array(count + 9).fill(7).fill(-2.5, 0, count);
    assertEquals(await trial.gpu.read(whole), expected);
  }
});

gpuTest("copyRows moves columns of chosen rows to chosen rows and leaves the rest alone", async (trial) => {
  for (const width of [1, 5, 64]) {
    const [from, to] = [{ stride: width + 3, offset: 2 }, { stride: width + 1, offset: 1 }];
    const [source, target] = [trial.randoms(6 * from.stride), trial.randoms(8 * to.stride)];
    const pairs = [[5, 0], [0, 7], [2, 3], [2, 4]] as const;
    const [a, b] = [trial.upload(source, 6, from.stride), trial.upload(target, 8, to.stride)];
    const index = trial.upload(Uint32Array.from(pairs.flat()), pairs.length, 2);
    trial.run((plan) => copyRows(plan, index, { tensor: a, ...from }, { tensor: b, ...to }, width));
    for (const [i, j] of pairs) {
      const start = i * from.stride + from.offset;
      target.set(source.subarray(start, start + width), j * to.stride + to.offset);
    }
    assertEquals(await trial.gpu.read(b), target);
  }
});

gpuTest("more values than one dimension of workgroups can cover are all reached, once", async (trial) => {
  const count = 65535 * 64 + 12345; // linearGrid folds this into two rows of workgroups
  const [x, y] = [trial.gpu.tensor([count], "large"), trial.gpu.tensor([count / 5, 5], "large copy")];
  const marks = [0, 64 * 33000 - 1, 64 * 33000, 65535 * 64 - 1, 65535 * 64, count - 1];
  try {
    marks.forEach((at) => trial.gpu.write(x, Float32Array.of(at), at));
    const rows = trial.upload(Uint32Array.of(0, 0), 1, 2);
    trial.run((plan) => {
      copyRows(
        plan,
        rows,
        { tensor: x, stride: count, offset: 0 },
        { tensor: y, stride: count, offset: 0 },
        count,
      );
      fill(plan, x, 3);
      softCap(plan, x, 1);
      softCapBackward(plan, x, y, 1);
    });
    const capped = Math.tanh(3);
    for (const at of marks) {
      const [value, slope] = [(await trial.gpu.read(x, at, 1))[0]!, (await trial.gpu.read(y, at, 1))[0]!];
      assert(Math.abs(value - capped) < 1e-5, `Value ${at} is ${value}.`);
      const expected = at * (1 - capped ** 2);
      assert(Math.abs(slope - expected) <= 1e-3 * expected, `Gradient ${at} is ${slope}, not ${expected}.`);
    }
  } finally {
    [x, y].forEach((tensor) => trial.gpu.free(tensor));
  }
});
