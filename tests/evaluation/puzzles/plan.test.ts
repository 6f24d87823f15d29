/** Reading plans from completions, and what becomes of them. */
import { assertEquals } from "@std/assert";
import { hanoi } from "../../../engine/evaluation/puzzles/hanoi.ts";
import { readPlan } from "../../../engine/evaluation/puzzles/plan.ts";
import { planText } from "../../../engine/evaluation/puzzles/puzzle.ts";
import { judgePlan } from "../../../engine/evaluation/puzzles/task.ts";

const read = (text: string) => {
  const plan = readPlan(text);
  return plan && [planText(plan.moves), plan.closed];
};

Deno.test("a plan is found in whatever form of list it is written", () => {
  const plan = ["[[1, A, C], [2, A, B]]", true];
  assertEquals(read(" [[1, A, C], [2, A, B]]"), plan);
  assertEquals(read("moves = [[1, 'A', 'C'],\n  [2, \"A\", \"B\"],  # then the second\n]"), plan);
  assertEquals(read("```python\nmoves = [(1, 'A', 'C'), (2, 'A', 'B')]\n```\nDone."), plan);
  assertEquals(read("[[1,A,C][2,A,B]]"), plan);
  assertEquals(read("\\boxed{[[1, “A”, “C”], [2, `A`, `B`]]}"), plan);
  assertEquals(
    read("A move is [disk, from, to] (see above), f() too. So: [[1, A, C], [2, A, B]]. It has 2 moves."),
    plan,
  );
  assertEquals(read('{"moves": [["1", "A", "C"], ["2", "A", "B"]]}'), plan);
  assertEquals(read("[[a1, A1], [A1]]"), ["[[a1, A1], [A1]]", true]);
});

Deno.test("the last plan counts, and none inside of thinking", () => {
  assertEquals(read("First [[1, A, B]], no: [[1, A, C]]."), ["[[1, A, C]]", true]);
  assertEquals(read("<think>[[1, A, B]]</think>[[1, A, C]]"), ["[[1, A, C]]", true]);
  assertEquals(read("<think>[[1, A, B]]</think> I give up."), undefined);
  assertEquals(read("<think>[[1, A, B]] and so on"), undefined);
  assertEquals(readPlan("[[1, A, B]]", { beginsThinking: true }), undefined);
  assertEquals(read("Disk 1 to C. []"), undefined);
  assertEquals(read("[1, A, C], [2, A, B]"), undefined);
});

Deno.test("of a plan without an end the whole moves are read", () => {
  assertEquals(read("[[1, A, C], [2, A, B], [1, C"), ["[[1, A, C], [2, A, B]]", false]);
  assertEquals(read("[[1, A, C], [2, A, B"), ["[[1, A, C]]", false]);
  assertEquals(read("[[1, A"), undefined);
});

Deno.test("what became of a plan is told apart, want of tokens from error", () => {
  const outcome = (text: string, atLimit: boolean) => {
    const { record, correct } = judgePlan(hanoi, { setup: hanoi.example }, { text, tokens: 9, atLimit });
    assertEquals(correct, record.outcome === "solved");
    assertEquals(record.fault === null, correct);
    assertEquals(record.tokens, 9);
    return [record.outcome, record.moves, record.legal_moves, record.first_wrong_move];
  };
  const plan = "[[1, A, B], [2, A, C], [1, B, C]";
  assertEquals(outcome(`${plan}]`, false), ["solved", 3, 3, null]);
  assertEquals(outcome(`${plan}] and then I think that`, true), ["solved", 3, 3, null]);
  assertEquals(outcome(plan, false), ["solved", 3, 3, null]); // it forgot the bracket
  assertEquals(outcome(plan, true), ["cut_off", 3, 3, null]);
  assertEquals(outcome("[[1, A, B], [2, A, C]", true), ["cut_off", 2, 2, null]);
  assertEquals(outcome("[[1, A, B], [2, A, C]]", true), ["goal_not_reached", 2, 2, null]);
  assertEquals(outcome("[[1, A, B], [2, A, B], [1", true), ["illegal_move", 2, 1, 2]);
  assertEquals(outcome("<think>Let me see", true), ["cut_off", 0, 0, null]);
  assertEquals(outcome("<think>Let me see", false), ["no_plan", 0, 0, null]);
  assertEquals(outcome("No.", false), ["no_plan", 0, 0, null]);
});
