/** Runs of tasks: resumed row by row, the same whatever the block, and refused where they make no sense. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { compareOutcomes } from "../../engine/evaluation/compare/compare.ts";
import { readOutcomes } from "../../engine/evaluation/compare/outcomes.ts";
import { Model } from "../../engine/model/model.ts";
import { runTaskEvaluation, type TaskEvaluationChoices } from "../../engine/run/task_evaluation.ts";
import { runTasks } from "../../engine/run/task_run.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

const golden = fileURLToPath(new URL("../evaluation/harness/golden", import.meta.url));
const data = join(golden, "data");
const source = join(golden, "model");
const ownFile = fileURLToPath(import.meta.url);

gpuTest("an interrupted run goes on at the first row that is missing or damaged", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  using model = await Model.load(gpu, source);
  const choices = { tasks: ["arc_easy", "gsm8k"], data, maxNewTokens: 16 };
  const [whole, out] = [join(folder.path, "whole"), join(folder.path, "out")];
  const { results } = await runTasks(model, choices, { out: whole });
  const read = (dir: string, task: string) => Deno.readTextFile(join(dir, `samples_${task}.jsonl`));
  await runTasks(model, { ...choices, limit: 2 }, { out, block: 1 });
  const [arc, gsm8k] = [await read(whole, "arc_easy"), await read(whole, "gsm8k")];
  await Deno.writeTextFile(
    join(out, "samples_arc_easy.jsonl"),
    arc.split("\n").slice(0, 2).join("\n") + '\n{"doc',
  );
  const seen: Record<string, number[]> = {};
  const again = await runTasks(model, choices, {
    out,
    block: 3,
    progress: (task, done) => void (seen[task] ??= []).push(done),
  });
  assertEquals(again.results, results);
  assertEquals(seen, { arc_easy: [2, 5, 6], gsm8k: [2, 5, 6] });
  assertEquals([await read(out, "arc_easy"), await read(out, "gsm8k")], [arc, gsm8k]);
  const { prefillTokens } = model;
  await runTasks(model, choices, { out });
  assertEquals(model.prefillTokens, prefillTokens); // nothing was left to compute
  await assertRejects(
    () => runTasks(model, { ...choices, maxNewTokens: 17 }, { out }),
    InputError,
    "holds answers under another max new tokens",
  );
});

gpuTest(
  "a limit below 1 is a share, and groups are weighted by size over the subjects there are",
  async ({ gpu }) => {
    using model = await Model.load(gpu, source);
    const said: string[] = [];
    const { results, groups, "n-samples": counts } = await runTasks(
      model,
      { tasks: ["mmlu", "arc_easy"], data, limit: 0.5 },
      { notice: (text) => void said.push(text) },
    );
    assertEquals(counts.arc_easy, { original: 6, effective: 3 });
    assertEquals([counts.mmlu_anatomy, counts.mmlu_abstract_algebra, counts.mmlu_world_religions], [
      { original: 4, effective: 2 },
      { original: 3, effective: 2 },
      { original: 2, effective: 1 },
    ]);
    const of = (name: string) => results[name]!["acc,none"] as number;
    assertEquals(
      of("mmlu"),
      (2 * of("mmlu_anatomy") + 2 * of("mmlu_abstract_algebra") + of("mmlu_world_religions")) / 5,
    );
    assertEquals(Object.keys(groups!), ["mmlu", "mmlu_stem", "mmlu_humanities"]);
    assert(said[0]!.includes("mmlu_astronomy"));
  },
);

gpuTest("puzzles are asked by size without data, go on where they were, and compare", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  using model = await Model.load(gpu, source);
  const out = join(folder.path, "out");
  const said: string[] = [];
  const choices = {
    tasks: ["hanoi", "river"],
    shots: 0,
    maxNewTokens: 16,
    puzzles: { sizes: [1, 6], instances: 2 },
  };
  const { results, complexity, ...rest } = await runTasks(model, choices, {
    out,
    notice: (text) => void said.push(text),
  });
  assertEquals(rest["n-samples"], {
    hanoi: { original: 4, effective: 4 },
    river: { original: 2, effective: 2 }, // none of six pairs
  });
  assertEquals(said.filter((text) => text.includes("no solution")).length, 1);
  assertEquals(
    said.some((text) => text.startsWith("Tower of Hanoi of size 6: a shortest plan takes")),
    true,
  );
  assertEquals(complexity!.hanoi!.map(({ size, minimum_moves }) => [size, minimum_moves]), [[1, 1], [6, 63]]);
  const path = join(out, "samples_hanoi.jsonl");
  const whole = await Deno.readTextFile(path);
  const samples = whole.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(samples.map(({ doc }) => [doc.size, doc.instance]), [[1, 0], [6, 0], [1, 1], [6, 1]]);
  for (const { outcome, tokens, exact_match, target, doc } of samples) {
    assertEquals(exact_match, outcome === "solved" ? 1 : 0);
    assert(tokens >= 1 && tokens <= 16);
    assertEquals(target.split("], [").length, doc.minimum_moves);
  }
  await Deno.writeTextFile(path, whole.split("\n").slice(0, 3).join("\n"));
  const again = await runTasks(model, choices, { out });
  assertEquals([again.results, again.complexity], [results, complexity]);
  assertEquals(await Deno.readTextFile(path), whole);
  const { tasks } = compareOutcomes(await readOutcomes(out), await readOutcomes(out));
  assertEquals(tasks.hanoi!.complexity!.map(({ size, items }) => [size, items]), [[1, 2], [6, 2]]);
});

gpuTest("a task file's own scorer and limit of tokens hold, and belong to the folder", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  await Deno.writeTextFile(
    at("rows.jsonl"),
    '{"question": "a", "answer": "x"}\n{"question": "b", "answer": "y"}\n',
  );
  await Deno.writeTextFile(
    at("odd.ts"),
    "export default ({ row }: { row: { answer: string } }) => row.answer === 'y' ? 1 : 0.5;",
  );
  const describe = (limit: number) =>
    Deno.writeTextFile(
      at("odd.yaml"),
      `data: rows.jsonl\nprompt: "{question}"\nscorer: odd.ts\nmax_new_tokens: ${limit}\n`,
    );
  await describe(3);
  using model = await Model.load(gpu, source);
  const out = at("out");
  const { results } = await runTasks(model, { tasks: [at("odd.yaml")] }, { out });
  assertEquals(results.odd!["exact_match,scorer"], 0.75);
  const { own } = JSON.parse(await Deno.readTextFile(join(out, "tasks.json")));
  assertEquals([own.odd.max_new_tokens, own.odd.scorer.length], [3, 64]);
  await describe(4);
  await assertRejects(() => runTasks(model, { tasks: [at("odd.yaml")] }, { out }), InputError, "another own");
});

gpuTest("tasks that cannot be run are refused in a sentence", async ({ gpu }) => {
  const refused = async (given: Partial<TaskEvaluationChoices>, message: string, setting: string) => {
    const choices = { model: { source }, ...given, tasks: { names: ["arc_easy"], data, ...given.tasks } };
    const error = await assertRejects(
      () => runTaskEvaluation(gpu, choices, { tune: false }),
      InputError,
      message,
    );
    assertEquals(error.settings, [setting]);
  };
  await refused({ tasks: { names: ["arc"] } }, 'Task "arc" is not known', "tasks");
  await refused({ tasks: { names: [] } }, "No task is named", "tasks");
  await refused({ tasks: { data: undefined } }, "need the folder", "task-data");
  await refused({ tasks: { data: golden } }, 'needs "arc_test.jsonl"', "task-data");
  await refused({ tasks: { names: ["arc_easy"], shots: 9 } }, "has 4 rows", "num-fewshot");
  await refused({ tasks: { limit: 1.5 } }, "neither a number of rows", "limit");
  await refused({ tasks: { sizes: [2] } }, "No puzzle is named; name one of hanoi", "sizes");
  await refused({ tasks: { instances: 2 } }, "No puzzle is named", "instances");
  await refused({ tasks: { names: ["hanoi"], sizes: [11] } }, "up to 10 disks, not 11", "sizes");
  await refused({ tasks: { names: ["hanoi"] }, data: { scorer: ownFile } }, "judged by its rules", "scorer");
  await refused({ data: { scorer: "exact" } }, 'or by a file; "exact" is no .ts file', "scorer");
  await refused({ prompt: { template: "{question}" } }, "defines its own data", "prompt-template");
  await refused({ prompt: { chat: true } }, "no chat template", "chat");
  await refused(
    { tasks: { names: ["gsm8k"] }, prompt: { maxNewTokens: 512 } },
    "leave no room",
    "max-new-tokens",
  );
});
