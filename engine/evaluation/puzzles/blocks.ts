/**
 * Blocks World: n blocks in two stacks are put into one, alternating between the two. The shortest plan has 2n - 3 moves.
 *
 *     Puzzle: Blocks World. Three stacks of blocks, from the bottom: stack 1: A B; stack 2: C; stack 3: nothing. A move takes the
 *     top block of a stack and puts it on top of another stack. Bring all blocks to stack 1 in this order from the bottom: A C B.
 *     Write the plan as a list of moves, [[block, from stack, to stack], ...].
 *     Plan: [[B, 1, 3], [C, 2, 1], [B, 3, 1]]
 */
import { z } from "npm:zod@4.6.7";
import { letters } from "./names.ts";
import { Illegal, type Puzzle } from "./puzzle.ts";

/** Blocks of the stacks in the beginning, and of the first one in the end, from the bottom. */
const heap = z.object({
  size: z.int().min(1),
  stacks: z.array(z.array(z.string())).length(3),
  goal: z.array(z.string().regex(/^[\p{L}\p{N}_]+$/u)),
}).refine(
  ({ size, stacks, goal }) =>
    goal.length === size && new Set(goal).size === size &&
    stacks.flat().sort().join() === goal.toSorted().join(),
  {
    path: ["goal"],
    error: "is not made of the blocks of the stacks, as many as the size",
  },
);
type Heap = z.infer<typeof heap>;

type Stacks = readonly (readonly string[])[];

/** See file comment. */
export const blocks: Puzzle<Heap, Stacks> = {
  name: "blocks",
  title: "Blocks World",
  dial: "blocks",
  smallest: 2,
  largest: 10,
  instances: heap,
  example: instanceOf(["A", "B", "C"]),
  draw: (size, random) => instanceOf(letters(size, random)),
  text: ({ stacks, goal }) =>
    `Puzzle: Blocks World. Three stacks of blocks, from the bottom: ${
      stacks.map((stack, i) => `stack ${i + 1}: ${stack.join(" ") || "nothing"}`).join("; ")
    }. A move takes the top block of a stack and puts it on top of another stack. Bring all blocks to stack 1 in this order from the ` +
    `bottom: ${
      goal.join(" ")
    }. Write the plan as a list of moves, [[block, from stack, to stack], ...].\nPlan:`,
  start: ({ stacks }) => stacks,
  solved: ([first], { goal }) => first!.join() === goal.join(),
  play(state, move) {
    if (move.length !== 3) return new Illegal("a move is a block and two stacks");
    const [block, fromName, toName] = move as [string, string, string];
    const [from, to] = [["1", "2", "3"].indexOf(fromName), ["1", "2", "3"].indexOf(toName)];
    if (from < 0) return new Illegal(`there is no stack ${fromName}`);
    if (to < 0) return new Illegal(`there is no stack ${toName}`);
    if (state[from]!.at(-1) !== block) {
      return new Illegal(`block ${block} is not on top of stack ${fromName}`);
    }
    if (from === to) return new Illegal(`block ${block} stays on stack ${fromName}`);
    return state.map((stack, i) => i === from ? stack.slice(0, -1) : i === to ? [...stack, block] : stack);
  },
  moves: (state) =>
    state.flatMap((stack, from) =>
      stack.length === 0
        ? []
        : state.flatMap((_, to) => to === from ? [] : [[stack.at(-1)!, `${from + 1}`, `${to + 1}`]])
    ),
  key: (state) => state.map((stack) => stack.join(",")).join("|"),
  // On the first stack, what lies above a wrong block leaves and comes back; every other block comes.
  atLeast([first], { size, goal }) {
    const wrong = first!.findIndex((block, i) => block !== goal[i]);
    return size - first!.length + 2 * (wrong < 0 ? 0 : first!.length - wrong);
  },
};

/** Half of the blocks in each of two stacks. */
function instanceOf(names: readonly string[]): Heap {
  const half = Math.ceil(names.length / 2);
  const [a, b] = [names.slice(0, half), names.slice(half)];
  return {
    size: names.length,
    stacks: [a, b, []],
    goal: a.flatMap((block, i) => i < b.length ? [block, b[i]!] : [block]),
  };
}
