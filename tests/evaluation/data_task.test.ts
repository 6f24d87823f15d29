/** Data files and task files as tasks: how rows become problems, by what they are judged, and what is refused. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { CustomScorer } from "../../engine/evaluation/custom_scorer.ts";
import { type DataTaskChoices, loadDataTask } from "../../engine/evaluation/data_task.ts";
import { promptText } from "../../engine/evaluation/prompt.ts";
import { isCorrect } from "../../engine/evaluation/scorers.ts";
import { describesTask, filesOfTask } from "../../engine/evaluation/task_file.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const capitals = [
  {
    question: "Capital of France?",
    answer: "Paris",
    options: ["Rome", "Paris"],
    original_id: 7,
    instance: 3,
  },
  { question: "Capital of Italy?", answer: "Rome", options: ["Rome", "Paris"] },
  { question: "Capital of Spain?", answer: "Madrid", options: ["Madrid", "Paris"] },
];
const worked = [{ question: "1 + 1?", answer: "1 + 1 = 2\n#### 2" }];
const main: DataTaskChoices = { setting: "data", usual: "number" };
const ability: DataTaskChoices = { setting: "ability", usual: "exact" };

/** Writes files, rows as JSONL and others as they are, and works among them. */
async function among<T>(
  files: Readonly<Record<string, string | readonly unknown[]>>,
  work: (at: (name: string) => string) => Promise<T>,
): Promise<T> {
  await using folder = await temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : content.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(at(name), text);
  }
  return await work(at);
}

/** A task file of these fields over the capitals. */
const described = (fields: object, choices = main, rows: readonly unknown[] = capitals) =>
  among(
    { "rows.jsonl": rows, "task.json": JSON.stringify({ data: "rows.jsonl", ...fields }) },
    (at) => loadDataTask(at("task.json"), choices),
  );

Deno.test("a data file is judged by number as the main task and by its text as an ability", async () => {
  await among({ "worked.jsonl": worked, "capitals.jsonl": capitals }, async (at) => {
    const sums = await loadDataTask(at("worked.jsonl"), main);
    assertEquals([sums.scoring, sums.said, sums.prompt], ["number", [], undefined]);
    assertEquals((await loadDataTask(at("capitals.jsonl"), ability)).scoring, "exact");
    const error = await assertRejects(() => loadDataTask(at("capitals.jsonl"), main), InputError);
    assertStringIncludes(error.message, 'states no number: end it with "#### N", or choose another scorer.');
    assertEquals(error.settings, ["scorer"]);
    assertEquals(
      (await loadDataTask(at("capitals.jsonl"), { ...main, scorer: "contains" })).scoring,
      "contains",
    );
  });
});

Deno.test("an ability of worked solutions is judged by its numbers, and said; of some it is not", async () => {
  await among({ "all.jsonl": worked, "some.jsonl": [...worked, ...capitals] }, async (at) => {
    const { scoring, said } = await loadDataTask(at("all.jsonl"), ability);
    assertEquals([scoring, said.length], ["number", 1]);
    assertStringIncludes(said[0]!, "their numbers are compared");
    const some = await loadDataTask(at("some.jsonl"), ability);
    assertEquals([some.scoring, some.said], ["exact", []]);
  });
});

Deno.test("a task file's rows are asked as it says, its worked examples never", async () => {
  const { problems, prompt, scoring } = await described({
    prompt: "Q: {question}\nA:",
    description: "Name the city.\n",
    shots: 1,
    max_new_tokens: 5,
  });
  assertEquals(scoring, "exact");
  assertEquals(problems.map(({ question }) => question), [
    "Q: Capital of Italy?\nA:",
    "Q: Capital of Spain?\nA:",
  ]);
  assertEquals(prompt, {
    description: "Name the city.\n",
    template: "{question}",
    shots: [{ question: "Q: Capital of France?\nA:", answer: "Paris" }],
    stop: ["\n\nQ:"],
    maxNewTokens: 5,
  });
  assertEquals(
    promptText(problems[0]!.question, { template: "", ...prompt }),
    "Name the city.\nQ: Capital of France?\nA: Paris\n\nQ: Capital of Italy?\nA:",
  );
});

Deno.test("a task file without a prompt leaves asking to the run", async () => {
  const { problems, prompt } = await described({ scorer: "contains" });
  assertEquals([problems[0]!.question, prompt], ["Capital of France?", {}]);
  assertEquals([problems[0]!.templateId, problems[0]!.instanceId], ["7", "3"]);
  assertEquals([problems[1]!.templateId, problems[1]!.instanceId], ["all", "1"]);
});

Deno.test("each rule judges by the text outside of thinking", async () => {
  for (
    const [fields, right, wrong] of [
      [{ scorer: "exact" }, " paris.", "Paris, France"],
      [{ scorer: "contains" }, "It is PARIS", "<think>Paris?</think>Rome"],
      [{ scorer: "regex", pattern: "is (\\w+)" }, "<think>is Rome</think>It is Paris", "Paris"],
      [{ choices: "options" }, "Paris, not Rome", "<think>Paris</think>Rome"],
      [{ choices: ["{answer}", "Oslo"], answer: "A" }, "(A)", "B"],
      [{ scorer: "number", answer: "6 * 2 = 12 #### 12" }, "so 12.", "12 and 7"],
    ] as const
  ) {
    const { problems: [first], scoring } = await described(fields);
    assertEquals(await isCorrect(right, first!, scoring, {}), true, right);
    assertEquals(await isCorrect(wrong, first!, scoring, {}), false, wrong);
  }
});

Deno.test("a scorer's file sees the row, is found from the task's file, and judges right from one half on", async () => {
  const program = "type Given = { completion: string; row: { answer: string } };\n" +
    "export default ({ completion, row }: Given) => completion === row.answer ? 0.5 : 0.4;";
  const files = {
    "rows.jsonl": capitals,
    "judge.ts": program,
    "task.yaml": "data: rows.jsonl\nscorer: judge.ts\n",
  };
  await among(files, async (at) => {
    for (
      const [file, choices] of [["task.yaml", main], ["rows.jsonl", {
        ...main,
        scorer: at("judge.ts"),
      }]] as const
    ) {
      const { problems: [first], scoring } = await loadDataTask(at(file), choices);
      assert(scoring instanceof CustomScorer);
      using _atWork = scoring;
      assertEquals(await isCorrect("Paris", first!, scoring, {}), true);
      assertEquals(await isCorrect("Rome", first!, scoring, {}), false);
    }
    assertEquals(await filesOfTask(at("task.yaml")), [at("task.yaml"), at("rows.jsonl"), at("judge.ts")]);
  });
});

Deno.test("rows in a file called .json stay rows", async () => {
  await among({ "one.json": capitals.slice(0, 1), "more.json": capitals, "list.json": "[]" }, async (at) => {
    for (const name of ["one.json", "more.json", "list.json", "none.json"]) {
      assertEquals(await describesTask(at(name)), false, name);
    }
    assertEquals((await loadDataTask(at("more.json"), ability)).problems.length, 3);
  });
});

Deno.test("what cannot be asked or judged is refused in one sentence that names its place", async () => {
  const refused = async (fields: object, message: string, rows: readonly unknown[] = capitals) => {
    const { message: said } = await assertRejects(() => described(fields, main, rows), InputError, message);
    assertEquals(said.split("\n").length, 1);
  };
  await refused({ scorer: "best" }, '"best" as "scorer", which is none of number, exact');
  await refused({ colour: "red" }, "colour");
  await refused({ data: "nothing.jsonl" }, "nothing.jsonl");
  await refused({ prompt: "{riddle}" }, 'no field "riddle"');
  await refused({ answer: "{riddle}" }, "Row 1 of data file");
  await refused({ scorer: "regex" }, "needs a pattern");
  await refused({ scorer: "regex", pattern: "(" }, "not a regular expression");
  await refused({ scorer: "regex", pattern: "is \\w+" }, "without a group");
  await refused({ scorer: "choice" }, "needs choices");
  await refused({ choices: "question" }, "is not a list of choices");
  await refused({ choices: "options", answer: "Oslo" }, 'answer "Oslo" is none of 2 choices');
  await refused({ choices: "options", scorer: "loglikelihood" }, "use choice");
  await refused({ scorer: "number" }, "states no number");
  await refused({ shots: 3 }, "takes 3 worked examples from 3 rows");
  await refused({ scorer: "missing.ts" }, 'missing.ts" does not exist');
  await refused({}, "holds no rows", []);
  await refused({}, "Row 2 of data file", [capitals[0], 7]);
  await refused({ data: "task.json" }, "holds no list of rows");
  const plain = (scorer: string) =>
    among({ "rows.jsonl": capitals }, (at) => loadDataTask(at("rows.jsonl"), { ...main, scorer }));
  await assertRejects(() => plain("regex"), InputError, "give a task file");
  await assertRejects(() => plain("exakt"), InputError, 'Scorer "exakt" is none of number');
  await assertRejects(() => plain("choice"), InputError, "Line 1 of data file");
  const failing = { "rows.jsonl": capitals, "bad.ts": "export default () => { throw new Error('mine'); };" };
  await assertRejects(
    () => among(failing, (at) => loadDataTask(at("rows.jsonl"), { ...main, scorer: at("bad.ts") })),
    InputError,
    "fails: mine.",
  );
  const broken = { "task.yaml": "data: [" };
  await assertRejects(
    () => among(broken, (at) => loadDataTask(at("task.yaml"), main)),
    InputError,
    "cannot be read",
  );
  const puzzle = {
    question: "Q",
    answer: "[[1, A, B]]",
    puzzle: "hanoi",
    setup: { size: 1, pegs: ["A", "B", "C"] },
  };
  await refused({ scorer: "exact" }, "is judged by its rules; leave scorer exact out", [puzzle]);
  await refused({}, "Row 1 of data file", [{ ...puzzle, puzzle: "chess" }]);
});
