/** The sparse update against the float64 twin, and what it must not touch, compute or hold. R rows, I columns. */
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import { readBaseRows } from "../../engine/circuit/overlay.ts";
import { SparseUpdate, type UpdateOptions } from "../../engine/circuit/update.ts";
import { InputError } from "../../engine/errors.ts";
import { allParameters } from "../../engine/model/weights.ts";
import { goldenArchitectures, loadTwins, type Twins } from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { updateLossAndGradients } from "../reference/transformer.ts";
import { flatten, goldenSelection, pickRows, plain, selectionOf, updateTwin } from "./update_fixture.ts";

for (const name of goldenArchitectures) {
  for (const objective of ["logit-difference", "preference"] as const) {
    gpuTest(`gradients of all rows of ${name} under ${objective} are the reference's`, async ({ gpu }) => {
      using twins = await loadTwins(gpu, name);
      const { model, reference, referenceExamples, examples } = twins;
      const expected = updateLossAndGradients(reference, referenceExamples, objective);
      const results: number[][] = [];
      for (const tokensPerPass of [32, 4096]) {
        using update = new SparseUpdate(model, selectionOf(twins, () => true), examples, {
          ...plain,
          objective,
          tokensPerPass,
        });
        const { loss, differences, gradients } = await update.gradient();
        const rows = flatten(update, gradients);
        assertEquals(rows.length, update.size);
        assertClose("loss", [loss], [expected.loss], 1e-4);
        assertClose("differences", differences, expected.differences, 1e-4);
        assertClose("gradients", rows, pickRows(twins, update.rows, expected.gradients), 1e-4);
        results.push(rows);
        // Asking again gives the same: nothing is left over from before.
        assertEquals(flatten(update, (await update.gradient()).gradients), rows);
      }
      assertClose("in several passes", results[0]!, results[1]!, 1e-5);
    });
  }
}

const trajectories: [name: string, options: UpdateOptions][] = [
  ["gradient steps", { ...plain, rate: 0.01 }],
  ["gradient steps on the preference", { ...plain, objective: "preference", rate: 0.05 }],
  ["sparse AdamW with decay", { ...plain, optimizer: "adamw", rate: 0.002, weightDecay: 0.1 }],
];

for (const [name, options] of trajectories) {
  gpuTest(`30 steps of ${name} follow the twin`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const { model, examples } = twins;
    using update = new SparseUpdate(model, goldenSelection(twins), examples, options);
    const losses: number[] = [];
    for (let step = 0; step < 30; step++) losses.push((await update.step()).loss);
    const twin = updateTwin(twins, update.rows, options, 30);
    assertClose("losses", losses, twin.losses, 1e-3);
    assertClose("rows", flatten(update, await update.values()), twin.values, 1e-3);
    assertLess(losses.at(-1)!, losses[0]! - 0.1);
  });
}

gpuTest("decay shrinks selected rows only, and base weights keep their bits", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const { matrices } = allParameters(model.weights);
  const readAll = async () => {
    const values = [];
    for (const weight of matrices) {
      values.push(await readBaseRows(model, weight, Uint32Array.from({ length: weight.rows }, (_, r) => r)));
    }
    return values;
  };
  const before = await readAll();
  const options = { ...plain, optimizer: "adamw", rate: 0.01, weightDecay: 0.5 } as const;
  {
    using update = new SparseUpdate(model, goldenSelection(twins), examples, options);
    for (let step = 0; step < 3; step++) await update.step();
    assertEquals(await readAll(), before);
    // Overlays replace the selected rows and no other.
    const overlaid = matrices.filter(({ overlay }) => overlay);
    assertEquals(overlaid, update.rows.map(({ weight }) => weight));
    for (const { weight, rows } of update.rows) assertEquals(weight.overlay!.rows, rows);
  }
  const moved = (await model.run(examples[0]!.prefix_ids)).logits;
  model.revert();
  assertEquals(await readAll(), before);
  const base = (await model.run(examples[0]!.prefix_ids)).logits;
  assert(moved.some((value, i) => value !== base[i]));
});

gpuTest("restored values give the logits they were read with", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  using update = new SparseUpdate(model, goldenSelection(twins), examples, plain);
  await update.step();
  const values = await update.values();
  const { logits } = await model.run(examples[1]!.prefix_ids);
  await update.step();
  update.restore(values);
  assertEquals((await model.run(examples[1]!.prefix_ids)).logits, logits);
});

/** Dispatches of one step. */
async function dispatchesOf(twins: Twins, wanted: (component: number, layer: number) => boolean) {
  const { gpu } = twins.model;
  using update = new SparseUpdate(twins.model, selectionOf(twins, wanted), twins.examples, plain);
  const before = gpu.dispatches;
  await update.step();
  return gpu.dispatches - before;
}

gpuTest("nothing below the lowest selected layer is differentiated", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const neuron = 20; // H + 2K = 8
  const [bottom, middle, top] = [0, 1, 2].map((layer) =>
    dispatchesOf(twins, (c, l) => c === neuron && l === layer)
  );
  const head = dispatchesOf(twins, (c, l) => c === 0 && l === 2);
  const counts = [await top!, await head, await middle!, await bottom!];
  assertEquals(counts.toSorted((a, b) => a - b), counts);
  assertEquals(new Set(counts).size, 4);
  const layer = await middle! - await top!;
  assertEquals(await bottom! - await middle!, layer); // every layer costs the same
  assertGreater(layer, 10);
});

gpuTest("an update of nothing or from nothing is refused", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  const none = selectionOf(twins, () => false);
  const all = selectionOf(twins, () => true);
  const { liveBuffers } = gpu.memory;
  assertThrows(() => new SparseUpdate(model, none, examples, plain), InputError, "No component is selected");
  assertThrows(() => new SparseUpdate(model, all, [], plain), InputError, "No localization examples");
  const long = [{ ...examples[0]!, prefix_ids: Array(600).fill(1) }];
  assertThrows(() => new SparseUpdate(model, all, long, plain), InputError, "600 tokens");
  const outside = [{ ...examples[0]!, desired_token: 64 }];
  assertThrows(() => new SparseUpdate(model, all, outside, plain), InputError, "64");
  model.revert();
  assertEquals(gpu.memory.liveBuffers, liveBuffers);
});

gpuTest("a rate that blows the weights up is named", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  using update = new SparseUpdate(twins.model, goldenSelection(twins), twins.examples, {
    ...plain,
    rate: 1e30,
  });
  const steps = async () => {
    for (let step = 0; step < 3; step++) await update.step();
  };
  await assertRejects(steps, InputError, "diverged at rate 1e+30");
});

gpuTest("memory is flat over 20 updates", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "olmo2-tiny");
  const { model, examples } = twins;
  const { liveBuffers, liveBytes } = gpu.memory;
  const peaks: number[] = [];
  let idle = 0;
  for (let cycle = 0; cycle < 20; cycle++) {
    using update = new SparseUpdate(model, goldenSelection(twins), examples, {
      ...plain,
      optimizer: "adamw",
      rate: 1e-3,
    });
    await update.step();
    peaks.push(gpu.memory.peakBytes);
    if (cycle === 1) idle = gpu.memory.liveBytes + gpu.memory.idleBytes;
  }
  model.revert();
  assertEquals([gpu.memory.liveBuffers, gpu.memory.liveBytes], [liveBuffers, liveBytes]);
  assertEquals(new Set(peaks.slice(1)).size, 1);
  assertEquals(gpu.memory.liveBytes + gpu.memory.idleBytes, idle);
});

gpuTest("memory beside the passes is proportional to the rows selected", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-bf16-sharded");
  const { model, examples } = twins;
  const rowBytes = model.config.hiddenSize * 4;
  const held = (neurons: number, optimizer: "sgd" | "adamw") => {
    const before = gpu.memory.liveBytes;
    // Neurons of one layer, which all want the same pass.
    const selection = selectionOf(twins, (c, l) => l === 3 && c >= 10 && c < 10 + neurons);
    using _update = new SparseUpdate(model, selection, examples, { ...plain, optimizer });
    const bytes = gpu.memory.liveBytes - before;
    model.revert();
    return bytes;
  };
  for (const [optimizer, copies] of [["sgd", 2], ["adamw", 4]] as const) {
    const [few, some, many] = [held(8, optimizer), held(40, optimizer), held(72, optimizer)];
    // Row values and gradient, with AdamW two moments; buffers are rounded up by an eighth at most.
    for (const growth of [some - few, many - some]) {
      assertGreater(growth, 0.8 * 32 * copies * rowBytes);
      assertLess(growth, 1.25 * 32 * copies * rowBytes);
    }
  }
});
