/** Recipes: what they decide, that what is given wins, and which one the reference's quirks take. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { runSettings } from "../../../engine/run/settings/run.ts";

Deno.test("the default recipe takes small steps of one norm on the densest rows, in rounds of fresh problems", async () => {
  const { selection, update, rounds, traces, evaluation } = await runSettings();
  assertEquals(selection, { method: "gradient", budget: "3%p" });
  assertEquals([update.normalize, update.rate, update.steps, update.patience], [true, 0.1, 10, 0]);
  assertEquals([rounds.count, rounds.stepsPerRound, traces.samples], [10, 1, 4]);
  assertEquals(evaluation.controls, ["random-parameters"]);
});

Deno.test("the paper's recipe is a learned mask and plain steps on one set of examples", async () => {
  for (const given of [{ preset: "paper" }, { referenceCompat: true }] as const) {
    const { selection, update, rounds, traces, evaluation } = await runSettings(given);
    assertEquals(selection, { method: "dcm", budget: undefined });
    assertEquals([update.normalize, update.rate, update.steps, update.patience], [false, 0.03, 8, 2]);
    assertEquals([rounds.count, rounds.templates, traces.samples], [1, undefined, 10]);
    assertEquals(evaluation.controls, ["random"]);
  }
});

Deno.test("what is given wins over the recipe", async () => {
  const own = await runSettings({
    referenceCompat: true,
    preset: "default",
    selection: { method: "dcm" },
    update: { normalize: false },
    evaluation: { controls: [] },
  });
  assertEquals([own.selection.method, own.selection.budget], ["dcm", undefined]);
  assertEquals([own.update.normalize, own.update.rate, own.rounds.count], [false, 0.03, 10]);
  assertEquals(own.evaluation.controls, []);
  const adamw = await runSettings({ update: { optimizer: "adamw" } });
  assertEquals([adamw.update.normalize, adamw.update.rate], [false, 5e-4]);
  await assertRejects(
    () => runSettings({ update: { optimizer: "adamw", normalize: true } }),
    InputError,
    "AdamW",
  );
});
