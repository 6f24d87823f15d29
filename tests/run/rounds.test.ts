/** Rounds: fresh problems for every one of them, and a run that goes through several. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import { embeddedTask, embeddedTemplates } from "../../engine/run/embedded.ts";
import { roundProblems } from "../../engine/run/rounds.ts";
import { runSettings } from "../../engine/run/settings/run.ts";
import { loadData } from "../../engine/run/stages.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

const settings = await runSettings({ rounds: { count: 3, problems: 60 } });

Deno.test("a round's problems are fresh, many-sided, the same for every arm, and not the next round's", async () => {
  assertEquals(settings.rounds.templates, embeddedTemplates());
  const { split } = await loadData(settings);
  const second = await roundProblems({ settings, split }, 2);
  assertEquals(second.length, 60);
  assertEquals(await roundProblems({ settings, split }, 2), second);
  const questions = new Set(second.map(({ question }) => question));
  assertEquals(questions.size, 60);
  assertEquals(new Set(second.map(({ templateId }) => templateId)).size, 12);
  for (const { question } of Object.values(split).flat()) assert(!questions.has(question), question);
  for (const { answer } of second) assertMatch(answer, /^[^]+\n#### \d+$/);

  const third = await roundProblems({ settings, split }, 3);
  assert(third.filter(({ question }) => questions.has(question)).length < 10);
  const otherSeed = await roundProblems({ settings: { ...settings, seed: 1 }, split }, 2);
  assertNotEquals(otherSeed, second);
});

Deno.test("validation problems are fresh too, and no round trains on them", async () => {
  const fresh = await runSettings({ rounds: { count: 2, validation: 480, problems: 600 } });
  const { split } = await loadData(fresh);
  assertEquals(split.validation.length, 480);
  const { split: own } = await loadData({ ...fresh, rounds: { ...fresh.rounds, validation: 0 } });
  assertEquals(own.validation.length, 96);
  assertEquals([split.train, split.test], [own.train, own.test]);
  const held = new Set(split.validation.map(({ question }) => question));
  for (const { question } of [...own.train, ...own.validation, ...own.test]) assert(!held.has(question));
  for (const { question } of await roundProblems({ settings: fresh, split }, 2)) assert(!held.has(question));
  await assertRejects(
    () => runSettings({ data: { file: embeddedTask() }, rounds: { validation: 10 } }),
    InputError,
    "need template files",
  );
});

Deno.test("templates that make too few problems are told, each once", async () => {
  await using folder = await temporaryFolder();
  for (const name of ["00.json", "02.json"]) {
    await Deno.copyFile(join(embeddedTemplates(), name), join(folder.path, name));
  }
  const narrow = {
    id_orig: "narrow",
    question_annotated: "What is {x,1} + 1?\n\n#init:\n- $x = range(1, 4)\n\n#answer: x + 1",
    answer_annotated: "{x} + 1 = {x + 1}.\n#### {x + 1}",
  };
  await Deno.writeTextFile(join(folder.path, "narrow.json"), JSON.stringify(narrow));
  const rounds = { count: 2, problems: 90, validation: 90, templates: folder.path };
  const said: string[] = [];
  const { split } = await loadData(await runSettings({ rounds }), (sentence) => said.push(sentence));
  assertEquals(said.filter((sentence) => sentence.includes("narrow.json")).length, 1, said.join("\n"));
  assertEquals(new Set(split.validation.map(({ templateId }) => templateId)), new Set(["0", "2"]));
  assert(
    said.some((sentence) => /make \d+ fresh problems for validation, not 90/.test(sentence)),
    said.join("\n"),
  );
});

Deno.test("without templates a round has training problems, other ones each time", async () => {
  const own = { ...settings, rounds: { ...settings.rounds, templates: undefined, validation: 0 } };
  const { split } = await loadData(own);
  const [second, third] = [
    await roundProblems({ settings: own, split }, 2),
    await roundProblems({ settings: own, split }, 3),
  ];
  for (const problem of [...second, ...third]) assert(split.train.includes(problem));
  assertEquals(new Set(second).size, 60);
  assertNotEquals(second, third);
});

Deno.test("steps follow from rounds, and others are refused", async () => {
  const { update } = await runSettings({ rounds: { count: 5, stepsPerRound: 3 } });
  assertEquals([update.steps, update.patience], [15, 0]);
  const paper = await runSettings({ preset: "paper" });
  assertEquals([paper.update.steps, paper.update.patience, paper.rounds.count], [8, 2, 1]);
  // Steps without rounds decide how many rounds they take; data that no templates belong to has one round.
  const few = await runSettings({ update: { steps: 3 }, rounds: { stepsPerRound: 2 } });
  assertEquals([few.update.steps, few.rounds.count], [3, 2]);
  const own = await runSettings({ data: { file: embeddedTask() } });
  assertEquals([own.update.steps, own.rounds.count, own.rounds.templates], [8, 1, undefined]);
  await assertRejects(
    () => runSettings({ rounds: { count: 5, stepsPerRound: 2 }, update: { steps: 8 } }),
    InputError,
    "5 rounds of 2 steps are 10 steps, not 8",
  );
});

Deno.test("template files that cannot be sampled are found before anything is computed", async () => {
  await using folder = await temporaryFolder();
  const rounds = { count: 2, templates: folder.path };
  for (const validation of [0, 10]) {
    const broken = await runSettings({ rounds: { ...rounds, validation } });
    await assertRejects(() => loadData(broken), InputError, "holds no template files");
  }
});

gpuTest("a run of rounds traces fresh problems for the circuit and for its control", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const rounds = { count: 2, stepsPerRound: 1, problems: 24, templates: embeddedTemplates(), validation: 36 };
  const run = shortRun(work.path, { rounds, update: { steps: 2, validateEvery: 2 } });
  const summary = await runAmplify(gpu, run, { out: join(work.path, "run") });
  const events = (await jsonLines<Record<string, unknown>>(join(work.path, "run", "events.jsonl")))
    .filter(({ type }) => type === "round");
  assertEquals(events.map(({ arm, round, problems }) => [arm, round, problems]), [
    ["update", 2, 24],
    ["control random", 2, 24],
  ]);
  assert(events.every(({ examples }) => (examples as number) > 0));
  const again = await runAmplify(gpu, run, { out: join(work.path, "again") });
  assertEquals({ ...again, seconds: 0 }, { ...summary, seconds: 0 });
});
