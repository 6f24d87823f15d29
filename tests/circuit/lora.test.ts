/** What moves every row of every projection: full fine-tuning and low-rank factors, against the float64 twin. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { allRows } from "../../engine/circuit/components.ts";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import { partsOf } from "../../engine/model/weights.ts";
import { extractPatch } from "../../engine/patch/patch.ts";
import { seededRandom } from "../../engine/random.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";
import { adamwStep } from "../../engine/reference/optimizers.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { goldenArchitectures, loadTwins } from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { flatten, pickRows, plain } from "./update_fixture.ts";

gpuTest(
  "rows of every projection have the float64 twin's gradients, and what they move is undone",
  async ({ gpu }) => {
    for (const name of goldenArchitectures) { // with and without norms after branches
      using twins = await loadTwins(gpu, name);
      const { model, examples, reference, referenceExamples } = twins;
      const before = (await model.run(examples[0]!.prefix_ids)).logits;
      const expected = updateLossAndGradients(reference, referenceExamples, "preference");
      {
        using update = new SparseUpdate(model, allRows(model), examples, {
          ...plain,
          objective: "preference",
        });
        const { loss, gradients } = await update.gradient();
        assertAlmostEquals(loss, expected.loss, 1e-4);
        assertClose(
          "gradients",
          flatten(update, gradients),
          pickRows(twins, update.rows, expected.gradients),
          1e-4,
        );
        assertClose("logits", (await model.run(examples[0]!.prefix_ids)).logits, before, 1e-4); // overlaid, unchanged
        await update.step();
      }
      const { tensors } = await extractPatch(model);
      assertEquals(new Set(tensors.map((tensor) => tensor.name.split(".").at(-2))).size, 7);
      model.revert();
      assertEquals((await model.run(examples[0]!.prefix_ids)).logits, before);
    }
  },
);

gpuTest("low-rank factors step as they do in float64", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, golden, examples, referenceExamples } = twins;
  const rank = 4, rate = 1e-2, steps = 3;
  const rows = allRows(model);
  const options = { ...plain, optimizer: "adamw", rate, lora: { rank, seed: 5 } } as const;
  using update = new SparseUpdate(model, rows, examples, options);
  assertEquals(update.size, rows.reduce((sum, { weight }) => sum + rank * (weight.rows + weight.columns), 0));
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) losses.push((await update.step()).loss);

  const start = pickRows(twins, rows, golden.weights);
  let at = 0;
  const matrices = rows.map(({ layer, matrix, weight }) => {
    const { rows: R, columns: I } = weight;
    const random = seededRandom(`5/lora/${weight.name}`);
    const bound = 1 / Math.sqrt(I);
    const base = start.slice(at, at += R * I);
    return {
      R,
      I,
      base,
      parts: partsOf(model.config, layer, matrix),
      A: Float64Array.from({ length: rank * I }, () => Math.fround(bound * (2 * random() - 1))),
      B: new Float64Array(R * rank),
      moments: [rank * I, rank * I, R * rank, R * rank].map((size) => new Float64Array(size)),
    };
  });
  const weights = new Map([...golden.weights].map(([name, data]) => [name, data.slice()]));
  const twin = new ReferenceModel(golden.config, weights);
  const adam = { learningRate: rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
  for (let step = 1; step <= steps; step++) {
    const { loss, gradients } = updateLossAndGradients(twin, referenceExamples, plain.objective);
    assertAlmostEquals(losses[step - 1]!, loss, 1e-3);
    for (const { R, I, base, parts, A, B, moments } of matrices) {
      const G = parts.flatMap(({ name, rows }) => [...gradients.get(name)!].slice(0, rows * I));
      const [dA, dB] = [new Float64Array(rank * I), new Float64Array(R * rank)];
      for (let o = 0; o < R; o++) {
        for (let i = 0; i < I; i++) {
          for (let r = 0; r < rank; r++) {
            dA[r * I + i]! += B[o * rank + r]! * G[o * I + i]!;
            dB[o * rank + r]! += G[o * I + i]! * A[r * I + i]!;
          }
        }
      }
      adamwStep(A, dA, moments[0]!, moments[1]!, step, adam);
      adamwStep(B, dB, moments[2]!, moments[3]!, step, adam);
      for (const { name, firstRow, rows } of parts) {
        const to = weights.get(name)!;
        for (let o = 0; o < rows; o++) {
          for (let i = 0; i < I; i++) {
            let sum = base[(firstRow + o) * I + i]!;
            for (let r = 0; r < rank; r++) sum += B[(firstRow + o) * rank + r]! * A[r * I + i]!;
            to[o * I + i] = sum;
          }
        }
      }
    }
  }
  assertClose("rows", flatten(update, await update.values()), pickRows(twins, rows, weights), 1e-3);
});
