/** The sparse update against the float64 twin, and what it must not touch, compute or hold. R rows, I columns. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertLessOrEqual,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { readBaseRows } from "../../engine/circuit/overlay.ts";
import { OneTokenMaskPass } from "../../engine/circuit/mask_pass.ts";
import { PairPasses } from "../../engine/circuit/pair_passes.ts";
import { fillPrefixCache, layOutPrefixes } from "../../engine/model/prefix_cache.ts";
import { SparseUpdate, type UpdateOptions } from "../../engine/circuit/update.ts";
import { DeviceError, InputError, NonFiniteError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { allParameters } from "../../engine/model/weights.ts";
import { embeddedModel, goldenArchitectures, loadTwins } from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";
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

gpuTest("an example longer than a pass gets a pass of its own, kept or recomputed", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, reference, referenceExamples, examples } = twins;
  const { loss, gradients } = updateLossAndGradients(reference, referenceExamples, "logit-difference");
  const weight = model.weights.layers[1]!.gateUp;
  const F = model.config.mlpWidth;
  const expected = ["gate", "up"].flatMap((
    name,
  ) => [...gradients.get(`model.layers.1.mlp.${name}_proj.weight`)!]);
  for (const keptBytes of [2 ** 30, 0]) {
    const gradient = gpu.upload(
      new Float32Array(2 * F * weight.columns),
      [2 * F, weight.columns],
      "gradient",
    );
    const sinks = { weights: new Map([[weight, gradient]]) };
    using passes = new PairPasses(model, examples, "logit-difference", sinks, {
      tokensPerPass: 2,
      keptBytes,
    });
    assertAlmostEquals((await passes.run()).loss, loss, 1e-4 * Math.abs(loss));
    assertClose("gradient", await gpu.read(gradient), expected, 1e-4);
    gpu.free(gradient);
  }
});

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

gpuTest("nothing below the lowest selected layer is differentiated", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const dispatches = async (layer: number, component: number) => {
    const selection = selectionOf(twins, (c, l) => c === component && l === layer);
    using update = new SparseUpdate(model, selection, examples, plain);
    const before = gpu.dispatches;
    await update.step();
    return gpu.dispatches - before;
  };
  const neuron = 20; // H + 2K = 8
  const top = await dispatches(2, neuron);
  const middle = await dispatches(1, neuron);
  const bottom = await dispatches(0, neuron);
  const topHead = await dispatches(2, 0);
  // Every layer more is a dozen kernels more.
  assertGreater(middle - top, 10);
  assertGreater(bottom - middle, 10);
  assert(topHead > top && topHead < middle, `${top} ${topHead} ${middle}`);
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

gpuTest("nothing moves where the loss or its gradient is not finite", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model } = twins;
  using update = new SparseUpdate(model, goldenSelection(twins), twins.examples, { ...plain, rate: 1 });
  // A value so large that the loss stays finite (its logits saturate or cancel) or not: whichever, nothing may move.
  for (const value of [NaN, Infinity, 1e38]) {
    const [weight, values] = [...await update.values()].map(([key, data]) =>
      [key, data.slice()] as const
    )[0]!;
    const broken = values.slice();
    broken[0] = value;
    update.restore(new Map([[weight, broken]]));
    const before = flatten(update, await update.values());
    const { message } = await assertRejects(
      () => update.step(),
      NonFiniteError,
      "diverged at rate 1: in step 1",
    );
    assert(/ of model\.layers\.\d+\.[\w.]+\.weight is NaN/.test(message), message);
    assertEquals(flatten(update, await update.values()), before);
    update.restore(new Map([[weight, values]]));
  }
  const results = await update.step(1e-6);
  assert(results.squaredGradient > 0 && Number.isFinite(results.squaredGradient));
});

gpuTest(
  "a step reports the norm of the gradient it followed, in one submission of its passes",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "olmo2-tiny");
    using update = new SparseUpdate(twins.model, goldenSelection(twins), twins.examples, {
      ...plain,
      tokensPerPass: 16,
    });
    const { gradients, squaredGradient } = await update.gradient();
    const expected = flatten(update, gradients).reduce((sum, value) => sum + value * value, 0);
    assertAlmostEquals(squaredGradient / expected, 1, 1e-4);
    const { submit } = gpu.device.queue;
    let submits = 0;
    gpu.device.queue.submit = (buffers) => {
      submits++;
      return submit.call(gpu.device.queue, buffers);
    };
    try {
      await update.step(1e-6);
    } finally {
      gpu.device.queue.submit = submit;
    }
    assertEquals(submits, 3); // the passes, what is read of them, and the optimizer
  },
);

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

gpuTest("memory is proportional to the rows selected", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const perLayer = model.componentsPerLayer;
  const examples = [{ prefix_ids: [1, 168, 164, 45], desired_token: 11, undesired_token: 12 }];
  const held = (rows: number, optimizer: "sgd" | "adamw") => {
    const before = gpu.memory.liveBytes;
    // Neurons of the last layer, which all want the same pass.
    const selection = Array.from({ length: 4 * perLayer }, (_, i) => i >= 4 * perLayer - rows);
    using update = new SparseUpdate(model, selection, examples, { ...plain, optimizer });
    assertEquals(update.size, rows * 128);
    const bytes = gpu.memory.liveBytes - before;
    model.revert();
    return bytes;
  };
  const rowBytes = 128 * 4;
  const [few, many] = [held(12, "sgd"), held(384, "sgd")];
  // Row values and gradients; buffers are rounded up by an eighth at most, and row numbers and a few tokens add little.
  assertGreater(many - few, 372 * 2 * rowBytes);
  assertLess(many - few, 372 * 2.5 * rowBytes);
  for (const rows of [12, 100, 384]) {
    const moments = held(rows, "adamw") - held(rows, "sgd");
    assertGreaterOrEqual(moments, 2 * rows * rowBytes);
    assertLessOrEqual(moments, 2 * rows * rowBytes * 1.125);
  }
});

gpuTest("what a constructor made is freed when it refuses half-way", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model, examples } = twins;
  const { tensor } = gpu;
  const all = selectionOf(twins, () => true);
  const makers: (() => Disposable)[] = [
    () => new SparseUpdate(model, all, examples, { ...plain, optimizer: "adamw" }),
    () => new PairPasses(model, examples, "preference", {}),
    () => new OneTokenMaskPass(model, examples, 2),
    () => fillPrefixCache(model, layOutPrefixes([[1, 2, 3]]), 4),
  ];
  for (const make of makers) {
    const { liveBuffers } = gpu.memory;
    for (let allowed = 1, refused = true; refused; allowed += 3) {
      let left = allowed;
      gpu.tensor = (...given) => {
        if (left-- <= 0) throw new DeviceError("out of memory, says the test");
        return tensor.apply(gpu, given);
      };
      try {
        make()[Symbol.dispose]();
        refused = false;
      } catch (error) {
        assert(error instanceof DeviceError, String(error));
      } finally {
        gpu.tensor = tensor;
      }
      if (!refused) model.revert(); // a finished update leaves its overlays
      assertEquals(gpu.memory.liveBuffers, liveBuffers, `${make} after ${allowed} buffers`);
      assert(allowed < 1000);
    }
  }
});

gpuTest("a normalized step moves the selected rows by the rate, whatever the gradient", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  using update = new SparseUpdate(model, goldenSelection(twins), examples, {
    ...plain,
    rate: 0.05,
    normalize: true,
  });
  const before = flatten(update, await update.values());
  const { squaredGradient } = await update.step();
  const after = flatten(update, await update.values());
  const norm = Math.sqrt(after.reduce((sum, value, i) => sum + (value - before[i]!) ** 2, 0));
  assertAlmostEquals(norm, 0.05, 1e-5);
  assertGreater(Math.abs(Math.sqrt(squaredGradient) - 1), 1e-3);
  assertThrows(
    () =>
      new SparseUpdate(model, goldenSelection(twins), examples, {
        ...plain,
        optimizer: "adamw",
        normalize: true,
      }),
    InputError,
    "sgd",
  );
});

gpuTest("other examples keep rows, moments and the count of steps", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples } = twins;
  const options = { ...plain, optimizer: "adamw", rate: 1e-2 } as const;
  const straight = new SparseUpdate(model, goldenSelection(twins), examples, options);
  for (let step = 0; step < 4; step++) await straight.step();
  const expected = flatten(straight, await straight.values());
  straight[Symbol.dispose]();
  model.revert();

  using update = new SparseUpdate(model, goldenSelection(twins), examples.slice(0, 1), options);
  update.use(examples);
  for (let step = 0; step < 4; step++) {
    if (step === 2) update.use(examples.map((example) => ({ ...example })));
    await update.step();
  }
  assertEquals(flatten(update, await update.values()), expected);

  // The gradient is that of the new examples at the rows as they are.
  update.use(examples.slice(0, 1));
  const { loss } = await update.gradient();
  assertNotEquals(loss, (update.use(examples), await update.gradient()).loss);
  await assertRejects(() => Promise.resolve().then(() => update.use([])), InputError, "No examples");
});
