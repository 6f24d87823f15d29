import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { loadProblems, type Problem, requireNumericAnswers } from "../../engine/evaluation/data.ts";
import { parquetBytes } from "./parquet_fixture.ts";
import { splitNotices, splitProblems } from "../../engine/evaluation/split.ts";
import { seededRandom, shuffled } from "../../engine/random.ts";
import { InputError } from "../../engine/errors.ts";

/** Calls `use` with the path of a temporary file of that name and content, removed afterwards. */
async function withFile(name: string, content: string | Uint8Array, use: (file: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  try {
    const file = `${folder}/${name}`;
    await Deno.writeFile(file, typeof content === "string" ? new TextEncoder().encode(content) : content);
    await use(file);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The one-sentence message with which loading such a file is refused. */
async function refusal(name: string, content: string | Uint8Array): Promise<string> {
  let message = "";
  await withFile(name, content, async (file) => {
    message = (await assertRejects(() => loadProblems(file), InputError, file)).message;
  });
  assertMatch(message, /^[A-Z][^\n]*\.$/);
  return message;
}

function problems(templates: Record<string, number>): Problem[] {
  return Object.entries(templates).flatMap(([templateId, count]) =>
    Array.from({ length: count }, (_, instance) => ({
      id: `${templateId}-${instance}`,
      question: `How many of ${templateId} ${instance}?`,
      answer: "#### 1",
      templateId,
      instanceId: String(instance),
    }))
  );
}

const idsOf = (list: readonly Problem[]) => list.map((problem) => problem.id);
const sizesOf = (count: number) => {
  const { train, validation, test } = splitProblems(problems({ a: count }), 0);
  return [train.length, validation.length, test.length];
};

Deno.test("the embedded word problems load with their templates and instances", async () => {
  const loaded = await loadProblems("fixtures/tasks/math.jsonl");
  assertEquals(loaded.length, 1200);
  assertEquals(new Set(loaded.map((problem) => problem.templateId)).size, 12);
  const { id, templateId, instanceId, answer } = loaded[101]!;
  assertEquals([id, templateId, instanceId, typeof answer], [101, "1", "1", "string"]);
  requireNumericAnswers(loaded, "math.jsonl");
});

Deno.test("rows without a template belong to template all, numbered by row", async () => {
  await withFile(
    "x.jsonl",
    '{"question":"a?","answer":"b"}\r\n\n{"question":"c?","answer":4}\n',
    async (file) => {
      assertEquals(await loadProblems(file), [
        { id: 0, question: "a?", answer: "b", templateId: "all", instanceId: "0", line: 1 },
        { id: 1, question: "c?", answer: "4", templateId: "all", instanceId: "1", line: 3 },
      ]);
    },
  );
});

Deno.test("ids that several rows share are replaced by row numbers", async () => {
  const row = (instance: number) =>
    JSON.stringify({ id: 7, question: "a?", answer: "1", original_id: 9, instance });
  await withFile("x.jsonl", `${row(0)}\n${row(1)}`, async (file) => {
    assertEquals(idsOf(await loadProblems(file)), [0, 1]);
  });
});

Deno.test("parquet rows load like lines, 64-bit integers included", async () => {
  await withFile("x.parquet", parquetBytes, async (file) => {
    const loaded = await loadProblems(file);
    assertEquals(loaded.map(({ templateId, instanceId }) => `${templateId}/${instanceId}`), [
      "7/0",
      "7/1",
      "8/0",
    ]);
    assertEquals(loaded[1], {
      id: 1,
      question: "How many are 4 and 5?",
      answer: "4 + 5 = 9.\n#### 9",
      templateId: "7",
      instanceId: "1",
      line: 2,
    });
  });
});

Deno.test("a missing file is refused by name, whatever its kind", async () => {
  for (const file of ["/tmp/no-such-file.jsonl", "/tmp/no-such-file.parquet"]) {
    await assertRejects(() => loadProblems(file), InputError, `Data file "${file}" does not exist`);
  }
});

Deno.test("empty, binary and corrupt files are refused in one sentence", async () => {
  assertMatch(await refusal("x.jsonl", ""), /is empty/);
  assertMatch(await refusal("x.jsonl", "\n \n"), /is empty/);
  assertMatch(await refusal("x.jsonl", new Uint8Array([0xff, 0xfe, 0x00])), /is not UTF-8 text/);
  assertMatch(await refusal("x.parquet", "not parquet at all"), /is not readable as parquet/);
  assertMatch(await refusal("x.parquet", ""), /is not readable as parquet/);
});

Deno.test("a faulty row is refused with its line, its field and the remedy", async () => {
  const good = '{"question":"a?","answer":"1"}\n';
  assertMatch(await refusal("x.jsonl", `${good}\n{"question":`), /^Line 3 of .* is not JSON: write/);
  assertMatch(await refusal("x.jsonl", `${good}[1, 2]`), /^Line 2 of .* holds \[ 1, 2 \]: give an object/);
  assertMatch(await refusal("x.jsonl", '{"answer":"1"}'), /^Line 1 of .* has no "question": give/);
  assertMatch(await refusal("x.jsonl", '{"question":" ","answer":"1"}'), /has no "question"/);
  assertMatch(await refusal("x.jsonl", '{"question":5,"answer":"1"}'), /has 5 as "question"/);
  assertMatch(await refusal("x.jsonl", `${good}{"question":"a?"}`), /^Line 2 of .* has no "answer": give/);
  assertMatch(await refusal("x.jsonl", '{"question":"a?","answer":null}'), /has no "answer"/);
  assertMatch(await refusal("x.jsonl", '{"question":"a?","answer":["1"]}'), /has \[ "1" \] as "answer"/);
  assertMatch(
    await refusal("x.jsonl", '{"question":"a?","answer":"1","original_id":{}}'),
    /has \{\} as "original_id"/,
  );
});

Deno.test("fields that other data sets name otherwise are named with the remedy", async () => {
  const story = await refusal("x.jsonl", '{"Body":"Tom has 3 pens.","Question":"How many?","Answer":3}');
  assertMatch(story, /has no "question": write its "Body" and "Question" together as "question"\.$/);
  assertMatch(
    await refusal("x.jsonl", '{"body":"Tom has 3 pens.","question":"How many?","answer":"3"}'),
    /tells its problem in "body" beside "question": write both together as "question"\.$/,
  );
  assertMatch(
    await refusal("x.jsonl", '{"problem":"1 + 1?","solution":"2"}'),
    /rename its "problem" to "question"\.$/,
  );
  assertMatch(
    await refusal("x.jsonl", '{"question":"1 + 1?","final_answer":"2"}'),
    /rename its "final_answer" to "answer"\.$/,
  );
});

Deno.test("a numeric answer keeps every digit", async () => {
  await withFile(
    "x.jsonl",
    '{"question":"a?","answer":12345678901234567890}\n{"question":"b?","answer":1e-7}',
    async (file) => {
      assertEquals((await loadProblems(file)).map(({ answer }) => answer), ["12345678901234567890", "1e-7"]);
    },
  );
});

Deno.test("an answer without a number is refused with its line", async () => {
  await withFile(
    "x.jsonl",
    '{"question":"a?","answer":"1"}\n\n{"question":"b?","answer":"green"}',
    async (file) => {
      const loaded = await loadProblems(file);
      assertThrows(
        () => requireNumericAnswers(loaded, file),
        InputError,
        `Line 3 of data file "${file}" has "green"`,
      );
    },
  );
});

Deno.test("100 instances of a template split into exactly 52, 8 and 40", () => {
  const all = problems({ a: 100, b: 100, c: 50 });
  const split = splitProblems(all, 3);
  const count = (part: Problem[], template: string) => part.filter((p) => p.templateId === template).length;
  for (const [template, expected] of [["a", [52, 8, 40]], ["b", [52, 8, 40]], ["c", [26, 4, 20]]] as const) {
    assertEquals([split.train, split.validation, split.test].map((part) => count(part, template)), [
      ...expected,
    ]);
  }
  const everyone = [...split.train, ...split.validation, ...split.test];
  assertEquals(idsOf(everyone).toSorted(), idsOf(all).toSorted());
});

Deno.test("a split depends on the seed and not on the order of rows or on other templates", () => {
  const all = problems({ a: 100, b: 100 });
  const split = splitProblems(all, 1);
  assertEquals(splitProblems(all, 1), split);
  assertNotEquals(idsOf(splitProblems(all, 2).test), idsOf(split.test));
  assertEquals(idsOf(splitProblems(all.toReversed(), 1).test).toSorted(), idsOf(split.test).toSorted());
  assertEquals(
    idsOf(splitProblems(all.slice(0, 100), 1).test),
    idsOf(split.test).filter((id) => /^a/.test(`${id}`)),
  );
});

Deno.test("parts keep the order of the file", () => {
  const all = problems({ a: 100 });
  const { train } = splitProblems(all, 5);
  assertEquals(train, all.filter((problem) => train.includes(problem)));
});

Deno.test("small templates still fill all parts they can", () => {
  assertEquals([1, 2, 3, 4, 5, 6, 10].map(sizesOf), [
    [1, 0, 0],
    [1, 0, 1],
    [1, 1, 1],
    [1, 1, 2],
    [2, 1, 2],
    [3, 1, 2],
    [5, 1, 4],
  ]);
});

Deno.test("templates of one or two instances are pooled, so that none of the parts starves", () => {
  const singles = problems(Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`t${index}`, 1])));
  const { train, validation, test } = splitProblems(singles, 0);
  assertEquals([train.length, validation.length, test.length], [52, 8, 40]);
});

Deno.test("a question that stands twice, but for white space, stays in one part, counted and said", async () => {
  const all = problems({ a: 40, b: 40 });
  const again = all.map((problem) => ({
    ...problem,
    id: `${problem.id} again`,
    question: ` ${problem.question.replaceAll(" ", "  ")}`,
    instanceId: `${problem.instanceId} again`,
  }));
  const split = splitProblems([...all, ...again], 3);
  const parts = [split.train, split.validation, split.test];
  const questions = parts.map((part) =>
    new Set(part.map(({ question }) => question.trim().replace(/\s+/g, " ")))
  );
  assertEquals(parts.map((part) => part.length), [42 * 2, 6 * 2, 32 * 2]);
  assertEquals(questions.map((set) => set.size), [42, 6, 32]);
  assertEquals(new Set(questions.flatMap((set) => [...set])).size, 80);
  assertEquals(splitNotices([...all, ...again], "x.jsonl"), [
    "80 of 160 problems in x.jsonl repeat the question of another one; repetitions stay in one part of the split.",
  ]);
  assertEquals(splitNotices(all, "x.jsonl"), []);
  await withFile(
    "x.jsonl",
    '{"question":"a?","answer":"1"}\n{"question":"b?","answer":"2"}',
    async (file) => {
      assertEquals(splitNotices(await loadProblems(file), "x.jsonl"), [
        'x.jsonl names no "original_id", so its 2 problems count as one template.',
      ]);
    },
  );
});

Deno.test("split fractions that do not add up to 1 are refused", () => {
  assertThrows(() => splitProblems([], 0, [0.5, 0.5, 0.5]), InputError, "0.5, 0.5, 0.5");
  assertThrows(() => splitProblems([], 0, [1.5, -0.5, 0]), InputError, "negative");
  assertEquals(splitProblems(problems({ a: 10 }), 0, [0, 0, 1]).test.length, 10);
});

Deno.test("seeded random numbers repeat, differ by seed and are even", () => {
  const draw = (seed: number | string, count: number) => Array.from({ length: count }, seededRandom(seed));
  assertEquals(draw(4, 5), draw(4, 5));
  assertNotEquals(draw(4, 5), draw(5, 5));
  assertNotEquals(draw("4/a", 5), draw("4/b", 5));
  const bins = new Array<number>(16).fill(0);
  for (const value of draw(0, 16_000)) bins[Math.floor(value * 16)]! += 1;
  // The chi-square statistic with 15 degrees of freedom exceeds 37.7 once in a thousand seeds.
  assertLess(bins.reduce((sum, bin) => sum + (bin - 1000) ** 2 / 1000, 0), 37.7);
});

Deno.test("shuffling keeps every item, leaves the input alone and favours no place", () => {
  const items = [0, 1, 2, 3];
  const random = seededRandom(1);
  const firsts = [0, 0, 0, 0];
  for (let round = 0; round < 4000; round++) firsts[shuffled(items, random)[0]!]! += 1;
  assertEquals(shuffled(items, random).toSorted(), items);
  assertEquals(items, [0, 1, 2, 3]);
  assert(firsts.every((count) => Math.abs(count - 1000) < 120), String(firsts));
});
