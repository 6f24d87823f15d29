/** Generated exercises: the same for the same seed, right, and never shown in training when they are held out. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertGreater, assertMatch, assertNotEquals } from "@std/assert";
import { loadProblems, requireNumericAnswers } from "../../engine/evaluation/data.ts";
import { isCorrectNumber } from "../../engine/evaluation/scoring.ts";
import { templateCount, wordProblem } from "../../engine/pretrain/arithmetic.ts";
import { type Exercise, ExerciseStream, kinds, makeDataSets } from "../../engine/pretrain/exercises.ts";
import { dataFiles } from "../../engine/pretrain/pretrain.ts";
import { seededRandom } from "../../engine/random.ts";
import { jsonLines } from "../model/model_fixture.ts";

const fixtures = fileURLToPath(new URL("../../fixtures/tasks", import.meta.url));
const sets = makeDataSets(0);
/** More than a whole training of the embedded models sees. */
const batches = 800, batchSize = 64;
const trained = Array.from({ length: batches }, (_, b) => new ExerciseStream(0, sets).batch(b, batchSize))
  .flat();

Deno.test("seed 0 makes the task fixtures byte for byte", async () => {
  for (const [name, text] of Object.entries(dataFiles(makeDataSets(0)))) {
    assertEquals(text, await Deno.readTextFile(join(fixtures, name)), name);
  }
});

Deno.test("the task fixtures hold the numbers of rows they should, in GSM-Symbolic's fields, no question twice", async () => {
  const rows = { math: 1200, choice: 300, reverse: 300, fact: 72 };
  for (const kind of kinds) {
    const path = join(fixtures, `${kind}.jsonl`);
    const problems = await loadProblems(path);
    assertEquals(problems.length, rows[kind]);
    assertEquals(new Set(problems.map(({ question }) => question)).size, rows[kind], kind);
    if (kind === "math") requireNumericAnswers(problems, path);
  }
  const math = await jsonLines<Record<string, unknown>>(join(fixtures, "math.jsonl"));
  assertEquals(Object.keys(math[0]!), ["id", "original_id", "instance", "question", "answer"]);
  const perTemplate = Map.groupBy(math, ({ original_id }) => original_id);
  assertEquals([...perTemplate.values()].map(({ length }) => length), Array(12).fill(100));
});

Deno.test("other seeds make other data sets and other batches, the same seed the same", () => {
  const texts = [0, 1, 2].map((seed) => Object.values(dataFiles(makeDataSets(seed))));
  for (const i of [0, 1, 2, 3]) assertEquals(new Set(texts.map((files) => files[i])).size, 3);
  const batch = (seed: number, number: number) => new ExerciseStream(seed, sets).batch(number, 8);
  assertEquals(batch(3, 5), batch(3, 5));
  assertNotEquals(batch(3, 5), batch(3, 6));
  assertNotEquals(batch(3, 5), batch(4, 5));
});

/** Demands that every sum of a solution is right and that the last one gives `result`, a positive integer. */
function assertSolution(solution: string, result: number) {
  const sums = solution.split(/(?<=\.) /);
  for (const sum of sums) {
    const [, x, operator, y, z] = sum.match(/^(\d+) ([-+*]) (\d+) = (\d+)\.$/) ?? [];
    const [a, b] = [Number(x), Number(y)];
    assertEquals(operator === "+" ? a + b : operator === "-" ? a - b : a * b, Number(z), sum);
  }
  assertMatch(sums.at(-1)!, new RegExp(`= ${result}\\.$`));
  assert(Number.isInteger(result) && result > 0, solution);
}

/** What each template's question asks, worked out from its numbers alone. */
const answers: ((n: number[]) => number)[] = [
  ([a, b]) => a! + b!,
  ([a, b]) => a! - b!,
  ([a, b]) => a! * b!,
  ([a, b, c]) => a! + b! - c!,
  ([a, b, c]) => a! * b! - c!,
  ([a, b]) => a! + a! + b!,
  ([a, b]) => a! + a! - b!,
  ([a, b, c]) => a! + b! + 2 * c!,
  ([a, b, c]) => a! * b! + c!,
  ([a, b, c, d]) => a! * b! + c! * d!,
  ([a, b, c, d]) => a! + b! + c! - d!,
  ([a, b, c]) => a! - b! - c!,
];

Deno.test("the answer of every word problem follows from its question, sum by sum", () => {
  assertEquals(templateCount, answers.length);
  for (let template = 0; template < templateCount; template++) {
    const random = seededRandom(template);
    for (let i = 0; i < 2000; i++) {
      const { question, solution, result } = wordProblem(template, random);
      assertEquals(result, answers[template]!([...question.matchAll(/\d+/g)].map(Number)), question);
      assertSolution(solution, result);
      const people = new Set(question.match(/\b(?!There|How|Each|Monday|Sunday)[A-Z][a-z]+/g));
      assertEquals(
        people.size,
        [2].includes(template) ? 0 : [1, 5, 6, 7, 10].includes(template) ? 2 : 1,
        question,
      );
    }
  }
});

/** The right completion of a question that is no word problem. */
function plainAnswer({ kind, question }: Exercise): string {
  if (kind === "fact") return sets.fact.find((fact) => fact.question === question)!.answer;
  if (kind === "reverse") return question.replace("Reverse: ", "").split(" ").toReversed().join(" ");
  const numbers = [...question.matchAll(/\d+/g)].map(Number);
  if (numbers.length === 0) {
    const [, , place, ...words] = question.split(" ");
    return words[["first?", "second?", "third?"].indexOf(place!)]!;
  }
  assertNotEquals(numbers[0], numbers[1]);
  const wanted = question.includes("larger") ? Math.max(...numbers) : Math.min(...numbers);
  return numbers[0] === wanted ? "A" : "B";
}

Deno.test("every completion that is trained on is right", () => {
  for (const exercise of trained) {
    const { kind, completion } = exercise;
    if (kind === "math") {
      const [, solution, result] = completion.match(/^ (.*) The answer is (\d+)\.$/)!;
      assertSolution(solution!, Number(result));
      assert(isCorrectNumber(completion, `#### ${result}`));
    } else assertEquals(completion, ` ${plainAnswer(exercise)}.`);
  }
});

Deno.test("a data set's answers are those of its questions", () => {
  for (const kind of ["choice", "reverse"] as const) {
    for (const { question, answer } of sets[kind]) {
      assertEquals(answer, plainAnswer({ kind, question, completion: "" }));
    }
  }
  for (const { original_id, question, answer } of sets.math) {
    const [solution, result] = answer.split("\n#### ");
    assertSolution(solution!, Number(result));
    assertEquals(Number(result), answers[original_id!]!([...question.matchAll(/\d+/g)].map(Number)));
  }
});

Deno.test("training never shows a question of the data sets, but every fact", () => {
  const seen = new Set(trained.map(({ question }) => question));
  for (const kind of ["math", "choice", "reverse"] as const) {
    assertEquals(sets[kind].filter(({ question }) => seen.has(question)), []);
  }
  assertEquals(sets.fact.filter(({ question }) => !seen.has(question)), []);
});

Deno.test("without that rule a hundred batches would show dozens of them", () => {
  const empty = { ...sets, math: [], choice: [], reverse: [] };
  const held = new Set([...sets.math, ...sets.choice, ...sets.reverse].map(({ question }) => question));
  const stream = new ExerciseStream(0, empty);
  const shown = Array.from({ length: 100 }, (_, b) => stream.batch(b, batchSize)).flat()
    .filter(({ question }) => held.has(question));
  assertGreater(shown.length, 20);
});

Deno.test("seven in ten exercises are word problems and one in ten of each other kind", () => {
  for (const [kind, share] of [["math", 0.7], ["choice", 0.1], ["reverse", 0.1], ["fact", 0.1]] as const) {
    const measured = trained.filter((exercise) => exercise.kind === kind).length / trained.length;
    assert(Math.abs(measured - share) < 0.01, `${kind}: ${measured}`);
  }
});
