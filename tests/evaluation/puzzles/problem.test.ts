/** Puzzles as problems of data files: any plan that solves an instance is right, and wrong instances are refused. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { loadCommand } from "../../../cli/commands.ts";
import { InputError } from "../../../engine/errors.ts";
import { loadProblems, requireNumericAnswers } from "../../../engine/evaluation/data.ts";
import { puzzles } from "../../../engine/evaluation/puzzles/catalog.ts";
import { puzzleData, type PuzzleDataRow } from "../../../engine/evaluation/puzzles/problem.ts";
import { shotsNotices, workedExamples } from "../../../engine/evaluation/shots.ts";
import { isCorrect } from "../../../engine/evaluation/scorers.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";

const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row) + "\n").join("");

Deno.test("what the data command writes of a puzzle is read as problems that its rules score", async () => {
  await using folder = await temporaryFolder();
  const data = await loadCommand("data");
  for (const name of puzzles.keys()) {
    const file = join(folder.path, `${name}.jsonl`);
    const { run } = await data.parse(
      ["--puzzle", name, "--sizes", "2-3", "--instances", "4", "--quiet", "--out", file],
      "",
    );
    assertEquals(await run(), 0);
    const problems = await loadProblems(file);
    assertEquals(
      problems.map(({ templateId, instanceId }) => [templateId, instanceId]),
      [2, 3].flatMap((size) => ["0", "1", "2", "3"].map((instance) => [`${name} ${size}`, instance])),
    );
    requireNumericAnswers(problems, file);
    for (const [i, problem] of problems.entries()) {
      // Of instances that differ in names another's plan is wrong.
      const other = problems[i ^ 1]!.answer;
      const right = (completion: string) => isCorrect(completion, problem, "number", {});
      assertEquals(await right(` ${problem.answer}`), true);
      assertEquals(await right(`<think>${other}</think> moves = ${problem.answer}.`), true);
      assertEquals(await right(`<think>${problem.answer}</think> ${other}`), false);
      assertEquals(await right(problem.answer.slice(0, -1)), false);
    }
  }
});

Deno.test("a longer plan is as right as the shortest", async () => {
  const [row] = puzzleData(puzzles.get("hanoi")!, { sizes: [1], instances: 1, seed: 0 }).rows;
  const { pegs: [first, spare, last] } = row!.setup as PuzzleDataRow["setup"] & { pegs: string[] };
  const problem = {
    id: 0,
    question: row!.question,
    answer: row!.answer,
    templateId: "all",
    instanceId: "0",
    puzzle: { name: "hanoi", setup: row!.setup },
  };
  const right = (completion: string) => isCorrect(completion, problem, "exact", {});
  assertEquals(await right(`[[1, ${first}, ${last}]]`), true);
  assertEquals(await right(`[[1, ${first}, ${spare}], [1, ${spare}, ${last}]]`), true);
  assertEquals(await right(`[[1, ${first}, ${spare}]]`), false);
});

Deno.test("rows that name no puzzle of ours, or no instance of it, are refused; other data sets' fields are left alone", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "rows.jsonl");
  const load = async (fields: Record<string, unknown>) => {
    await Deno.writeTextFile(file, lines([{ question: "Q?", answer: "3", ...fields }]));
    return await loadProblems(file);
  };
  const refused = async (puzzle: string, setup: unknown) =>
    (await assertRejects(() => load({ puzzle, setup }), InputError)).message.replace(
      `Line 1 of data file "${file}" has `,
      "",
    );
  assertEquals((await load({ puzzle: "A riddle" }))[0]!.puzzle, undefined);
  assertEquals((await load({ setup: "A room." }))[0]!.puzzle, undefined);
  assertEquals(
    await refused("sudoku", {}),
    '"sudoku" as "puzzle": name one of hanoi, checkers, river, blocks.',
  );
  const wrong = 'a "setup" that is no instance of';
  for (
    const [puzzle, setup, message] of [
      ["hanoi", { size: 2, pegs: ["A", "B", "B"] }, `${wrong} Tower of Hanoi: "pegs" names something twice.`],
      [
        "checkers",
        { size: 1, colours: ["R", "_"] },
        `${wrong} Checker Jumping: "colours" names the empty cell.`,
      ],
      [
        "river",
        { size: 2, pairs: [1], boat: 2 },
        `${wrong} River Crossing: "pairs" are not as many as the size.`,
      ],
      [
        "blocks",
        { size: 2, stacks: [["A"], ["B"], []], goal: ["A", "C"] },
        `${wrong} Blocks World: "goal" is not made of the blocks of the stacks, as many as the size.`,
      ],
    ] as const
  ) assertEquals(await refused(puzzle, setup), message);
});

Deno.test("puzzles after worked examples of arithmetic are said", () => {
  const problem = { id: 0, question: "Q?", answer: "3", templateId: "all", instanceId: "0" };
  const puzzle = { ...problem, puzzle: { name: "hanoi", setup: { size: 1 } } };
  assertEquals(shotsNotices([puzzle], workedExamples()).length, 1);
  assertEquals(shotsNotices([puzzle], []), []);
  assertEquals(shotsNotices([problem], workedExamples()), []);
});

Deno.test("data asks for template files or a puzzle, and for where to write", async () => {
  const data = await loadCommand("data");
  const refused = async (...args: string[]) => {
    const { run } = await data.parse(args, "");
    return (await assertRejects(run, InputError)).message;
  };
  assertEquals(await refused("--out", "x"), "Name template files or a puzzle, one of the two.");
  assertEquals(
    await refused("--puzzle", "hanoi", "--templates", "x"),
    "Name template files or a puzzle, one of the two.",
  );
  assertEquals(await refused("--puzzle", "hanoi"), "Say which file to write.");
  assertEquals(await refused("--templates", "x", "--sizes", "1"), "Sizes are those of a puzzle; name one.");
});
