/** Whole runs on tasks that ask for no number: how they are judged is a setting, or stands in a task file. */
import { join } from "node:path";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { mergeRun } from "../../engine/cluster/merge.ts";
import { planRun } from "../../engine/cluster/run_plan.ts";
import { workShard } from "../../engine/cluster/work.ts";
import { InputError } from "../../engine/errors.ts";
import { runAmplify, runIdentify } from "../../engine/run/amplify_run.ts";
import { type RunChoices, runSettings } from "../../engine/run/settings/run.ts";
import {
  embeddedModel,
  jsonLines,
  taskData,
  type TemporaryFolder,
  temporaryFolder,
} from "../model/model_fixture.ts";
import { gpuTest, sharedGpu } from "../ops/gpu_fixture.ts";
import { assertSameRun } from "./run_fixture.ts";

let work: TemporaryFolder;
const at = (...names: string[]) => join(work.path, ...names);
const write = (name: string, text: string) => Deno.writeTextFile(at(name), text);
const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row) + "\n").join("");
const readJson = async (...names: string[]) => JSON.parse(await Deno.readTextFile(at(...names)));

const template = "Q: {question}\\nA:";
const letters = [
  "data: letters.jsonl",
  `prompt: "${template}"`,
  "choices: options",
  'stop: ["\\n"]',
  "max_new_tokens: 6",
].join("\n");
const containing =
  'data: facts.csv\nprompt: "Q: What is {what}?\\nA:"\nscorer: contains\nmax_new_tokens: 6\n';
const strict = `export default ({ completion, row }: { completion: string; row: { answer: string } }) => {
  if (row.answer === undefined) throw new Error("no answer");
  return completion.trim() === row.answer + ".";
};`;

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  const choices = await jsonLines<{ question: string; answer: string }>(join(taskData, "choice.jsonl"));
  const lettered = choices.filter(({ answer }) => /^[A-Z]$/.test(answer)).slice(0, 24);
  await write(
    "letters.jsonl",
    lines(lettered.map(({ question, answer }, i) => {
      const options = [...question.matchAll(/\([A-Z]\) (\S+)/g)].map(([, text]) => text);
      return { question, answer, options, original_id: i % 2, instance: i };
    })),
  );
  await write("letters.yaml", letters);
  const facts = (await jsonLines<{ question: string; answer: string }>(join(taskData, "fact.jsonl"))).slice(
    0,
    6,
  );
  const rows = facts.map(({ question, answer }) => `${question.slice("What is ".length, -1)},${answer}`);
  await write("facts.csv", ["what,answer", ...rows].join("\n"));
  await write("facts.yaml", containing);
  await write(
    "worked.jsonl",
    lines([{
      question: "Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?",
      answer: "24 + 17 = 41\n#### 41",
    }]),
  );
  await write("strict.ts", strict);
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

/** Tiny settings over some data. */
const tiny = (data: RunChoices["data"], abilities: Record<string, string> = {}) =>
  runSettings({
    preset: "paper",
    model: { source: embeddedModel },
    data: { ...data },
    traces: { limit: 10, samples: 4, temperatureRight: 3 },
    mask: { epochs: 1 },
    update: { steps: 1, rate: 1e-3 },
    evaluation: { controls: [], abilities },
  });

gpuTest(
  "a task of choices is amplified by its task file, beside abilities with prompts and rules of their own",
  async () => {
    const said: string[] = [];
    const gpu = await sharedGpu();
    const settings = await tiny({ file: at("letters.yaml") }, {
      facts: at("facts.yaml"),
      sums: at("worked.jsonl"),
    });
    const options = { out: at("choices"), tune: false, notice: (sentence: string) => said.push(sentence) };
    const summary = await runAmplify(gpu, settings, options);
    assertGreater(summary.localization_examples, 0);
    assert(
      said.some((sentence) =>
        sentence.includes("its own prompt, worked examples, stop texts, number of new")
      ),
    );
    assert(
      said.some((sentence) =>
        sentence.includes("its own prompt, worked examples, stop texts, number of new")
      ),
    );
    const { base } = await readJson("choices", "evaluations.json");
    const answers = await jsonLines<{ question: string; completion: string; correct: boolean }>(
      at("choices", "answers_base.jsonl"),
    );
    assertEquals(base.correct, answers.map(({ correct }) => correct));
    assert(answers.every(({ question }) => question.startsWith("Q: ") && question.endsWith("\nA:")));
    const rows = await jsonLines<{ question: string; answer: string }>(at("letters.jsonl"));
    for (const { question, completion, correct } of answers) {
      const row = rows.find((row) => question.includes(row.question))!;
      assertEquals(correct, completion.trim().startsWith(row.answer), completion);
    }
    assertEquals(base.other_abilities, { facts: 1, sums: 1 });
    assert(
      said.some((sentence) =>
        sentence.includes("worked.jsonl") && sentence.includes("their numbers are compared")
      ),
    );

    // All that decides how it is asked and judged belongs to the run.
    await write("facts.csv", (await Deno.readTextFile(at("facts.csv"))) + "\n");
    await assertRejects(
      () => runAmplify(gpu, settings, options),
      InputError,
      "of facts has changed",
    );
  },
);

gpuTest(
  "shards of a task with a prompt and rules of its own merge into the undivided run",
  async ({ gpu }) => {
    const settings = await tiny({ file: at("letters.yaml") }, {
      facts: at("facts.yaml"),
      sums: at("worked.jsonl"),
    });
    await runAmplify(gpu, settings, { out: at("whole"), tune: false });
    await planRun(settings, { out: at("merged"), shards: 2, tune: false });
    for (const shard of [1, 0]) await workShard(gpu, at("merged"), { shard });
    await mergeRun(gpu, at("merged"));
    for (const file of ["traces.jsonl", "localization.json", "mask.safetensors", "evaluations.json"]) {
      assertEquals(await Deno.readFile(at("merged", file)), await Deno.readFile(at("whole", file)), file);
    }
  },
);

gpuTest(
  "a file judges a run, the same again, and what fails in it ends the run in its sentence",
  async () => {
    const gpu = await sharedGpu();
    const settings = await tiny({ file: at("letters.jsonl"), scorer: at("strict.ts") });
    const { examples } = await runIdentify(gpu, settings, { out: at("strict"), tune: false });
    await runIdentify(gpu, settings, { out: at("again"), tune: false });
    await assertSameRun(at("again"), at("strict"));
    const traces = await jsonLines<{ text: string; correct: boolean }>(at("strict", "traces.jsonl"));
    assertEquals(new Set(traces.map(({ correct }) => correct)).size, 2);
    assert(traces.every(({ text, correct }) => !correct || /^ [A-Z]\.$/.test(text)));
    assertGreater(examples.length, 0);

    await write(
      "throws.ts",
      `let calls = 0;\nexport default () => { if (++calls > 3) throw new Error("too much"); return 1; };`,
    );
    const failing = await tiny({ file: at("letters.jsonl"), scorer: at("throws.ts") });
    const { message } = await assertRejects(
      () => runIdentify(gpu, failing, { out: at("throws"), tune: false }),
      InputError,
    );
    assertStringIncludes(message, 'throws.ts" fails: too much.');
  },
);
