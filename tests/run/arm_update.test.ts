/** Tries: every arm has as many, and the one that validates best is kept. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { triedRates } from "../../engine/run/arm_update.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import { readPatch } from "../../engine/patch/patch.ts";
import { embeddedModel, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

Deno.test("rates are tried from the given one outwards", () => {
  assertEquals(triedRates(0.1, 1), [0.1]);
  assertEquals(triedRates(0.1, 5), [0.1, 0.2, 0.05, 0.4, 0.025]);
});

gpuTest("the best try is kept, and the patch is that of its rate", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const at = (name: string) => join(work.path, name);
  // Half a rate of 1e-12 changes no answer, nor does twice of it: only the first try can win.
  const run = (rate: number, tries: number) =>
    shortRun(work.path, {
      referenceCompat: true, // a step is kept, whatever it scores
      update: { rate, tries },
      evaluation: { controls: ["random"] },
    });
  const summary = await runAmplify(gpu, run(0.15, 3), { out: at("three") });
  const { tries, best_step, history } = JSON.parse(await Deno.readTextFile(join(at("three"), "update.json")));
  assertEquals(tries.map(({ rate }: { rate: number }) => rate), [0.15, 0.3, 0.075]);
  const accuracies = tries.map(({ accuracy }: { accuracy: number }) => accuracy);
  const winner = tries[accuracies.indexOf(Math.max(...accuracies))];
  assertEquals(best_step, winner.best_step);
  assertEquals(history.find(({ step }: { step: number }) => step === best_step).accuracy, winner.accuracy);
  assertEquals([summary.circuit.tries, summary.controls.random!.tries], [3, 3]);

  // Alone, the winner's rate leaves the same patch.
  await runAmplify(gpu, run(winner.rate, 1), { out: at("alone") });
  const [kept, alone] = [await readPatch(at("three")), await readPatch(at("alone"))];
  assertEquals(kept, alone);
  const card = JSON.parse(await Deno.readTextFile(join(at("three"), "patch.json")));
  assertEquals(card.rate, winner.rate);
});

gpuTest("a run whose every try diverges ends with one sentence", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const run = (rate: number, tries: number) =>
    shortRun(work.path, { update: { rate, tries, steps: 3 }, evaluation: { controls: [], abilities: {} } });
  const out = join(work.path, "one");
  const huge = 3e38;
  await assertRejects(() => runAmplify(gpu, run(huge, 1), { out }), InputError, "diverged");
  await assertRejects(() => runAmplify(gpu, run(huge, 2), { out: `${out}2` }), InputError, "diverged");
});

gpuTest(
  "full fine-tuning and LoRA are arms like others: their own parameters, an update, a result",
  async ({ gpu }) => {
    await using work = await temporaryFolder();
    await writeSmallTask(work.path, 6);
    const out = join(work.path, "run");
    const run = shortRun(work.path, {
      referenceCompat: true, // a step is kept, whatever it scores
      update: { rate: 0.01 },
      evaluation: { controls: ["full", "lora"], abilities: {} },
    });
    const { controls, circuit } = await runAmplify(gpu, run, { out });
    const { hidden_size: D, intermediate_size: F, num_hidden_layers: L, ...config } = JSON.parse(
      await Deno.readTextFile(join(embeddedModel, "config.json")),
    );
    const [H, K, C] = [config.num_attention_heads, config.num_key_value_heads, config.head_dim];
    const matrices = [[(H + 2 * K) * C, D], [D, H * C], [2 * F, D], [D, F]] as const;
    const size = (of: (rows: number, columns: number) => number) =>
      L * matrices.reduce((sum, [rows, columns]) => sum + of(rows, columns), 0);
    assertEquals(controls.full!.parameters, size((rows, columns) => rows * columns));
    assertEquals(controls.lora!.parameters, size((rows, columns) => 16 * (rows + columns)));
    for (const { update_norm, best_step } of [controls.full!, controls.lora!]) {
      assert(best_step > 0 && update_norm > 0);
    }
    assert(controls.full!.update_norm !== circuit.update_norm);
    // The model carries the circuit's update afterwards, and a second look finds nothing to do.
    assertEquals((await runAmplify(gpu, run, { out })).controls, controls);
  },
);

gpuTest("an anchored run keeps what right traces say, the more the more it weighs", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const divergences = [];
  for (const anchorWeight of [1e-6, 30]) {
    const out = join(work.path, `${anchorWeight}`);
    const run = shortRun(work.path, {
      referenceCompat: true, // a step is kept, whatever it scores
      update: { anchor: "kl", anchorWeight, steps: 8, rate: 0.03, validateEvery: 8 },
      evaluation: { controls: [], abilities: {} },
    });
    await runAmplify(gpu, run, { out });
    const { history } = JSON.parse(await Deno.readTextFile(join(out, "update.json")));
    divergences.push(history.at(-1).divergence as number);
  }
  assert(divergences[0]! > 0 && divergences[1]! < divergences[0]! / 2, divergences.join(" and "));
});
