/** The anchor against the float64 twin, and that it keeps what it is told to keep. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import type { AnchorSequence } from "../../engine/circuit/anchor_passes.ts";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import { InputError } from "../../engine/errors.ts";
import { klDivergence } from "../../engine/reference/losses.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { allParameters, partsOf } from "../../engine/model/weights.ts";
import { goldenArchitectures, loadTwins } from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { flatten, pickRows, plain, selectionOf } from "./update_fixture.ts";

const sequences: AnchorSequence[] = [
  { ids: [3, 5, 7, 11, 2, 9], positions: [1, 2, 5] },
  { ids: [4, 8, 1], positions: [] },
  { ids: [12, 6, 10, 2], positions: [0, 3] },
];

for (const name of goldenArchitectures) {
  gpuTest(
    `the anchor's gradient on ${name} is the float64 twin's, once the model has moved`,
    async ({ gpu }) => {
      using twins = await loadTwins(gpu, name);
      const { model, golden, reference, examples, referenceExamples } = twins;
      const weight = 3;
      const options = { ...plain, rate: 0.3, anchor: { sequences, weight } };
      using update = new SparseUpdate(model, selectionOf(twins, (c) => c % 2 === 0), examples, options);
      await update.step();
      assertAlmostEquals((await update.divergence())!, 0, 1e-5); // nothing had moved yet
      const { gradients } = await update.gradient();
      const divergence = (await update.divergence())!;

      // The twin at the rows as they are.
      const moved = new Map([...golden.weights].map(([name, data]) => [name, data.slice()]));
      const values = await update.values();
      for (const { layer, matrix, weight, rows } of update.rows) {
        const { columns } = weight;
        for (const part of partsOf(model.config, layer, matrix)) {
          rows.forEach((row, r) => {
            if (row < part.firstRow || row >= part.firstRow + part.rows) return;
            const own = values.get(weight)!.subarray(r * columns, (r + 1) * columns);
            moved.get(part.name)!.set(own, (row - part.firstRow) * columns);
          });
        }
      }
      const twin = new ReferenceModel(golden.config, moved);
      const expected = updateLossAndGradients(twin, referenceExamples, plain.objective).gradients;
      const total = sequences.flatMap(({ positions }) => positions).length;
      let loss = 0;
      for (const { ids, positions } of sequences) {
        const rowWeights = ids.map((_, i) => positions.includes(i) ? weight / total : 0);
        const now = twin.forward(ids);
        const result = klDivergence(
          reference.forward(ids).logits,
          now.logits,
          rowWeights,
          golden.config.vocabSize,
        );
        loss += result.loss;
        for (const [name, gradient] of twin.backward(now, result.dlogits).gradients) {
          const sum = expected.get(name);
          if (sum) gradient.forEach((value, i) => sum[i]! += value);
        }
      }
      assert(divergence > 1e-4, `${divergence}`);
      assertClose("divergence", [divergence], [loss / weight], 1e-3);
      assertClose("gradients", flatten(update, gradients), pickRows(twins, update.rows, expected), 1e-3);
    },
  );
}

gpuTest(
  "an anchored update moves the kept distributions less, and the examples no less than half",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const { model, examples } = twins;
    const after = async (weight: number) => {
      model.revert();
      using update = new SparseUpdate(model, selectionOf(twins, () => true), examples, {
        ...plain,
        objective: "preference",
        optimizer: "adamw",
        rate: 5e-3,
        anchor: { sequences, weight },
      });
      const first = (await update.step()).loss;
      for (let step = 0; step < 15; step++) await update.step();
      return { gain: first - (await update.gradient()).loss, divergence: (await update.divergence())! };
    };
    const [free, anchored] = [await after(1e-6), await after(10)];
    assert(anchored.divergence < free.divergence / 3, JSON.stringify({ free, anchored }));
    assert(anchored.gain > free.gain / 2, JSON.stringify({ free, anchored }));
  },
);

gpuTest(
  "an anchor without a token to keep, or with tokens that do not exist, is refused",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const { model, examples } = twins;
    const before = (await model.run([1, 2])).logits;
    const wrong: [AnchorSequence, string][] = [
      [{ ids: [1, 2], positions: [] }, "kept"],
      [{ ids: [1e6], positions: [0] }, "vocabulary"],
    ];
    for (const [sequence, complaint] of wrong) {
      const anchor = { sequences: [sequence], weight: 1 };
      assertThrows(
        () => new SparseUpdate(model, selectionOf(twins, () => true), examples, { ...plain, anchor }),
        InputError,
        complaint,
      );
    }
    assert(allParameters(model.weights).matrices.every(({ overlay }) => !overlay));
    assertEquals((await model.run([1, 2])).logits, before);
  },
);
