/** Trainings that are interrupted, repeated or started in the wrong folder. */
import { join } from "node:path";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { readTensors } from "../../engine/checkpoint/checkpoint.ts";
import { train } from "../../engine/pretrain/pretrain.ts";
import type { PretrainSettings } from "../../engine/pretrain/recipe.ts";
import { shapes } from "../../engine/pretrain/recipe.ts";
import { TrainingFolder } from "../../engine/pretrain/training_folder.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest, sharedGpu } from "../ops/gpu_fixture.ts";
import { shortTraining } from "./training_fixture.ts";

/** Trains in `path`; `until`: throws, as a killed process would end, once so many steps are done. */
async function trainIn(
  path: string,
  settings: PretrainSettings,
  until = Infinity,
  fresh = false,
): Promise<void> {
  using folder = await TrainingFolder.open(path, { ...settings }, fresh);
  await train(await sharedGpu(), folder, settings, (stage, done) => {
    if (stage === "training" && done >= until) throw new Error("interrupted");
  });
}

for (const shape of shapes) {
  gpuTest(`an interrupted training of a ${shape} ends on the bits of an uninterrupted one`, async () => {
    await using folder = await temporaryFolder();
    const at = (...names: string[]) => join(folder.path, ...names);
    const settings = shortTraining(shape, { steps: 120, batch: 2 });
    await trainIn(at("whole"), settings);
    await assertRejects(() => trainIn(at("cut"), settings, 10), Error, "interrupted");
    await assertRejects(() => trainIn(at("cut"), settings, 70), Error, "interrupted");
    const between = await readTensors(at("cut", "training", "model.safetensors"));
    await trainIn(at("cut"), settings, Infinity);
    for (
      const name of ["model.safetensors", "config.json", "tokenizer.json", "loss.jsonl", "pretrain.json"]
    ) {
      assertEquals(await Deno.readFile(at("cut", name)), await Deno.readFile(at("whole", name)), name);
    }
    const [ended, whole] = await Promise.all(
      ["cut", "whole"].map((name) => readTensors(at(name, "training", "model.safetensors"))),
    );
    assertEquals(ended, whole); // moments included
    assertNotEquals(between!.get("model.norm.weight"), ended!.get("model.norm.weight"));
    assertEquals((await jsonLines(at("cut", "loss.jsonl"))).length, 120);
  });
}

gpuTest("the saved model loads like any other and is the checkpoint rounded to F16", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  const settings = shortTraining("gemma2", { steps: 2 });
  await trainIn(folder.path, settings);
  const saved = await readTensors(join(folder.path, "model.safetensors"));
  const checkpoint = await readTensors(join(folder.path, "training", "model.safetensors"));
  for (const [name, { dtype, data }] of saved) {
    assertEquals(dtype, "F16");
    assertEquals([...data], [...checkpoint.get(name)!.data].map((value) => Math.f16round(value)), name);
  }
  using model = await Model.load(gpu, folder.path);
  assertEquals(model.config.architecture.modelType, "gemma2");
  const ids = model.tokenizer.encode("Q: Kim has 24 cups.");
  assert((await model.run(ids)).logits.every(Number.isFinite));
});

gpuTest("settings other than the folder's are refused, --fresh starts over, seeds differ", async () => {
  await using folder = await temporaryFolder();
  const settings = shortTraining("gemma2", { steps: 2 });
  await trainIn(folder.path, settings);
  const first = await Deno.readFile(join(folder.path, "model.safetensors"));
  const other = { ...settings, seed: 2 };
  await assertRejects(() => trainIn(folder.path, other), InputError, "seed 1 instead of 2");
  await trainIn(folder.path, settings); // finished: nothing to do
  assertEquals(await Deno.readFile(join(folder.path, "model.safetensors")), first);
  await trainIn(folder.path, other, Infinity, true);
  assertNotEquals(await Deno.readFile(join(folder.path, "model.safetensors")), first);
});

Deno.test("a folder with a model from elsewhere is left alone", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "model.safetensors");
  await Deno.writeTextFile(path, "somebody's");
  for (const fresh of [false, true]) {
    await assertRejects(
      () => TrainingFolder.open(folder.path, {}, fresh),
      InputError,
      "was not trained here",
    );
  }
  assertEquals(await Deno.readTextFile(path), "somebody's");
});
