/** Answers from public reports that were once scored wrong, each through a whole evaluation of a model that gives it. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { type EvaluationReport, runEvaluate } from "../../engine/run/evaluation_run.ts";
import { answeringModel, type Changes } from "./answering_model.ts";

interface Case {
  readonly what: string;
  readonly completion: string;
  /** The row's answer, as JSON. */
  readonly answer: string;
  /** Whether it counts as right, or the sentence that refuses the row; FILE is the data file. */
  readonly expected: boolean | string;
  readonly model?: Changes;
}

const cases: readonly Case[] = [
  {
    what: "what a reasoning model thinks is not its answer (lighteval#869)",
    completion: "<think>\nThe answer is 9. No.\n</think>\nThe answer is 7.",
    answer: '"#### 7"',
    expected: true,
  },
  {
    what: "a right number in thinking is no answer either",
    completion: "<think>\nThe answer is 7.\n</think>\nThe answer is 9.",
    answer: '"#### 7"',
    expected: false,
  },
  {
    what: "thinking that is cut off has no answer",
    completion: "<think>\nSo it is 7.",
    answer: '"#### 7"',
    expected: false,
  },
  {
    what: "thinking may be opened by the template, and cut off",
    completion: "So it is 7.",
    answer: '"#### 7"',
    expected: false,
    model: { prompt: { template: "Q: {question}\n<think>\n" } },
  },
  {
    what: "a template that opens and closes thinking asks for an answer",
    completion: "So it is 7.",
    answer: '"#### 7"',
    expected: true,
    model: { prompt: { template: "Q: {question}\n<think>\n\n</think>\n\n" } },
  },
  {
    what: "tags of a model's own are declared in its prompt.json",
    completion: "<work>9</work> 7 <work>8",
    answer: '"#### 7"',
    expected: true,
    model: { prompt: { thinking_tags: ["<work> </work>"] } },
  },
  { what: "2 is not 1/2", completion: "2", answer: '"Half of it.\\n#### 1/2"', expected: false },
  { what: "1/2 is 0.5", completion: "It is 1/2.", answer: '"#### 0.5"', expected: true },
  { what: "7 is not 1e-7", completion: "7", answer: "1e-7", expected: false },
  { what: "1e-7 is 0.0000001", completion: "0.0000001", answer: "1e-7", expected: true },
  {
    what: "a large number keeps all its digits",
    completion: "12345678901234567891",
    answer: "12345678901234567890",
    expected: false,
  },
  {
    what: "thousands of LaTeX are one number (opencompass#2647)",
    completion: "So \\boxed{9{,}500}.",
    answer: '"#### 9500"',
    expected: true,
  },
  { what: "a minus may stand apart", completion: "2 - 5 = - 3", answer: '"#### -3"', expected: true },
  {
    what: "a dash may be a minus (proeval#19)",
    completion: "It is \u20133.",
    answer: '"#### -3"',
    expected: true,
  },
  {
    what: "a problem made up after the answer does not count (sglang#29933)",
    completion: "3 + 4 = 7\n#### 7\n\nQuestion: Tom has 9 cats. How many?\nAnswer: 9\n#### 9",
    answer: '"#### 7"',
    expected: true,
  },
  {
    what: "two numbers are no reference answer",
    completion: "5",
    answer: '"#### 5 or 6"',
    expected:
      'Line 1 of data file "FILE" has "#### 5 or 6" as "answer", which states several numbers: end it with "#### N".',
  },
  {
    what: "a decimal comma is not read as its last digits",
    completion: "5",
    answer: '"#### 12,5"',
    expected:
      'Line 1 of data file "FILE" has "#### 12,5" as "answer", which states a number that cannot be read for certain: end it with "#### N".',
  },
  {
    what: "a word is no reference answer",
    completion: "5",
    answer: '"#### five"',
    expected:
      'Line 1 of data file "FILE" has "#### five" as "answer", which states no number: end it with "#### N", or choose another scorer.',
  },
];

for (const { what, completion, answer, expected, model } of cases) {
  Deno.test(what, async () => {
    await using folder = await answeringModel(completion, model);
    const file = join(folder.path, "data.jsonl");
    await Deno.writeTextFile(file, `{"question": "What is it?", "answer": ${answer}}\n`);
    const evaluated = () => evaluate(folder.path, file, "all");
    if (typeof expected === "boolean") return assertEquals((await evaluated()).accuracy, Number(expected));
    const { message } = await assertRejects(evaluated, InputError);
    assertEquals(message, expected.replace("FILE", file));
  });
}

Deno.test("problems that a file holds twice are in one part of the split, and said (mteb#1036)", async () => {
  await using folder = await answeringModel("7");
  const file = join(folder.path, "data.jsonl");
  const row = (i: number) =>
    JSON.stringify({ question: `Problem ${i}?`, answer: i === 7 ? "7" : "1", original_id: 0, instance: i });
  const rows = Array.from({ length: 20 }, (_, i) => row(i));
  await Deno.writeTextFile(
    file,
    [...rows, ...rows.map((text) => text.replace('"instance":', '"instance":1'))].join("\n"),
  );
  const said: string[] = [];
  const parts = await Promise.all(
    (["train", "validation", "test"] as const).map((split) =>
      evaluate(folder.path, file, split, (text) => said.push(text))
    ),
  );
  assertEquals(parts.filter(({ accuracy }) => accuracy > 0).length, 1);
  assertEquals(parts.reduce((sum, { problems }) => sum + problems.task!, 0), 40);
  assertEquals(
    new Set(said),
    new Set([
      `20 of 40 problems in ${file} repeat the question of another one; repetitions stay in one part of the split.`,
    ]),
  );
});

async function evaluate(
  source: string,
  file: string,
  split: EvaluationReport["split"],
  notice?: (sentence: string) => void,
): Promise<EvaluationReport> {
  using gpu = await Gpu.open();
  return await runEvaluate(
    gpu,
    { model: { source }, data: { file }, evaluation: { split, abilities: {} } },
    { tune: false, ...(notice && { notice }) },
  );
}
