/** Fresh puzzles: of the kinds there are, in the same words, never one that is known. */
import { join } from "node:path";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Problem } from "../../../engine/evaluation/data.ts";
import { puzzles } from "../../../engine/evaluation/puzzles/catalog.ts";
import { arePuzzles, freshPuzzles } from "../../../engine/evaluation/puzzles/fresh.ts";
import { puzzleData } from "../../../engine/evaluation/puzzles/problem.ts";
import { judge } from "../../../engine/evaluation/puzzles/puzzle.ts";
import { shortestPlan } from "../../../engine/evaluation/puzzles/search.ts";
import { roundProblems } from "../../../engine/run/rounds.ts";
import { loadData } from "../../../engine/run/stages.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";
import { runSettings } from "../../../engine/run/settings/run.ts";

const problemsOf = (name: string, sizes: number[], instances: number): Problem[] =>
  puzzleData(puzzles.get(name)!, { sizes, instances, seed: 0 }).rows.map((row, id) => ({
    id,
    question: row.question,
    answer: row.answer,
    templateId: row.original_id,
    instanceId: `${row.instance}`,
    puzzle: { name: row.puzzle, setup: row.setup },
  }));

Deno.test("fresh puzzles are solvable, of every size alike, and none that is known", () => {
  for (const name of puzzles.keys()) {
    const known = problemsOf(name, [2, 3], 6);
    assert(arePuzzles(known));
    const fresh = freshPuzzles(known, known, { count: 10, name: "round 2", seed: 0 });
    const questions = new Set([...known, ...fresh].map(({ question }) => question));
    assertEquals(questions.size, known.length + fresh.length, name);
    assertEquals(fresh.length, 10);
    assertEquals(fresh.filter(({ templateId }) => templateId === `${name} 2`).length, 5);
    for (const { puzzle } of fresh) {
      const rules = puzzles.get(name)!;
      const plan = shortestPlan(rules, puzzle!.setup)!;
      assert(judge(rules, puzzle!.setup, plan).solved);
    }
    assert(arePuzzles(fresh));
    assertEquals(freshPuzzles(known, known, { count: 10, name: "round 2", seed: 0 }), fresh);
    assertNotEquals(freshPuzzles(known, known, { count: 10, name: "round 3", seed: 0 }), fresh);
  }
});

Deno.test("rounds of puzzles have fresh ones, those in other words their own again", async () => {
  const settings = await runSettings({
    preset: "paper",
    data: { file: "puzzles.jsonl" },
    rounds: { count: 2, problems: 4 },
    evaluation: { abilities: {} },
  });
  const train = problemsOf("hanoi", [2], 4);
  const [validation, test] = [problemsOf("hanoi", [2], 6).slice(4, 5), problemsOf("hanoi", [2], 6).slice(5)];
  const split = { train, validation, test };
  const known = new Set(Object.values(split).flat().map(({ question }) => question));
  const fresh = await roundProblems({ settings, split }, 2);
  assertEquals([fresh.length, fresh.filter(({ question }) => known.has(question)).length], [4, 0]);
  const reworded = train.map((problem) => ({ ...problem, question: `Please: ${problem.question}` }));
  const again = await roundProblems({ settings, split: { ...split, train: reworded } }, 2);
  assert(again.every(({ question }) => question.startsWith("Please: ")));
});

Deno.test("that rounds of puzzles have none fresh is said", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "puzzles.jsonl");
  const { rows } = puzzleData(puzzles.get("hanoi")!, { sizes: [2], instances: 8, seed: 0 });
  const saidOf = async (change: (question: string) => string) => {
    const text = rows.map((row) => JSON.stringify({ ...row, question: change(row.question) })).join("\n");
    await Deno.writeTextFile(file, text);
    const settings = await runSettings({
      preset: "paper",
      data: { file },
      prompt: { shots: "none" },
      rounds: { count: 2 },
      evaluation: { abilities: {} },
    });
    const said: string[] = [];
    await loadData(settings, (sentence) => said.push(sentence));
    return said.filter((sentence) => sentence.startsWith("Rounds trace training problems again")).length;
  };
  assertEquals(await saidOf((question) => question), 0);
  assertEquals(await saidOf((question) => `Please: ${question}`), 1);
});
