/** Fresh puzzles: of the kinds there are, in the same words, never one that is known. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Problem } from "../../../engine/evaluation/data.ts";
import { puzzles } from "../../../engine/evaluation/puzzles/catalog.ts";
import { arePuzzles, freshPuzzles } from "../../../engine/evaluation/puzzles/fresh.ts";
import { puzzleData } from "../../../engine/evaluation/puzzles/problem.ts";
import { judge } from "../../../engine/evaluation/puzzles/puzzle.ts";
import { shortestPlan } from "../../../engine/evaluation/puzzles/search.ts";
import { roundProblems } from "../../../engine/run/rounds.ts";
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
