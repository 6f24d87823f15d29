/** Template files: expressions as Python computes them, draws, conditions, and what is refused. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { parseExpression, shown, whole } from "../../../engine/evaluation/templates/expression.ts";
import { sampleFolder } from "../../../engine/evaluation/templates/folder.ts";
import { readTemplate, sampleTemplate } from "../../../engine/evaluation/templates/template.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";

const compute = (text: string, variables = {}) => shown(parseExpression(text, {})(variables));

Deno.test("expressions are computed as Python does, with exact fractions for floats", () => {
  const cases: [string, string][] = [
    ["1 + 2 * 3 - 4 / 8", "6.5"],
    ["-7 // 2", "-4"],
    ["-7 % 3", "2"],
    ["2 ** 3 ** 2", "512"],
    ["-2 ** 2", "-4"],
    ["0.1 * 3 == 0.3", "True"],
    ["1 < 2 < 3 and not 3 < 2", "True"],
    ["1 < 3 < 2 or 0", "0"],
    ["5 if x > 2 else 6", "5"],
    ["[1, 2] * 2 + [x]", "[1, 2, 1, 2, 3]"],
    ['w == "week"', "True"],
    ["4 in [1, 4] and 2 not in [1, 4]", "True"],
    ["[5, 6, 7][1]", "6"],
    ["1 / 3", "0.333333333333"],
    ['("twins", 2)[1] * 3', "6"],
  ];
  for (const [text, expected] of cases) {
    assertEquals(compute(text, { x: whole(3), w: "week" }), expected, text);
  }
});

Deno.test("what is no expression, or asks for what there is not, is refused", () => {
  for (
    const text of [
      "1 +",
      "(1",
      "x.y",
      "__import__('os')",
      "1; 2",
      "f(1)",
      "unknown",
      "1 / 0",
      '"a" * "b"',
      "lambda: 1",
    ]
  ) {
    assertThrows(() => compute(text), InputError, undefined, text);
  }
});

const template = (changes: Record<string, string> = {}) => ({
  id_orig: 7,
  question_annotated:
    "{n, Kim} has {x,3} cups and {frac, half} of {y,4} more. How many cups does {n, Kim} have?\n\n" +
    "#init:\n- n = sample(names_female)\n- $x = range(2, 20)\n- $y = range(2, 20, 2)\n- $frac = sample(fractions)\n\n" +
    "#conditions:\n- is_int(y * frac)\n- x > y\n\n#answer: int(x + y * frac)",
  answer_annotated:
    "{n} has {x} + {y} * {frac} = <<{x}+{int(y*frac)}={x+int(y*frac)}>>{x+int(y*frac)}.\n#### {x+int(y*frac)}",
  ...changes,
});

Deno.test("instances are distinct, repeat by seed, fulfil the conditions and end on their answer", () => {
  const read = readTemplate(template(), "t.json");
  const rows = sampleTemplate(read, 30, 0, "t.json");
  assertEquals(new Set(rows.map(({ question }) => question)).size, 30);
  assertEquals(sampleTemplate(read, 30, 0, "t.json"), rows);
  assert(JSON.stringify(sampleTemplate(read, 30, 1, "t.json")) !== JSON.stringify(rows));
  for (const { question, answer, original_id } of rows) {
    const [, x, top, bottom, y] = /^\w+ has (\d+) cups and (\d)\/(\d) of (\d+) more\./.exec(question)!.map(
      Number,
    );
    assertEquals(original_id, 7);
    assert(x! > y! && (y! * top!) % bottom! === 0, question);
    assertEquals(answer.split("#### ")[1], String(x! + y! * top! / bottom!), question);
  }
});

Deno.test("templates that contradict themselves or cannot be met are told", () => {
  const told: string[] = [];
  const other = template({
    question_annotated: template().question_annotated.replace("int(x + y * frac)", "x"),
  });
  const rows = sampleTemplate(readTemplate(other, "t.json"), 2, 0, "t.json", (text) => told.push(text));
  assertEquals(rows.length, 2);
  assertEquals(told, [
    'Template file "t.json": #answer is not what the worked solution ends on, which counts.',
  ]);
  const refused = (changes: Record<string, string>, says: string) =>
    assertThrows(
      () => sampleTemplate(readTemplate(template(changes), "t.json"), 2, 0, "t.json"),
      InputError,
      says,
    );
  refused({ question_annotated: "no sections" }, "lacks #init: or #answer:");
  refused({
    question_annotated: "{x,1}?\n#init:\n- $x = range(2, 4)\n#conditions:\n- x > 9\n#answer: x",
    answer_annotated: "{x}",
  }, "only 0 of 2");
  refused({ question_annotated: "{x,1}?\n#init:\n- $x = draw(2)\n#answer: x" }, 'no function "draw"');
});

Deno.test("a folder becomes rows; what cannot be sampled is left out and said", async () => {
  await using folder = await temporaryFolder();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(join(folder.path, name), JSON.stringify(value));
  await assertRejects(
    () => sampleFolder(folder.path, { instances: 2, seed: 0 }),
    InputError,
    "no template files",
  );
  await write("a.json", template());
  await write("b.json", { ...template(), question_annotated: "?" });
  const told: string[] = [];
  const rows = await sampleFolder(folder.path, { instances: 3, seed: 0, notice: (text) => told.push(text) });
  assertEquals(rows.map(({ instance }) => instance), [0, 1, 2]);
  assert(told.length === 1 && told[0]!.endsWith("It is left out."), told.join());
  await assertRejects(
    () => sampleFolder(join(folder.path, "none"), { instances: 2, seed: 0 }),
    InputError,
    "cannot be read",
  );
});
