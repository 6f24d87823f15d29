/** Each puzzle: lengths of shortest plans against formulas and an exhaustive search, its rules, and which instances are asked. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { blocks } from "../../../engine/evaluation/puzzles/blocks.ts";
import { puzzleRows, puzzles } from "../../../engine/evaluation/puzzles/catalog.ts";
import { checkers } from "../../../engine/evaluation/puzzles/checkers.ts";
import { hanoi } from "../../../engine/evaluation/puzzles/hanoi.ts";
import {
  Illegal,
  judge,
  planText,
  type Puzzle,
  type PuzzleInstance,
} from "../../../engine/evaluation/puzzles/puzzle.ts";
import { river } from "../../../engine/evaluation/puzzles/river.ts";
import { shortestPlan } from "../../../engine/evaluation/puzzles/search.ts";
import { seededRandom } from "../../../engine/random.ts";

const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Moves to the goal by layers of states, without a bound and without taking any two states for one that do not look the same. */
function layers<I extends PuzzleInstance, S>(puzzle: Puzzle<I, S>, instance: I, show: (state: S) => string) {
  const start = puzzle.start(instance);
  const seen = new Set([show(start)]);
  let layer = [start];
  for (let depth = 0; layer.length > 0; depth++) {
    if (layer.some((state) => puzzle.solved(state, instance))) return depth;
    layer = layer.flatMap((state) =>
      puzzle.moves(state, instance).flatMap((move) => {
        const next = puzzle.play(state, move, instance);
        if (next instanceof Illegal || seen.has(show(next))) return [];
        seen.add(show(next));
        return [next];
      })
    );
  }
}

Deno.test("shortest plans are as long as the formulas say, and play out", () => {
  const formulas = {
    hanoi: (n: number) => 2 ** n - 1,
    checkers: (n: number) => (n + 1) ** 2 - 1,
    blocks: (n: number) => 2 * n - 3,
    river: (n: number) => [1, 5, 11, 9, 11][n - 1],
  };
  for (const puzzle of puzzles.values()) {
    for (const size of upTo(puzzle.smallest, puzzle.largest)) {
      const instance = puzzle.draw(size, seededRandom(size));
      const plan = shortestPlan(puzzle, instance);
      const expected = formulas[puzzle.name as keyof typeof formulas](size);
      assertEquals(plan?.length, expected, `${puzzle.title} ${size}`);
      if (plan) {
        assertEquals(judge(puzzle, instance, plan), { solved: true, firstWrong: null, legal: expected! });
      }
    }
  }
});

Deno.test("a search of all states without bounds agrees, for sizes that it can search", () => {
  const one = <I extends PuzzleInstance, S>(
    puzzle: Puzzle<I, S>,
    sizes: number[],
    show: (state: S) => string = JSON.stringify,
  ) =>
    sizes.forEach((size) => {
      const instance = puzzle.draw(size, seededRandom(size));
      const name = `${puzzle.title} ${size}`;
      assertEquals(layers(puzzle, instance, show), shortestPlan(puzzle, instance)?.length, name);
    });
  one(hanoi, upTo(1, 6));
  one(checkers, upTo(1, 5));
  one(blocks, upTo(2, 5));
  // Six pairs and a boat of three: no plan, whichever pair is which.
  one(river, upTo(1, 6), ({ left, boatLeft }) => `${[...left].sort()} ${boatLeft}`);
});

Deno.test("bounds never exceed the moves left, and fall by at most one a move", () => {
  for (const puzzle of [...puzzles.values()].filter(({ atLeast }) => atLeast)) {
    const instance = puzzle.draw(4, seededRandom(1));
    const random = seededRandom(2);
    let state = puzzle.start(instance);
    for (let step = 0; step < 200; step++) {
      const bound = puzzle.atLeast!(state, instance);
      const from = state;
      const left = shortestPlan({ ...puzzle, start: () => from }, instance)?.length ?? Infinity;
      assert(bound <= left, `${puzzle.title}: ${bound} > ${left}`);
      const next = puzzle.moves(state, instance).map((move) => puzzle.play(state, move, instance))
        .filter((one) => !(one instanceof Illegal));
      for (const one of next) assert(puzzle.atLeast!(one, instance) >= bound - 1);
      state = next.length > 0 ? next[Math.floor(random() * next.length)] : puzzle.start(instance);
    }
  }
});

Deno.test("each file opens with its worked example, as prompts show it", async () => {
  for (const puzzle of puzzles.values()) {
    const source = await Deno.readTextFile(
      new URL(`../../../engine/evaluation/puzzles/${puzzle.name}.ts`, import.meta.url),
    );
    const [opening] = source.split("*/");
    const shown = `${puzzle.text(puzzle.example)} ${planText(shortestPlan(puzzle, puzzle.example)!)}`;
    assertStringIncludes(opening!.replace(/\s+\*?\s*/g, " "), shown.replaceAll("\n", " "));
  }
});

Deno.test("the first illegal move is found, and said in words", () => {
  const wrong = <I extends PuzzleInstance, S>(puzzle: Puzzle<I, S>, plan: string) => {
    const moves = plan.split("; ").map((move) => move.split(" ").filter(Boolean));
    const { firstWrong, why, solved } = judge(puzzle, puzzle.example, moves);
    assertEquals(solved, false);
    return [firstWrong, why];
  };
  assertEquals(wrong(hanoi, "1 A B; 2 A B"), [2, "disk 1 on peg B is smaller than disk 2"]);
  assertEquals(wrong(hanoi, "2 A C"), [1, "disk 2 is not on top of peg A"]);
  assertEquals(wrong(hanoi, "1 A A"), [1, "disk 1 stays on peg A"]);
  assertEquals(wrong(hanoi, "3 A B"), [1, "there is no disk 3"]);
  assertEquals(wrong(hanoi, "1 A D"), [1, "there is no peg D"]);
  assertEquals(wrong(hanoi, "1 A"), [1, "a move is a disk and two pegs"]);
  assertEquals(wrong(hanoi, "1 A B; 2 A C"), [null, "the goal is not reached"]);
  assertEquals(wrong(checkers, "R 0 1; R 1 0"), [2, "checker R goes back"]);
  assertEquals(wrong(checkers, "B 0 1"), [1, "cell 0 holds no B"]);
  assertEquals(wrong(checkers, "R 0 2"), [1, "cell 2 is not empty"]);
  assertEquals(wrong(checkers, "R 0 3"), [1, "there is no cell 3"]);
  assertEquals(wrong(checkers, "G 0 1"), [1, "there is no checker G"]);
  assertEquals(wrong(river, "A1"), [1, "on the left bank actor a1 is with another's agent only"]);
  assertEquals(wrong(river, "a1 A2"), [1, "in the boat actor a1 is with another's agent only"]);
  assertEquals(wrong(river, "a1; a2"), [2, "a2 is not on the right bank"]);
  assertEquals(wrong(river, "a1 a1"), [1, "someone is in the boat twice"]);
  assertEquals(wrong(river, "a1 A1 a2"), [1, "the boat holds 2, not 3"]);
  assertEquals(wrong(river, "a3"), [1, "there is no a3"]);
  assertEquals(wrong(river, "a1; "), [2, "the boat is empty"]);
  assertEquals(wrong(river, "a1 a2; a1; a1"), [null, "the goal is not reached"]);
  assertEquals(wrong(blocks, "A 1 3"), [1, "block A is not on top of stack 1"]);
  assertEquals(wrong(blocks, "B 1 4"), [1, "there is no stack 4"]);
  const jump = { size: 2, colours: ["R", "B"] };
  assertEquals(
    judge(checkers, jump, [["R", "0", "2"]]).why,
    "checker R jumps over no checker of the other colour",
  );
});

Deno.test("a plan is judged by where it ends, not by what it passes", () => {
  const there = shortestPlan(hanoi, hanoi.example)!;
  assertEquals(judge(hanoi, hanoi.example, [...there, ["1", "C", "B"]]).solved, false);
  assertEquals(judge(hanoi, hanoi.example, [...there, ["1", "C", "B"], ["1", "B", "C"]]).solved, true);
  assertEquals(judge(hanoi, hanoi.example, []), {
    solved: false,
    firstWrong: null,
    legal: 0,
    why: "the goal is not reached",
  });
});

Deno.test("instances are distinct, none is the worked example, and they depend on seed and size alone", () => {
  const choices = { sizes: [2, 3], instances: 30, seed: 7 };
  for (const puzzle of puzzles.values()) {
    const { rows, said } = puzzleRows(puzzle, choices);
    assertEquals(said, []);
    assertEquals(rows.length, 60);
    assertEquals(rows.slice(0, 3).map(({ size, instance }) => [size, instance]), [[2, 0], [3, 0], [2, 1]]);
    const setups = new Set(rows.map(({ setup }) => JSON.stringify(setup)));
    assertEquals(setups.size, 60);
    assert(!setups.has(JSON.stringify(puzzle.example)));
    for (const { setup, plan, minimum_moves } of rows) {
      assertEquals([judge(puzzle, setup, plan).solved, plan.length], [true, minimum_moves]);
    }
    const fewer = puzzleRows(puzzle, { sizes: [3], instances: 5, seed: 7 }).rows;
    assertEquals(fewer, rows.filter(({ size }) => size === 3).slice(0, 5));
    assert(JSON.stringify(puzzleRows(puzzle, { ...choices, seed: 8 }).rows) !== JSON.stringify(rows));
  }
});

Deno.test("sizes without a solution are left out and said, and what cannot be asked is refused", () => {
  const { rows, said } = puzzleRows(river, { sizes: [5, 6, 7], instances: 1, seed: 0 });
  assertEquals(rows.map(({ size }) => size), [5]);
  assertEquals(
    said,
    [6, 7].map((n) =>
      `River Crossing of ${n} pairs and a boat of 3 has no solution, as a search of all its states shows; it is left out.`
    ),
  );
  assertEquals(puzzleRows(blocks, { sizes: [1, 2], instances: 1, seed: 0 }).said, [
    "Blocks World begins with 2 blocks, not 1; it is left out.",
  ]);
  const refused = (puzzle: Parameters<typeof puzzleRows>[0], sizes: number[], instances: number) =>
    assertThrows(() => puzzleRows(puzzle, { sizes, instances, seed: 0 }), InputError);
  assertEquals(refused(river, [6], 1).message, said[0]!.replace("it is left out", "name one that there is"));
  assertEquals(refused(hanoi, [3, 11], 1).settings, ["sizes"]);
  assertEquals(refused(hanoi, [], 1).message, "No size is named; name one that there is.");
  // Of the numbers 1 to 99 one names the pair.
  const many = refused(river, [1], 100);
  assertEquals(
    many.message,
    "River Crossing of size 1 has no more than 99 instances to draw; ask for fewer.",
  );
  assertEquals(many.settings, ["instances"]);
});
