/**
 * Checker Jumping: n checkers of one colour and n of another face each other in a row with one empty cell between, and change sides.
 * None goes back. The shortest plan has (n + 1)^2 - 1 moves.
 *
 *     Puzzle: Checker Jumping. A row of 3 cells, numbered from 0, holds R _ B; _ is empty. Checkers R go right only, checkers B go
 *     left only. A move slides a checker into the empty cell next to it, or jumps over one checker of the other colour into the
 *     empty cell. Bring all checkers to the other side: B _ R. Write the plan as a list of moves, [[checker, from cell, to cell],
 *     ...].
 *     Plan: [[B, 2, 1], [R, 0, 2], [B, 1, 0]]
 */
import { z } from "npm:zod@4.6.7";
import { letters, words } from "./names.ts";
import { Illegal, type Puzzle } from "./puzzle.ts";

const empty = "_";

/** Names of the colours: of those that begin at the left and those that begin at the right. */
const row = z.object({
  size: z.int().min(1),
  colours: words(2).refine((names) => !names.includes(empty), "names the empty cell"),
});
type Row = z.infer<typeof row>;

/** See file comment; a state is the content of each cell. */
export const checkers: Puzzle<Row, readonly string[]> = {
  name: "checkers",
  title: "Checker Jumping",
  dial: "checkers of each colour",
  smallest: 1,
  largest: 10,
  instances: row,
  example: { size: 1, colours: ["R", "B"] },
  draw: (size, random) => ({ size, colours: letters(2, random) }),
  text(instance) {
    const [left, right] = instance.colours;
    return `Puzzle: Checker Jumping. A row of ${2 * instance.size + 1} cells, numbered from 0, holds ${
      cells(instance).join(" ")
    }; ${empty} is empty. Checkers ${left} go right only, checkers ${right} go left only. A move slides a checker into the empty ` +
      `cell next to it, or jumps over one checker of the other colour into the empty cell. Bring all checkers to the other side: ${
        cells(instance).reverse().join(" ")
      }. Write the plan as a list of moves, [[checker, from cell, to cell], ...].\nPlan:`;
  },
  start: cells,
  solved: (state, instance) => state.join() === cells(instance).reverse().join(),
  play(state, move, { colours }) {
    if (move.length !== 3) return new Illegal("a move is a checker and two cells");
    const [colour, fromText, toText] = move as [string, string, string];
    const side = colours.indexOf(colour);
    if (side < 0) return new Illegal(`there is no checker ${colour}`);
    const cell = (text: string) =>
      /^\d+$/.test(text) && Number(text) < state.length ? Number(text) : undefined;
    const [from, to] = [cell(fromText), cell(toText)];
    if (from === undefined) return new Illegal(`there is no cell ${fromText}`);
    if (to === undefined) return new Illegal(`there is no cell ${toText}`);
    if (state[from] !== colour) return new Illegal(`cell ${from} holds no ${colour}`);
    if (state[to] !== empty) return new Illegal(`cell ${to} is not empty`);
    const step = side === 0 ? to - from : from - to;
    if (step < 0) return new Illegal(`checker ${colour} goes back`);
    if (step > 2) return new Illegal(`checker ${colour} goes ${step} cells`);
    if (step === 2 && state[(from + to) / 2] !== colours[1 - side]) {
      return new Illegal(`checker ${colour} jumps over no checker of the other colour`);
    }
    return state.map((content, i) => i === from ? empty : i === to ? colour : content);
  },
  moves(state) {
    const to = state.indexOf(empty);
    return [-2, -1, 1, 2].map((step) => to + step).filter((from) => state[from] !== undefined)
      .map((from) => [state[from]!, `${from}`, `${to}`]);
  },
  key: (state) => state.join(""),
  // Cells to go, less one for each two checkers that have yet to pass each other, which takes a jump.
  atLeast(state, { size, colours: [left, right] }) {
    let [cells, passes, before] = [size * (3 * size + 1), 0, 0];
    for (const [i, content] of state.entries()) {
      if (content === left) {
        cells -= i;
        before++;
      } else if (content === right) {
        cells -= 2 * size - i;
        passes += before;
      }
    }
    return cells - passes;
  },
};

function cells({ size, colours: [left, right] }: Row): string[] {
  return [...new Array(size).fill(left), empty, ...new Array(size).fill(right)];
}
