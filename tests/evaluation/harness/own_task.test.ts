/** Tasks of one's own: what files describe, how completions are judged, and what is refused. */
import { join } from "node:path";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { readTaskFile } from "../../../engine/evaluation/harness/own_task.ts";
import { promptsOf } from "../../../engine/evaluation/harness/prompts.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";

/** Reads a task of these fields over these rows. */
async function described(fields: Record<string, unknown>, rows: readonly Record<string, unknown>[]) {
  await using folder = await temporaryFolder();
  const lines = rows.map((row) => JSON.stringify(row)).join("\n");
  await Deno.writeTextFile(join(folder.path, "rows.jsonl"), lines);
  const path = join(folder.path, "task.json");
  await Deno.writeTextFile(
    path,
    JSON.stringify({ data: "rows.jsonl", prompt: "Q: {question}\nA:", ...fields }),
  );
  return await readTaskFile(path);
}

const capitals = [
  { question: "Capital of France?", answer: "Paris", options: ["Rome", "Paris"] },
  { question: "Capital of Italy?", answer: "Rome", options: ["Rome", "Paris"] },
  { question: "Capital of Spain?", answer: "Madrid", options: ["Madrid", "Paris"] },
];

Deno.test("a prompt shows other rows as worked examples, never its own", async () => {
  const { task, rows } = await described({ shots: 2, description: "Answer.\n" }, capitals);
  assertEquals(task.name, "task");
  for (const { contexts: [text], row } of promptsOf(task, rows, { shots: 2, seed: 1234 })) {
    assertEquals(text!.startsWith("Answer.\nQ: "), true);
    assertEquals(text!.endsWith(`Q: ${row.question}\nA:`), true);
    assertEquals(text!.split(`${row.question}`).length, 2);
    assertEquals(text!.match(/Q: /g)!.length, 3);
  }
});

Deno.test("each scorer of completions tells right from wrong", async () => {
  const judged = async (fields: Record<string, unknown>, completion: string) => {
    const { task, rows } = await described(fields, capitals);
    if (!("filters" in task)) throw new Error("not a generation");
    const [read] = Object.values(task.filters);
    return task.matches(read!(completion), rows.docs[0]);
  };
  for (
    const [fields, right, wrong] of [
      [{ scorer: "exact" }, " paris.", "Paris, France"],
      [{ scorer: "contains" }, "It is PARIS, France", "It is Rome"],
      [{ scorer: "regex", pattern: "is (\\w+)" }, "It is Paris but was Rome", "Paris"],
      [{ scorer: "choice", choices: "options" }, "Paris, not Rome", "Rome, not Paris"],
      [{ scorer: "choice", choices: "options" }, "(B)", "A"],
      [{ scorer: "number", answer: "6 * 2 = 12 #### 12" }, "5 and 7, so 12.", "12 and 7"],
    ] as const
  ) {
    assertEquals([await judged(fields, right), await judged(fields, wrong)], [true, false], fields.scorer);
  }
});

Deno.test("choices are compared by log-likelihood, the right one named by text, letter or number", async () => {
  for (const answer of ["{answer}", "B", "1"]) {
    const { task, rows } = await described({ choices: "options", answer }, capitals.slice(0, 1));
    if (task.kind !== "choice") throw new Error("not a choice");
    assertEquals([task.gold(rows.docs[0]), task.choices(rows.docs[0])], [1, ["Rome", "Paris"]]);
  }
});

Deno.test("worked solutions that end in #### N are recognised and said", async () => {
  const worked = [{ question: "1 + 1?", answer: "1 + 1 = 2\n#### 2" }];
  const { task, said } = await described({}, worked);
  assertEquals("filters" in task && Object.keys(task.filters), ["number"]);
  assertStringIncludes(said!, "their numbers are compared");
  const exact = await described({ scorer: "exact" }, worked);
  assertStringIncludes(exact.said!, "compares all of their text");
  assertEquals((await described({}, capitals)).said, undefined);
});

Deno.test("what describes no task is refused in a sentence", async () => {
  const refused = (fields: Record<string, unknown>, message: string, rows = capitals) =>
    assertRejects(() => described(fields, rows), InputError, message);
  await refused({ scorer: "best" }, '"scorer"');
  await refused({ colour: "red" }, "colour");
  await refused({ prompt: "{riddle}" }, 'no field "riddle"');
  await refused({ scorer: "regex" }, "needs a pattern");
  await refused({ scorer: "number" }, 'has the answer "Paris", which states no number.');
  await refused({ scorer: "regex", pattern: "(" }, "not a regular expression");
  await refused({ scorer: "choice" }, "needs choices");
  await refused({ choices: "options", answer: "Oslo" }, "none of 2 choices");
  await refused({}, "holds no rows", []);
  await refused({ data: "nothing.jsonl" }, "cannot be read");
});
