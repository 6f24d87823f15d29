/** Patches on the GPU: in turn and together they compute what applying them or their sum does, and swapping reads nothing back. */
import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { mergePatches, scalePatch } from "../../engine/patch/combine.ts";
import { applyPatch, extractPatch, type Patch } from "../../engine/patch/patch.ts";
import { PatchStack } from "../../engine/patch/patch_stack.ts";
import { golden } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { foreign, madePatch, partOfPatch } from "./patched_fixture.ts";

for (const name of ["llama-tiny", "gemma2-bf16-sharded"]) {
  gpuTest(`patches of ${name} stack, swap and come out by name, bit for bit`, async ({ gpu }) => {
    const { dir } = await golden(name);
    using checkpoint = await Checkpoint.open(dir);
    const whole = await madePatch(dir, 0.05);
    const one = await partOfPatch(dir, whole, (name, r) => r < 4 && !name.includes("v_proj"));
    const other = scalePatch(
      await partOfPatch(dir, whole, (name, r) => r > 1 && !name.includes("q_proj")),
      -2,
    );
    using model = await Model.load(gpu, dir);
    const logits = async () => (await model.run([1, 5, 9, 2])).logits;
    const applying = async (patch: Patch) => {
      await applyPatch(model, patch);
      return await logits();
    };
    const expected = {
      none: await logits(),
      one: await applying(one),
      other: await applying(other),
      both: await applying((await mergePatches(checkpoint, [one, other])).patch),
    };
    model.revert();
    const bytes = gpu.memory.liveBytes;
    {
      using patches = new PatchStack(model);
      await patches.load("one", one);
      await patches.load("other", other);
      assertEquals([patches.loaded, patches.applied, await logits()], [["one", "other"], [], expected.none]);
      const { readbacks } = gpu;
      patches.use("one");
      patches.use("other");
      patches.use("one");
      assertEquals(gpu.readbacks, readbacks);
      assertEquals(await logits(), expected.one);
      patches.apply("other");
      assertEquals([patches.applied, await logits()], [["one", "other"], expected.both]);
      patches.revert("one");
      assertEquals([patches.applied, await logits()], [["other"], expected.other]);
      model.revert();
      assertEquals([patches.applied, await logits()], [[], expected.none]);
      patches.apply("one");
      assertEquals(await logits(), expected.one);
      // What is extracted is the model's own, and the loaded patch stays as it is.
      const extracted = await extractPatch(model);
      assertEquals(extracted.base_sha256, one.base_sha256);
      assertThrows(() => patches.apply("other"), InputError, "Something else changed rows");
      patches.use("one", "other");
      assertEquals(await logits(), expected.both);
      patches.unload("other");
      assertEquals([patches.loaded, patches.applied, await logits()], [["one"], ["one"], expected.one]);
    }
    assertEquals(await logits(), expected.none);
    await gpu.fence();
    assertEquals(gpu.memory.liveBytes, bytes);
    assertNotEquals(expected.both, expected.other);
  });
}

gpuTest(
  "names that are taken, unknown or not in the model are refused, and so is another model's patch",
  async ({ gpu }) => {
    const { dir } = await golden("llama-tiny");
    const patch = await madePatch(dir, 0.01);
    using model = await Model.load(gpu, dir);
    using patches = new PatchStack(model);
    await patches.load("a", patch);
    await assertRejects(() => patches.load("a", patch), InputError, "loaded already");
    await assertRejects(() => patches.load("b", foreign(patch)), InputError, "other weights");
    assertThrows(() => patches.use("b"), InputError, 'No patch named "b" is loaded; there are a.');
    assertThrows(() => patches.revert("a"), InputError, 'No patch named "a" is in the model');
    assertEquals(patches.applied, []);
  },
);
