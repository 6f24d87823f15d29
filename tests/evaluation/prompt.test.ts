/** Prompts and shots: our worked examples, files of a user's own, and how both become text or a conversation. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import {
  chainOfThoughtTemplate,
  chatMessages,
  nextExample,
  plainTemplate,
  promptText,
} from "../../engine/evaluation/prompt.ts";
import { cutTrace, isCorrectNumber } from "../../engine/evaluation/scoring.ts";
import { readShots, workedExamples } from "../../engine/evaluation/shots.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const question = "Tom has 3 pens and buys 4. How many pens has he?";

Deno.test("the default prompt shows eight solved blocks and ends where the model is to think", () => {
  const text = promptText(question, { template: chainOfThoughtTemplate, shots: workedExamples() });
  const blocks = text.split("\n\n");
  assertEquals(blocks.length, 9);
  assertEquals(blocks.pop(), `Q: ${question}\nA: Let's think step by step.`);
  for (const block of blocks) {
    const match = block.match(/^Q: [^\n]+\?\nA: Let's think step by step\. [^\n]+ The answer is \d+\.$/);
    assert(match, block);
  }
});

Deno.test("every equation of the worked examples holds, and the last one states the answer", () => {
  const examples = workedExamples();
  assertEquals(new Set(examples.map((shot) => shot.question)).size, 8);
  for (const { answer } of examples) {
    const equations = [...answer.matchAll(/(\d+) ([-+*/]) (\d+) = (\d+)/g)];
    assert(equations.length > 0, answer);
    for (const [text, a, operator, b, result] of equations) {
      const [x, y] = [Number(a), Number(b)];
      const value = { "+": x + y, "-": x - y, "*": x * y, "/": x / y }[operator!];
      assertEquals(value, Number(result), text);
    }
    assert(isCorrectNumber(answer, `#### ${equations.at(-1)![4]}`), answer);
    assertEquals(cutTrace(answer), answer);
  }
});

Deno.test("shots of one's own take the form of the template", () => {
  const shots = [{ question: "1 + 1?", answer: "1 + 1 = 2. The answer is 2." }];
  assertEquals(
    promptText(question, { template: plainTemplate, shots }),
    `Q: 1 + 1?\nA: 1 + 1 = 2. The answer is 2.\n\nQ: ${question}\nA:`,
  );
  assertEquals(promptText("$& and $1?", { template: plainTemplate }), "Q: $& and $1?\nA:");
  assertEquals(promptText("x", { template: plainTemplate, shots: "Add.\n\n" }), "Add.\n\nQ: x\nA:");
  assertThrows(() => promptText(question, { template: "Q: question" }), InputError, "{question}");
});

Deno.test("in a chat every shot is a user's and an assistant's turn", () => {
  const shots = [{ question: "1 + 1?", answer: "The answer is 2." }, { question: "2?", answer: "3" }];
  assertEquals(chatMessages("4?", { template: "Solve: {question}", shots, chat: true }), [
    { role: "user", content: "Solve: 1 + 1?" },
    { role: "assistant", content: "The answer is 2." },
    { role: "user", content: "Solve: 2?" },
    { role: "assistant", content: "3" },
    { role: "user", content: "Solve: 4?" },
  ]);
  assertThrows(
    () => chatMessages("4?", { template: "{question}", shots: "Add.\n\n" }),
    InputError,
    "plain text",
  );
});

Deno.test("the next example begins as the template does before its question", () => {
  assertEquals(nextExample(chainOfThoughtTemplate), "\n\nQ:");
  assertEquals(nextExample("Question: {question}\nAnswer:"), "\n\nQuestion:");
  assertEquals(nextExample("{question}\n"), undefined);
});

Deno.test("shots are read from worked answers and from plain text", async () => {
  await using folder = await temporaryFolder();
  const file = async (name: string, text: string) => {
    const path = join(folder.path, name);
    await Deno.writeTextFile(path, text);
    return path;
  };
  const rows = [
    {
      question: " A? ",
      answer: "Half of 48 is 48/2 = <<48/2=24>>24 clips\nIn all 48+24 = <<48+24=72>>72.\n#### 72",
    },
    { question: "B?", answer: "12.5 each. The answer is 12.5." },
    { question: "C?", answer: "#### 1,200" },
  ];
  const shots = [
    { question: "A?", answer: "Half of 48 is 48/2 = 24 clips. In all 48+24 = 72. The answer is 72." },
    { question: "B?", answer: "12.5 each. The answer is 12.5." },
    { question: "C?", answer: "The answer is 1,200." },
  ];
  const lines = rows.map((row) => JSON.stringify(row) + "\n").join("");
  assertEquals(await readShots(await file("shots.jsonl", lines)), shots);
  assertEquals(await readShots(await file("shots.txt", "\uFEFF\n" + lines)), shots);
  assertEquals(await readShots(await file("text.txt", "Q: 1?\nA: 1\n\n\n")), "Q: 1?\nA: 1\n\n");
  assertEquals(await readShots("none"), []);
  assertEquals(await readShots("default"), workedExamples());
});

Deno.test("shots that cannot be read are refused in one sentence", async () => {
  await using folder = await temporaryFolder();
  const cases: [content: string | undefined, part: string][] = [
    [undefined, "does not exist"],
    [" \n", "is empty"],
    ['{"question": "A?", "answer": "#### 1"}\n{"question": "B?"}\n', "Line 2"],
  ];
  for (const [content, part] of cases) {
    const path = join(folder.path, "shots.jsonl");
    if (content !== undefined) await Deno.writeTextFile(path, content);
    const { message } = await assertRejects(() => readShots(path), InputError, part);
    assert(message.includes(path) && !message.includes("\n"), message);
  }
  await assertRejects(() => readShots(folder.path), InputError, "cannot be read");
});
