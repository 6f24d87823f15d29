/** Everything that is split by rows where a buffer cannot hold it, forced with buffers of 3 KiB. R rows, V vocabulary. */
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { SparseUpdate } from "../../engine/circuit/update.ts";
import { applyPatch, extractPatch } from "../../engine/patch/patch.ts";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { Model } from "../../engine/model/model.ts";
import { logitRows } from "../../engine/model/capacity.ts";
import { allParameters } from "../../engine/model/weights.ts";
import { readRows } from "../../engine/ops/weight.ts";
import { type Check, verifyGolden } from "../../engine/verify/golden.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";
import { flatten, pickRows, plain, selectionOf } from "../circuit/update_fixture.ts";
import { assertClose } from "../ops/gpu_fixture.ts";
import { golden, goldenArchitectures, loadTwins } from "./model_fixture.ts";

const splitBytes = 3 * 2 ** 10; // 24 rows of the golden models' hidden size, which divides none of their matrices
let opened: Promise<Gpu> | undefined;

/** A test on a Gpu that splits early; afterwards nothing may be left on it. */
function splitTest(name: string, body: (gpu: Gpu) => Promise<void>) {
  Deno.test(name, async () => {
    const gpu = await (opened ??= Gpu.open({ splitBytes }).then((gpu) => {
      globalThis.addEventListener("unload", () => gpu.close());
      return gpu;
    }));
    const { liveBuffers, liveBytes } = gpu.memory;
    await body(gpu);
    await gpu.fence();
    assertEquals([gpu.memory.liveBuffers, gpu.memory.liveBytes], [liveBuffers, liveBytes]);
  });
}

for (const name of goldenArchitectures) {
  splitTest(`${name} in pieces gives the golden logits, ids, masks, gradients and updates`, async (gpu) => {
    const { dir } = await golden(name);
    {
      using model = await Model.load(gpu, dir);
      for (const weight of allParameters(model.weights).matrices) {
        assertGreater(weight.chunks.length, 1, weight.name);
        assert(weight.chunks.every(({ tensor }) => tensor.handle.size <= splitBytes), weight.name);
      }
    }
    const checks: Check[] = [];
    await verifyGolden(gpu, dir, (check) => checks.push(check));
    assertGreater(checks.length, 8);
    assertEquals(checks.filter(({ passed }) => !passed), []);
  });
}

splitTest("overlays, gradients and moments in pieces follow the twin, and patch and revert", async (gpu) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model, examples, reference, referenceExamples } = twins;
  const ids = examples[0]!.prefix_ids;
  const base = (await model.run(ids)).logits;
  const options = { ...plain, optimizer: "adamw", rate: 1e-3 } as const;
  let amplified: Float32Array;
  {
    using update = new SparseUpdate(model, selectionOf(twins, () => true), examples, options);
    for (const { weight, rows } of update.rows) {
      const { chunks } = weight.overlay!;
      assertGreater(chunks.length, 1, weight.name);
      assertEquals(chunks.reduce((sum, chunk) => sum + chunk.rows, 0), rows.length);
    }
    const expected = updateLossAndGradients(reference, referenceExamples, "logit-difference");
    const { gradients } = await update.gradient();
    const rows = pickRows(twins, update.rows, expected.gradients);
    assertClose("gradients", flatten(update, gradients), rows, 1e-4);
    for (let step = 0; step < 3; step++) await update.step();
    const before = await update.values();
    amplified = (await model.run(ids)).logits;
    assert(amplified.some((value, i) => Math.abs(value - base[i]!) > 1e-3));
    await update.step();
    update.restore(before);
    for (const { weight } of update.rows) {
      assertEquals(await readRows(gpu, weight.overlay!.chunks), before.get(weight));
    }
  }
  const patch = await extractPatch(model);
  model.revert();
  assertEquals((await model.run(ids)).logits, base);
  await applyPatch(model, patch);
  assertClose("patched logits", (await model.run(ids)).logits, amplified, 1e-6);
  model.revert();
});

splitTest("logits of many positions come in groups, the same as one position at a time", async (gpu) => {
  using twins = await loadTwins(gpu, "olmo2-tiny");
  const { model, examples } = twins;
  const ids = Array.from({ length: 31 }, (_, i) => examples[0]!.prefix_ids[i % 5]! + i % 3);
  assertEquals(logitRows(model), 10); // of 71 tokens each
  const positions = [30, 0, 7, ...ids.keys()]; // 34: three full groups and a rest
  const { logits } = await model.run(ids, { positions });
  const V = model.config.vocabSize;
  assertEquals(logits.length, 34 * V);
  for (const [row, position] of positions.entries()) {
    const alone = (await model.run(ids, { positions: [position] })).logits;
    assertClose(`row ${row}`, logits.subarray(row * V, (row + 1) * V), alone, 1e-6);
  }
});

splitTest("a context whose keys and values exceed a buffer is refused with what would fit", async (gpu) => {
  const { dir, config } = await golden("llama-tiny");
  const bytes = 8 * config.keyValueHeads * config.headWidth;
  const fits = Math.floor(gpu.bindingBytes / bytes) - 1;
  const most = gpu.isSoftware ? Math.min(fits, 65535) : fits;
  const { message } = await assertRejects(
    () => Model.load(gpu, dir, { contextLength: fits + 1 }),
    InputError,
    `shorten it to ${most} or use another adapter`,
  );
  assertStringIncludes(message, "of keys and values a layer in one buffer");
  if (most < fits) {
    await assertRejects(
      () => Model.load(gpu, dir, { contextLength: most + 1 }),
      InputError,
      `in one loop; shorten it to ${most} or use another adapter.`,
    );
  }
  assert(message.endsWith(".") && !message.includes("\n"), message);
});
