/** Whole runs on a small task: what a run folder holds, and that it resumes, repeats and is never mixed up. */
import { join } from "node:path";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { componentKinds } from "../../engine/circuit/components.ts";
import { applyPatch, readPatch } from "../../engine/patch/patch.ts";
import { InputError } from "../../engine/errors.ts";
import { loadProblems } from "../../engine/evaluation/data.ts";
import { splitProblems } from "../../engine/evaluation/split.ts";
import { evaluateTask } from "../../engine/evaluation/tasks.ts";
import { Model } from "../../engine/model/model.ts";
import { fuseCheckpoint } from "../../engine/patch/patched_checkpoint.ts";
import { readTensors } from "../../engine/checkpoint/checkpoint.ts";
import { runAmplify, runIdentify } from "../../engine/run/amplify_run.ts";
import { runSettingsRecord } from "../../engine/run/settings/run.ts";
import type { Summary } from "../../engine/run/records.ts";
import { describeSummary } from "../../engine/run/summary_text.ts";
import { embeddedModel, jsonLines, type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest, sharedGpu } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

let work: TemporaryFolder;
let first: Summary;
const at = (...names: string[]) => join(work.path, ...names);
/** A run that must keep one of its steps, and one whose steps are too small to change an answer. */
const changing = () => shortRun(work.path, { referenceCompat: true, update: { validateEvery: 2 } });
const still = () =>
  shortRun(work.path, {
    update: { rate: 1e-12, validateEvery: 2 },
    evaluation: { controls: [], abilities: {} },
  });

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  first = await runAmplify(await sharedGpu(), changing(), { out: at("first") });
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

const filesOf = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
const readJson = async (...names: string[]) => JSON.parse(await Deno.readTextFile(at(...names)));
const withoutSeconds = ({ seconds: _, ...rest }: Summary) => rest;
const eventsOf = (...names: string[]) => jsonLines<Record<string, unknown>>(at(...names, "events.jsonl"));

gpuTest("a run that kept a step leaves every file of its folder and no half of one", async () => {
  const files = await filesOf(at("first"));
  for (
    const name of [
      "config.json",
      "events.jsonl",
      "traces.jsonl",
      "localization.json",
      "mask.safetensors",
      "patch.safetensors",
      "patch.json",
      "pivots.jsonl",
      "answers_base.jsonl",
      "answers_amplified.jsonl",
      "summary.json",
      "report.html",
    ]
  ) assert(files.includes(name), `${name} is missing`);
  assert(!files.some((name) => name.startsWith(".") || name.endsWith(".part")), files.join());
  assertEquals(await readJson("first", "summary.json"), first);

  const config = await readJson("first", "config.json");
  assertEquals(config.settings, runSettingsRecord(changing()));
  assertMatch(config.versions.deno, /^\d+\./);
  assertEquals(config.adapter, first.adapter);

  const events = await eventsOf("first");
  assertEquals(events[0]!.type, "started");
  assertEquals(events.at(-1)!.type, "finished");
  assertEquals(
    events.filter(({ type }) => type === "stage").map(({ stage }) => stage),
    ["identify", "mask", "update", "evaluate", "evaluate", "evaluate", "controls"],
  );
});

gpuTest("traces, examples and mask in the run folder belong together", async () => {
  const traces = await jsonLines<Record<string, unknown>>(at("first", "traces.jsonl"));
  const examples = await readJson("first", "localization.json") as Record<string, unknown>[];
  const samples = traces.filter(({ kind }) => kind === "sample");
  assertEquals(traces.length - samples.length, 36); // three of six instances of each of 12 templates
  assertGreater(examples.length, 10);
  assert(examples.length <= samples.length);
  assertEquals(examples.length, first.localization_examples);
  for (const example of examples) {
    for (const field of ["prefix", "template_id", "instance_id"]) {
      assertEquals(typeof example[field], "string", field);
    }
    for (const field of ["desired_token", "undesired_token"]) {
      assertEquals(typeof example[field], "number", field);
    }
  }
  const mask = await readTensors(at("first", "mask.safetensors"));
  assertEquals([...mask.keys()], [0, 1, 2, 3].map((l) => `mask.layers.${l}`));
  const values = [...mask.values()].flatMap(({ data }) => [...data]);
  assertEquals(values.length, 4 * (4 + 2 + 2 + 384));
  assert(values.every((value) => value >= 0 && value <= 1));
  assertEquals(values.filter((value) => value > 0.5).length, first.components.selected);
});

gpuTest("the summary has every field of the contract, and they agree", () => {
  const { components, accuracy, flips, controls, seconds } = first;
  assertEquals([first.model, first.data, first.seed], [embeddedModel, at("math.jsonl"), 0]);
  assertEquals(components.total, 1568);
  assert(components.selected > 0 && components.selected < 1568, `${components.selected}`);
  assertAlmostEquals(components.percent, 100 * components.selected / 1568, 1e-9);
  assertEquals(Object.keys(components.by_kind), [...componentKinds]);
  assertEquals(Object.values(components.by_kind).reduce((a, b) => a + b), components.selected);
  for (const fraction of [accuracy.base, accuracy.amplified]) assert(fraction >= 0 && fraction <= 1);
  assertAlmostEquals(accuracy.gain, accuracy.amplified - accuracy.base, 1e-12);
  assert(accuracy.ci95[0] <= accuracy.gain && accuracy.gain <= accuracy.ci95[1]);
  // 12 templates of equally many test problems, 24 in all.
  assertAlmostEquals(accuracy.gain, (flips.positive - flips.negative) / 24, 1e-9);
  assert(flips.mcnemar_p > 0 && flips.mcnemar_p <= 1);
  assertEquals(Object.keys(first.other_abilities), ["fact"]);
  assertEquals(Object.keys(first.other_abilities.fact!).sort(), ["amplified", "base"]);
  assertEquals(Object.keys(controls), ["random"]);
  assertAlmostEquals(controls.random!.gain, controls.random!.amplified - accuracy.base, 1e-12);
  assertEquals(Object.keys(controls.random!.other_abilities), ["fact"]);
  assertEquals(first.best_step, 2);
  assert(first.changed_parameters_percent > 0 && first.changed_parameters_percent < 50);
  for (const stage of ["identify", "mask", "update", "evaluate", "total"]) {
    assert(seconds[stage]! > 0, stage);
  }
  assertGreater(first.adapter.length, 0);
});

gpuTest("the patch gives a fresh model the accuracy that the summary states", async ({ gpu }) => {
  const problems = splitProblems(await loadProblems(at("math.jsonl")), 0).test;
  using model = await Model.load(gpu, embeddedModel);
  const accuracy = async () =>
    (await evaluateTask(
      model,
      { name: "test", problems, scoring: "number" },
      { template: "Q: {question}\nA:", maxNewTokens: 48, referenceCompat: true },
    )).accuracy;
  assertEquals(await accuracy(), first.accuracy.base);
  await applyPatch(model, await readPatch(at("first")));
  assertEquals(await accuracy(), first.accuracy.amplified);
});

gpuTest("what the summary says of the fused model is what the written checkpoint gives", async ({ gpu }) => {
  const patch = await readPatch(at("first"));
  const { survives, dtype } = await fuseCheckpoint(embeddedModel, patch, at("fused"));
  using model = await Model.load(gpu, at("fused"));
  const task = {
    name: "test",
    problems: splitProblems(await loadProblems(at("math.jsonl")), 0).test,
    scoring: "number",
  } as const;
  const options = { template: "Q: {question}\nA:", maxNewTokens: 48, referenceCompat: true };
  const { accuracy } = await evaluateTask(model, task, options);
  assertEquals(first.fused, { dtype, survives, accuracy });
  assertEquals(dtype, "F16");
  assert(survives.values_percent > 50 && survives.cosine > 0.9, JSON.stringify(survives));
  assertMatch(
    describeSummary(first),
    /^fused {10}\d+\.\d % as F16: \d+\.\d % of the changed values survive/m,
  );
});

gpuTest("the same settings and seed give the same summary, another seed another split", async ({ gpu }) => {
  const again = await runAmplify(gpu, changing(), { out: at("again") });
  assertEquals(withoutSeconds(again), withoutSeconds(first));
  for (
    const name of [
      "traces.jsonl",
      "localization.json",
      "mask.safetensors",
      "patch.safetensors",
      "evaluations.json",
    ]
  ) {
    assertEquals(await Deno.readFile(at("again", name)), await Deno.readFile(at("first", name)), name);
  }
  const { examples } = await runIdentify(gpu, { ...changing(), seed: 1 }, { out: at("seed 1") });
  assertNotEquals<unknown>(examples, await readJson("first", "localization.json"));
});

gpuTest("a finished run comes back without any work on the GPU", async ({ gpu }) => {
  const before = await Deno.readTextFile(at("first", "summary.json"));
  const { dispatches } = gpu;
  assertEquals(await runAmplify(gpu, changing(), { out: at("first") }), first);
  assertEquals(gpu.dispatches, dispatches);
  assertEquals(await Deno.readTextFile(at("first", "summary.json")), before);
  assertEquals((await eventsOf("first")).at(-1)!.type, "resumed");
});

gpuTest("a run that lost its evaluations resumes from the update", async ({ gpu }) => {
  const kept = ["traces.jsonl", "localization.json", "mask.safetensors", "patch.safetensors", "update.json"];
  const times = () => Promise.all(kept.map(async (name) => (await Deno.stat(at("first", name))).mtime));
  const before = await times();
  const events = (await eventsOf("first")).length;
  for (const name of ["summary.json", "evaluations.json"]) await Deno.remove(at("first", name));
  const resumed = await runAmplify(gpu, changing(), { out: at("first") });
  assertEquals(withoutSeconds(resumed), withoutSeconds(first));
  assertEquals(await times(), before);
  const stages = (await eventsOf("first")).slice(events).flatMap(({ stage }) => stage ? [stage] : []);
  assertEquals(stages, ["evaluate", "evaluate", "evaluate", "controls"]);
});

gpuTest("an event that was half written when the machine went down does no harm", async ({ gpu }) => {
  const path = at("again", "events.jsonl");
  await Deno.writeTextFile(path, (await Deno.readTextFile(path)).trimEnd().slice(0, -9));
  await Deno.remove(at("again", "summary.json"));
  const resumed = await runAmplify(gpu, changing(), { out: at("again") });
  assertEquals(withoutSeconds(resumed), withoutSeconds(first));
  assertGreater(resumed.seconds.identify!, 0);
});

gpuTest("a run in which no step won ships no patch, and takes up what identify left", async ({ gpu }) => {
  const identified = await runIdentify(gpu, still(), { out: at("still") });
  const { mtime } = await Deno.stat(at("still", "mask.safetensors"));
  const summary = await runAmplify(gpu, still(), { out: at("still") });
  assertEquals((await Deno.stat(at("still", "mask.safetensors"))).mtime, mtime);
  assertEquals(summary.localization_examples, identified.examples.length);
  assertEquals(summary.components.selected, identified.selection.filter(Boolean).length);
  assertEquals([summary.best_step, summary.changed_parameters_percent], [0, 0]);
  assertEquals(summary.accuracy.amplified, summary.accuracy.base);
  assertEquals([summary.accuracy.gain, ...summary.accuracy.ci95], [0, 0, 0]);
  assertEquals(summary.flips, { positive: 0, negative: 0, mcnemar_p: 1 });
  assertEquals([summary.controls, summary.other_abilities, summary.fused], [{}, {}, undefined]);
  const files = await filesOf(at("still"));
  assert(!files.some((name) => name.startsWith("patch.")), files.join());
});

gpuTest(
  "a folder that holds a run with other settings is refused until it is started afresh",
  async ({ gpu }) => {
    const out = at("still");
    const other = { ...still(), seed: 4, traces: { ...still().traces, limit: 12 } };
    const refusal = await assertRejects(() => runAmplify(gpu, other, { out }), InputError, "seed 0");
    assert(refusal.message.includes(out) && !refusal.message.includes("\n"), refusal.message);
    assertEquals(refusal.settings, ["out", "fresh"]);
    assertEquals((await readJson("still", "summary.json")).seed, 0);
    await Deno.writeTextFile(join(out, "notes.txt"), "mine");
    const { examples } = await runIdentify(gpu, other, { out, fresh: true });
    assert(examples.length <= 12);
    assertEquals((await readJson("still", "config.json")).settings.seed, 4);
    const files = await filesOf(out);
    assert(files.includes("notes.txt"), "--fresh removed a file that is not the run's");
    for (const gone of ["summary.json", "update.json", "evaluations.json"]) {
      assert(
        !files.includes(gone),
        gone,
      );
    }
    assertEquals((await eventsOf("still"))[0]!.type, "started");
  },
);

gpuTest("an output folder that cannot be written is refused before anything is computed", async ({ gpu }) => {
  await Deno.writeTextFile(at("file"), "in the way");
  const { dispatches } = gpu;
  const out = at("file", "run");
  const { message } = await assertRejects(() => runAmplify(gpu, still(), { out }), InputError, out);
  assert(message.includes("not writable") && !message.includes("\n"), message);
  assertEquals(gpu.dispatches, dispatches);
});
