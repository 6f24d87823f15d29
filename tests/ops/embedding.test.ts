/** Token embedding and its gradient's scatter against their twins. N tokens, D width, V vocabulary. */
import { assertEquals } from "@std/assert";
import {
  embed,
  emptyScatter,
  encodeScatter,
  prepareScatter,
  scatterGradient,
  writeScatter,
} from "../../engine/ops/embedding.ts";
import type { Storage } from "../../engine/ops/weight.ts";
import * as twin from "../../engine/reference/ops.ts";
import { assertDerivative, dot, gpuTest, gradientTolerance, type Trial } from "./gpu_fixture.ts";

const ids = [3, 0, 11, 4, 3, 5, 11, 3];

/** Tokens [N, 4] as in shaders/cache.wgsl, of which the embedding reads the ids only. */
function tokensOf(trial: Trial, ids: readonly number[]) {
  return trial.upload(Uint32Array.from(ids.flatMap((id) => [id, 91, 92, 93])), ids.length, 4);
}

gpuTest("embedding rows come from every chunk and storage, times the scale", async (trial) => {
  for (const storage of ["f32", "f16", "bf16"] as const satisfies readonly Storage[]) {
    for (const width of [8, 6, 66]) {
      const { weight, values } = trial.weight([4, 1, 7], width, storage);
      const y = trial.unwritten(ids.length, width);
      trial.run((plan) => embed(plan, tokensOf(trial, ids), weight, y, 1.5));
      await trial.expect(`${storage} of width ${width}`, y, twin.embedding(values, ids, width, 1.5));
    }
  }
});

gpuTest("an odd width works in f32", async (trial) => {
  const { weight, values } = trial.weight([12], 5);
  const y = trial.unwritten(ids.length, 5);
  trial.run((plan) => embed(plan, tokensOf(trial, ids), weight, y, 1));
  await trial.expect("y", y, twin.embedding(values, ids, 5));
});

gpuTest("the scatter adds the rows of repeated ids to what the gradient holds already", async (trial) => {
  for (const width of [1, 6, 64]) {
    const [dy, before] = [trial.randoms(ids.length * width), trial.randoms(12 * width)];
    const gradient = trial.upload(before, 12, width);
    using scatter = prepareScatter(trial.gpu, ids);
    assertEquals(scatter.unique, 5);
    const scales = trial.upload(new Float32Array(ids.length).fill(2.5));
    trial.run((plan) =>
      scatterGradient(plan, scatter, scales, trial.upload(dy, ids.length, width), gradient)
    );
    const sum = twin.add(before, twin.embeddingBackward(dy, ids, 12, width, 2.5));
    await trial.expect(`width ${width}`, gradient, sum, gradientTolerance);
  }
});

gpuTest("several entries a row each bring their own coefficient, as unembedding pairs do", async (trial) => {
  const [width, perRow] = [6, 2];
  const [dy, coefficients] = [trial.randoms(ids.length / perRow * width), trial.randoms(ids.length)];
  const gradient = trial.upload(new Float32Array(12 * width), 12, width);
  using scatter = prepareScatter(trial.gpu, ids, perRow);
  const rows = trial.upload(dy, ids.length / perRow, width);
  trial.run((plan) => scatterGradient(plan, scatter, trial.upload(coefficients), rows, gradient));
  const expected = new Float64Array(12 * width);
  ids.forEach((id, e) => {
    for (let d = 0; d < width; d++) {
      expected[id * width + d]! += coefficients[e]! * dy[Math.floor(e / perRow) * width + d]!;
    }
  });
  await trial.expect("gradient", gradient, expected, gradientTolerance);
});

gpuTest("a scatter of fixed shape is rewritten between runs of one plan", async (trial) => {
  const width = 6;
  const dy = trial.randoms(ids.length * width);
  const gradient = trial.upload(new Float32Array(12 * width), 12, width);
  using scatter = emptyScatter(trial.gpu, 8, ids.length);
  const [rows, ones] = [
    trial.upload(dy, ids.length, width),
    trial.upload(new Float32Array(ids.length).fill(1)),
  ];
  const plan = trial.run((plan) => scatterGradient(plan, scatter, ones, rows, gradient), 0);
  let expected: Float64Array = new Float64Array(12 * width);
  // All ids, fewer tokens than there is room for, and as many different ids as there is room for.
  for (const batch of [ids, [11, 11, 2], [0, 1, 2, 3, 4, 5, 6, 7]]) {
    const images = encodeScatter(batch, 1, 8);
    assertEquals(new Set(images.ids).size, 8);
    writeScatter(trial.gpu, scatter, images);
    plan.run();
    expected = twin.add(
      expected,
      twin.embeddingBackward(dy.slice(0, batch.length * width), batch, 12, width),
    );
    await trial.expect(`after ids ${batch}`, gradient, expected, gradientTolerance);
  }
});

gpuTest("the scattered gradient is the slope of the embedding kernel", async (trial) => {
  const width = 4;
  const { weight, values } = trial.weight([12], width);
  const dy = trial.randoms(ids.length * width);
  const [y, gradient] = [
    trial.unwritten(ids.length, width),
    trial.upload(new Float32Array(12 * width), 12, width),
  ];
  using scatter = prepareScatter(trial.gpu, ids);
  const scales = trial.upload(new Float32Array(ids.length).fill(3));
  trial.run((plan) => scatterGradient(plan, scatter, scales, trial.upload(dy, ids.length, width), gradient));
  const tokens = tokensOf(trial, ids);
  const forward = trial.run((plan) => embed(plan, tokens, weight, y, 3));
  await assertDerivative("table", values, await trial.gpu.read(gradient), async (changed) => {
    trial.gpu.write(weight.chunks[0]!.tensor, changed);
    forward.run();
    return dot(await trial.gpu.read(y), dy);
  });
});
