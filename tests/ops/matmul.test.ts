/** Matrix products against their twins: every register tile, storage, chunking and overlay. N tokens, I inputs, O outputs. */
import { assert } from "@std/assert";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { linear, linearBackward, matmulNT, overlayOf, weightGradient } from "../../engine/ops/matmul.ts";
import { forceTile, type Layout, matmulCandidates, type Tile } from "../../engine/ops/variants.ts";
import type { Storage, Weight } from "../../engine/ops/weight.ts";
import * as twin from "../../engine/reference/ops.ts";
import { assertDerivative, dot, gpuTest, gpuTestOfVariants, type Trial } from "./gpu_fixture.ts";

const storages: readonly Storage[] = ["f32", "f16", "bf16"];

/** A size [m, n] for every tile the forced variant may choose, with partial tiles at the edges wherever it has any. */
function sizePerTile(gpu: Gpu, layout: Layout): { m: number; n: number; tile: Tile }[] {
  const found = new Map<string, { m: number; n: number; tile: Tile; ragged: number }>();
  for (const m of [...Array(48).keys(), 66, 130]) {
    for (let n = 1; n <= 140; n++) {
      for (const tile of matmulCandidates(gpu, layout, m + 1, n, true)) {
        const [height, width] = [tile.WY * tile.TM, tile.kernel === "split" ? tile.TN : tile.WX * tile.TN];
        const ragged = Number(m + 1 > height && (m + 1) % height > 0) + Number(n > width && n % width > 0);
        const key = JSON.stringify(tile);
        if (ragged > (found.get(key)?.ragged ?? -1)) found.set(key, { m: m + 1, n, tile, ragged });
      }
    }
  }
  assert(found.size >= 4, `Only ${found.size} tiles were found.`);
  return [...found.values()];
}

/** Runs `body` with every product computed in this tile. */
async function inTile(gpu: Gpu, tile: Tile, body: () => Promise<void>) {
  let used = 0;
  forceTile(gpu, (candidates) => {
    const own = candidates.find((candidate) => JSON.stringify(candidate) === JSON.stringify(tile));
    if (own) used++;
    return own;
  });
  try {
    await body();
  } finally {
    forceTile(gpu, undefined);
  }
  assert(used > 0, `${JSON.stringify(tile)} was not used.`);
}

const label = (m: number, n: number, { kernel, TM, TN }: Tile) =>
  `[${m}, ${n}] in ${kernel} tiles of ${TM} × ${TN}`;

/** y[m, n] = x · wᵀ over k inputs. */
async function checkNT(trial: Trial, m: number, n: number, k: number, what: string) {
  const { weight, values } = trial.weight([n], k);
  const x = trial.randoms(m * k);
  const y = trial.unwritten(m, n);
  trial.run((plan) => linear(plan, trial.upload(x, m, k), weight, y));
  await trial.expect(what, y, twin.matmulNT(x, values, m, n, k));
}

/** dx[m, n] = dy · w over k outputs, and gradient[m, n] = dyᵀ · x over k tokens, which gets the same tile. */
async function checkNN(trial: Trial, m: number, n: number, k: number, what: string) {
  const { weight, values } = trial.weight([k], n);
  const [dy, left, right] = [trial.randoms(m * k), trial.randoms(k * m), trial.randoms(k * n)];
  const [dx, gradient] = [trial.unwritten(m, n), trial.unwritten(m, n)];
  trial.run((plan) => {
    linearBackward(plan, trial.upload(dy, m, k), weight, dx);
    weightGradient(plan, trial.upload(left, k, m), trial.upload(right, k, n), gradient, false);
  });
  await trial.expect(what, dx, twin.matmulNN(dy, values, m, n, k));
  await trial.expect(`${what}, transposed`, gradient, twin.matmulTN(left, right, m, n, k));
}

gpuTestOfVariants("x · wᵀ is right in every register tile, walking four inputs at a time", async (trial) => {
  for (const { m, n, tile } of sizePerTile(trial.gpu, "nt")) {
    await inTile(trial.gpu, tile, async () => {
      await checkNT(trial, m, n, 20, label(m, n, tile));
      await checkNT(trial, m, n, 24, `${label(m, n, tile)}, eight inputs at a time`);
    });
  }
  await checkNT(trial, 16, 32, 64, "whole tiles");
  await checkNT(trial, 64, 64, 8, "many whole tiles");
});

gpuTestOfVariants("x · wᵀ is right for input counts that are no multiple of four", async (trial) => {
  for (
    const [m, n, k] of [[1, 7, 1], [3, 18, 6], [5, 37, 7], [11, 9, 13], [19, 40, 3], [33, 66, 5]] as const
  ) {
    await checkNT(trial, m, n, k, `[${m}, ${n}] over ${k}`);
  }
});

gpuTestOfVariants(
  "dy · w and dyᵀ · x are right in every register tile, four columns at a time",
  async (trial) => {
    for (const { m, n, tile } of sizePerTile(trial.gpu, "nn")) {
      await inTile(trial.gpu, tile, async () => {
        await checkNN(trial, m, 4 * n, 7, label(m, 4 * n, tile));
        await checkNN(trial, m, 4 * n, 16, `${label(m, 4 * n, tile)}, whole eights`);
      });
    }
    await checkNN(trial, 16, 64, 8, "whole tiles");
    for (const [m, n, k] of [[20, 36, 7], [20, 72, 24], [12, 48, 16], [8, 44, 12], [4, 64, 9]] as const) {
      await checkNN(trial, m, n, k, `[${m}, ${n}] over ${k}, rows in fours`);
    }
  },
);

gpuTestOfVariants(
  "dy · w and dyᵀ · x are right for column counts that are no multiple of four",
  async (trial) => {
    for (
      const [m, n, k] of [[1, 1, 3], [3, 7, 4], [5, 18, 9], [11, 6, 8], [19, 37, 5], [33, 66, 2]] as const
    ) {
      await checkNN(trial, m, n, k, `[${m}, ${n}] over ${k}`);
    }
  },
);

gpuTestOfVariants(
  "weights of every storage, split into row chunks, multiply as their exact values",
  async (trial) => {
    for (const storage of storages) {
      for (const columns of [48, 12, 10]) { // eight, four and one at a time
        for (const chunks of [[5, 1, 7], [8, 4, 12]]) { // the second offsets by fours
          const [n, rows] = [5, chunks.reduce((a, b) => a + b)];
          const { weight, values } = trial.weight(chunks, columns, storage);
          const [x, dy] = [trial.randoms(n * columns), trial.randoms(n * rows)];
          const [y, dx] = [trial.unwritten(n, rows), trial.unwritten(n, columns)];
          trial.run((plan) => {
            linear(plan, trial.upload(x, n, columns), weight, y);
            linearBackward(plan, trial.upload(dy, n, rows), weight, dx);
          });
          const what = `${storage} rows ${chunks}, ${columns} inputs`;
          await trial.expect(`y, ${what}`, y, twin.matmulNT(x, values, n, rows, columns));
          await trial.expect(`dx, ${what}`, dx, twin.matmulNN(dy, values, n, columns, rows));
        }
      }
    }
  },
);

gpuTest("a product adds a residual, in every chunk", async (trial) => {
  const [n, columns] = [6, 9];
  const { weight, values } = trial.weight([4, 3], columns);
  const [x, residual] = [trial.randoms(n * columns), trial.randoms(n * 7)];
  const y = trial.unwritten(n, 7);
  trial.run((plan) => linear(plan, trial.upload(x, n, columns), weight, y, trial.upload(residual, n, 7)));
  await trial.expect("y", y, twin.add(residual, twin.matmulNT(x, values, n, 7, columns)));
});

gpuTest("products accumulate where asked, and write only their own columns", async (trial) => {
  const [n, columns] = [6, 8];
  const { weight, values } = trial.weight([3, 2], columns);
  const [x, dy] = [trial.randoms(n * columns), trial.randoms(n * 5)];
  const [y, dx, gradient] = [trial.randoms(n * 9), trial.randoms(n * columns), trial.randoms(5 * columns)];
  const tensors = [
    trial.upload(y, n, 9),
    trial.upload(dx, n, columns),
    trial.upload(gradient, 5, columns),
  ] as const;
  const [left, right] = [trial.upload(x, n, columns), trial.upload(dy, n, 5)];
  trial.run((plan) => {
    const { tensor } = weight.chunks[0]!;
    const sizes = { m: n, n: 3, k: columns, yStride: 9, yOffset: 4, accumulate: true };
    matmulNT(plan, left, { tensor, storage: "f32" }, tensors[0], sizes);
    linearBackward(plan, right, weight, tensors[1], true);
    weightGradient(plan, right, left, tensors[2], true);
  });
  const product = twin.matmulNT(x, values.subarray(0, 3 * columns), n, 3, columns);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < 3; column++) y[row * 9 + 4 + column]! += product[row * 3 + column]!;
  }
  await trial.expect("y", tensors[0], y);
  await trial.expect("dx", tensors[1], twin.add(dx, twin.matmulNN(dy, values, n, columns, 5)));
  await trial.expect("gradient", tensors[2], twin.add(gradient, twin.matmulTN(dy, x, 5, columns, n)));
});

/** A bf16 weight [13, columns] in two chunks with rows 0, 4, 5 and 12 overlaid, and the values that count. */
function overlaid(trial: Trial, columns: number) {
  const { weight, values } = trial.weight([5, 8], columns, "bf16");
  const rows = Uint32Array.of(0, 4, 5, 12);
  const over = trial.randoms(rows.length * columns);
  const overlay = overlayOf(rows, trial.upload(rows), trial.upload(over, rows.length, columns));
  rows.forEach((row, r) => values.set(over.subarray(r * columns, (r + 1) * columns), row * columns));
  return { weight: { ...weight, overlay } satisfies Weight, values, rows };
}

gpuTest("an overlay's rows take the place of the base rows, forward and backward", async (trial) => {
  for (const columns of [8, 6]) {
    for (const accumulate of [false, true]) {
      const n = 7;
      const { weight, values, rows } = overlaid(trial, columns);
      const [x, dy, before] = [n * columns, n * 13, n * columns].map((count) => trial.randoms(count));
      const [input, incoming] = [trial.upload(x!, n, columns), trial.upload(dy!, n, 13)];
      const [y, dx] = [trial.unwritten(n, 13), trial.upload(before!, n, columns)];
      const gradient = trial.unwritten(rows.length, columns);
      let taken: Tensor | undefined;
      trial.run((plan) => {
        linear(plan, input, weight, y);
        taken = linearBackward(plan, incoming, weight, dx, accumulate);
        weightGradient(plan, taken!, input, gradient, false);
      });
      const what = `${columns} inputs${accumulate ? ", accumulated" : ""}`;
      await trial.expect(`y, ${what}`, y, twin.matmulNT(x!, values, n, 13, columns));
      const product = twin.matmulNN(dy!, values, n, columns, 13);
      await trial.expect(`dx, ${what}`, dx, accumulate ? twin.add(before!, product) : product);
      const columnsOf = (keep: boolean) =>
        Float32Array.from(dy!, (d, i) => rows.includes(i % 13) === keep ? d : 0);
      await trial.expect(`dy left behind, ${what}`, incoming, columnsOf(false), 0);
      const selected = [...dy!].filter((_, i) => rows.includes(i % 13));
      await trial.expect(`taken columns, ${what}`, taken!, selected, 0);
      const whole = twin.matmulTN(dy!, x!, 13, columns, n);
      const own = [...rows].flatMap((row) => [...whole.subarray(row * columns, (row + 1) * columns)]);
      await trial.expect(`overlay gradient, ${what}`, gradient, own);
    }
  }
});

gpuTest("the columns of overlaid rows can be taken without a gradient of the input", async (trial) => {
  const { weight, rows } = overlaid(trial, 4);
  const dy = trial.randoms(3 * 13);
  const incoming = trial.upload(dy, 3, 13);
  let taken: Tensor | undefined;
  trial.run((plan) => {
    taken = linearBackward(plan, incoming, weight, undefined);
  });
  await trial.expect("taken", taken!, [...dy].filter((_, i) => rows.includes(i % 13)), 0);
});

gpuTest("a residual is added once beside an overlay, to base rows and overlaid ones alike", async (trial) => {
  const n = 3;
  const { weight, values } = overlaid(trial, 4);
  const [x, r] = [trial.randoms(n * 4), trial.randoms(n * 13)];
  const [input, residual, y] = [trial.upload(x, n, 4), trial.upload(r, n, 13), trial.unwritten(n, 13)];
  trial.run((plan) => linear(plan, input, weight, y, residual));
  await trial.expect("y", y, twin.add(twin.matmulNT(x, values, n, 13, 4), r));
  await trial.expect("residual", residual, r, 0);
});

gpuTest("the gradients of a product are the slopes of its forward kernel", async (trial) => {
  const [n, inputs, outputs] = [5, 6, 9];
  const { weight, values } = trial.weight([outputs], inputs);
  const [x, dy] = [trial.randoms(n * inputs), trial.randoms(n * outputs)];
  const [input, incoming] = [trial.upload(x, n, inputs), trial.upload(dy, n, outputs)];
  const [y, dx] = [trial.unwritten(n, outputs), trial.unwritten(n, inputs)];
  const gradient = trial.unwritten(outputs, inputs);
  trial.run((plan) => {
    linearBackward(plan, incoming, weight, dx);
    weightGradient(plan, incoming, input, gradient, false);
  });
  const forward = trial.run((plan) => linear(plan, input, weight, y));
  const lossOf = (tensor: Tensor) => async (changed: Float32Array) => {
    trial.gpu.write(tensor, changed);
    forward.run();
    return dot(await trial.gpu.read(y), dy);
  };
  await assertDerivative("dx", x, await trial.gpu.read(dx), lossOf(input));
  trial.gpu.write(input, x);
  const { tensor } = weight.chunks[0]!;
  await assertDerivative("weight", values, await trial.gpu.read(gradient), lossOf(tensor));
});
