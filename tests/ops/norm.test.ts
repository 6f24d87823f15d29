/** RMSNorm and its gradients against their twins. R rows of W channels. */
import { assertThrows } from "@std/assert";
import { Plan } from "../../engine/gpu/plan.ts";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { type Columns, type Norm, rmsNorm, rmsNormBackward } from "../../engine/ops/norm.ts";
import * as twin from "../../engine/reference/ops.ts";
import {
  assertDerivative,
  dot,
  gpuTest,
  gpuTestOfVariants,
  gradientTolerance,
  type Trial,
} from "./gpu_fixture.ts";

const epsilon = 1e-3; // large enough to show when it is left out

/** Rows × width: below, at and above the 128 threads of a row and the 8 rows of a workgroup; multiples of 4 and not. */
const sizes = [[1, 5], [9, 8], [13, 64], [3, 130], [8, 257]] as const;

function normOf(trial: Trial, width: number, offset: 0 | 1): { norm: Norm; gain: Float32Array<ArrayBuffer> } {
  const gain = trial.randoms(width);
  return { norm: { weight: trial.upload(gain), offset, epsilon }, gain };
}

/** A matrix of `stride` columns that holds rows [R, W] at a column offset, and 7 elsewhere. */
function spread(rows: Float32Array, width: number, { stride, offset }: Columns): Float32Array<ArrayBuffer> {
  const wide = new Float32Array(rows.length / width * stride).fill(7);
  for (let r = 0; r < rows.length / width; r++) {
    wide.set(rows.subarray(r * width, (r + 1) * width), r * stride + offset);
  }
  return wide;
}

gpuTestOfVariants("a norm, its residual and the norm that follows are right in one pass", async (trial) => {
  for (const [index, [rows, width]] of sizes.entries()) {
    const offset = index % 2 as 0 | 1;
    const [{ norm, gain }, { norm: after, gain: nextGain }] = [
      normOf(trial, width, offset),
      normOf(trial, width, 1),
    ];
    const [x, residual] = [trial.randoms(rows * width, 3), trial.randoms(rows * width, 3)];
    const [y, z] = [trial.unwritten(rows, width), trial.unwritten(rows, width)];
    trial.run((plan) =>
      rmsNorm(plan, trial.upload(x, rows, width), norm, y, {
        rows,
        residual: trial.upload(residual, rows, width),
        next: { norm: after, y: z },
      })
    );
    const sum = Float32Array.from(twin.add(twin.rmsNorm(x, gain, rows, width, epsilon, offset), residual));
    await trial.expect(`${rows} × ${width}`, y, sum);
    await trial.expect(`next of ${rows} × ${width}`, z, twin.rmsNorm(sum, nextGain, rows, width, epsilon, 1));
  }
});

gpuTestOfVariants("rmsnorm equals its twin at every width, with either gain offset", async (trial) => {
  for (const [index, [rows, width]] of sizes.entries()) {
    const offset = index % 2 as 0 | 1;
    const { norm, gain } = normOf(trial, width, offset);
    const x = trial.randoms(rows * width, 3);
    const y = trial.unwritten(rows, width);
    trial.run((plan) => rmsNorm(plan, trial.upload(x), norm, y, { rows }));
    const expected = twin.rmsNorm(x, gain, rows, width, epsilon, offset);
    await trial.expect(`${rows} × ${width}`, y, expected);
  }
});

gpuTestOfVariants("rmsnorm adds a residual and reads and writes columns of wider matrices", async (trial) => {
  const [rows, width] = [11, 6];
  const [from, to] = [{ stride: 10, offset: 3 }, { stride: 9, offset: 2 }];
  const { norm, gain } = normOf(trial, width, 1);
  const [x, residual] = [trial.randoms(rows * width), trial.randoms(rows * width)];
  const y = trial.upload(new Float32Array(rows * to.stride).fill(7), rows, to.stride);
  trial.run((plan) =>
    rmsNorm(plan, trial.upload(spread(x, width, from)), norm, y, {
      rows,
      x: from,
      y: to,
      residual: trial.upload(spread(residual, width, to)),
    })
  );
  const sum = twin.add(twin.rmsNorm(x, gain, rows, width, epsilon, 1), residual);
  await trial.expect("y", y, spread(Float32Array.from(sum), width, to));
});

gpuTestOfVariants("rmsnorm backward equals its twin and adds the gain's gradient", async (trial) => {
  for (const [index, [rows, width]] of sizes.entries()) {
    const offset = index % 2 as 0 | 1;
    const { norm, gain } = normOf(trial, width, offset);
    const [x, dy, before] = [trial.randoms(rows * width), trial.randoms(rows * width), trial.randoms(width)];
    const dx = trial.unwritten(rows, width);
    const gradient = trial.upload(before);
    trial.run((plan) =>
      rmsNormBackward(plan, trial.upload(x), norm, trial.upload(dy), dx, { rows, gradient })
    );
    const expected = twin.rmsNormBackward(dy, x, gain, rows, width, epsilon, offset);
    await trial.expect(`dx of ${rows} × ${width}`, dx, expected.dx, gradientTolerance);
    await trial.expect(
      `gain gradient of ${rows} × ${width}`,
      gradient,
      twin.add(expected.dweight, before),
      gradientTolerance,
    );
  }
});

gpuTestOfVariants("rmsnorm backward works in place, with a residual and on columns", async (trial) => {
  const [rows, width] = [10, 6];
  const [from, to] = [{ stride: 10, offset: 3 }, { stride: 9, offset: 2 }];
  const { norm, gain } = normOf(trial, width, 0);
  const [x, dy, residual] = [1, 1, 1].map(() => trial.randoms(rows * width));
  const { dx } = twin.rmsNormBackward(dy!, x!, gain, rows, width, epsilon);
  const sum = Float32Array.from(twin.add(dx, residual!));
  const wide = trial.upload(spread(x!, width, from));
  const incoming = () => trial.upload(spread(dy!, width, to), rows, to.stride);
  const added = trial.upload(spread(residual!, width, to));
  const run = async (what: string, dy: Tensor, dx: Tensor, withResidual: boolean, expected: Float32Array) => {
    const residual = withResidual ? { residual: added } : {};
    trial.run((plan) => rmsNormBackward(plan, wide, norm, dy, dx, { rows, x: from, y: to, ...residual }));
    await trial.expect(what, dx, spread(expected, width, to), gradientTolerance);
  };
  const [first, second] = [incoming(), incoming()];
  await run("in place", first, first, false, Float32Array.from(dx));
  await run("in place with residual", second, second, true, sum);
  const apart = trial.upload(new Float32Array(rows * to.stride).fill(7), rows, to.stride);
  await run("with residual", incoming(), apart, true, sum);
});

gpuTestOfVariants("rmsnorm's gradients are the slopes of its forward kernel", async (trial) => {
  const [rows, width] = [4, 12];
  const { norm, gain } = normOf(trial, width, 1);
  const [x, dy] = [trial.randoms(rows * width), trial.randoms(rows * width)];
  const input = trial.upload(x);
  const [y, dx] = [trial.unwritten(rows, width), trial.unwritten(rows, width)];
  const gradient = trial.upload(new Float32Array(width));
  trial.run((plan) => rmsNormBackward(plan, input, norm, trial.upload(dy), dx, { rows, gradient }));
  const forward = trial.run((plan) => rmsNorm(plan, input, norm, y, { rows }));
  const lossOf = (tensor: Tensor) => async (values: Float32Array) => {
    trial.gpu.write(tensor, values);
    forward.run();
    return dot(await trial.gpu.read(y), dy);
  };
  await assertDerivative("dx", x, await trial.gpu.read(dx), lossOf(input));
  trial.gpu.write(input, x);
  await assertDerivative("gain", gain, await trial.gpu.read(gradient), lossOf(norm.weight));
});

gpuTest("the gain's gradient refuses an in-place dx, which overwrites what it needs", (trial) => {
  const { norm } = normOf(trial, 4, 0);
  const [x, dy, gradient] = [trial.unwritten(2, 4), trial.unwritten(2, 4), trial.unwritten(4)];
  using plan = new Plan(trial.gpu, "in place");
  assertThrows(
    () => rmsNormBackward(plan, x, norm, dy, dy, { rows: 2, gradient }),
    Error,
    "in-place",
  );
});

gpuTestOfVariants(
  "a norm of each head equals its twin on heads as rows, forward and backward",
  async (trial) => {
    const [tokens, heads, width, stride, offset] = [7, 3, 6, 25, 4];
    const rows = tokens * heads;
    const columns = { stride, offset };
    const { norm, gain } = normOf(trial, width, 1);
    const [x, dy] = [trial.randoms(rows * width), trial.randoms(rows * width)];
    const wide = (values: Float32Array) =>
      trial.upload(spread(values, heads * width, columns), tokens, stride);
    const [y, dx] = [wide(new Float32Array(rows * width)), wide(new Float32Array(rows * width))];
    const gradient = trial.upload(new Float32Array(width).fill(2));
    const options = { rows, heads, x: columns, y: columns };
    trial.run((plan) => {
      rmsNorm(plan, wide(x), norm, y, options);
      rmsNormBackward(plan, wide(x), norm, wide(dy), dx, { ...options, gradient });
    });
    const forward = Float32Array.from(twin.rmsNorm(x, gain, rows, width, epsilon, 1));
    const backward = twin.rmsNormBackward(dy, x, gain, rows, width, epsilon, 1);
    await trial.expect("y", y, spread(forward, heads * width, columns));
    await trial.expect(
      "dx",
      dx,
      spread(Float32Array.from(backward.dx), heads * width, columns),
      gradientTolerance,
    );
    await trial.expect("gain", gradient, backward.dweight.map((value) => value + 2), gradientTolerance);
  },
);
