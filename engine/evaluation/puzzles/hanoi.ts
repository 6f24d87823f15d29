/**
 * Tower of Hanoi: n disks go from one of three pegs to another, one at a time, never a larger one onto a smaller. The shortest plan has
 * 2^n - 1 moves.
 *
 *     Puzzle: Tower of Hanoi. Disks 1 (smallest) to 2 (largest) lie on peg A in order of size, the smallest on top. Pegs B and C
 *     are empty. A move takes the top disk of a peg and puts it on another peg, never on a smaller disk. Bring all disks to peg C.
 *     Write the plan as a list of moves, [[disk, from peg, to peg], ...].
 *     Plan: [[1, A, B], [2, A, C], [1, B, C]]
 */
import { z } from "npm:zod@4.6.7";
import { letters, words } from "./names.ts";
import { Illegal, type Puzzle } from "./puzzle.ts";

/** Names of the pegs: first, spare, last. */
const tower = z.object({ size: z.int().min(1), pegs: words(3) });
type Tower = z.infer<typeof tower>;

/** The disks of each peg, from the bottom. */
type Pegs = readonly (readonly number[])[];

/** See file comment. */
export const hanoi: Puzzle<Tower, Pegs> = {
  name: "hanoi",
  title: "Tower of Hanoi",
  dial: "disks",
  smallest: 1,
  largest: 10,
  instances: tower,
  example: { size: 2, pegs: ["A", "B", "C"] },
  draw: (size, random) => ({ size, pegs: letters(3, random) }),
  text: ({ size, pegs: [first, spare, last] }) =>
    `Puzzle: Tower of Hanoi. ${
      size === 1
        ? `Disk 1 lies on peg ${first}.`
        : `Disks 1 (smallest) to ${size} (largest) lie on peg ${first} in order of size, the smallest on top.`
    } Pegs ${spare} and ${last} are empty. A move takes the top disk of a peg and puts it on another peg, never on a smaller disk. ` +
    `Bring all disks to peg ${last}. Write the plan as a list of moves, [[disk, from peg, to peg], ...].\nPlan:`,
  start: ({ size }) => [Array.from({ length: size }, (_, i) => size - i), [], []],
  solved: ([, , last], { size }) => last!.length === size,
  play(state, move, { size, pegs }) {
    if (move.length !== 3) return new Illegal("a move is a disk and two pegs");
    const [disk, fromName, toName] = move as [string, string, string];
    const [from, to] = [pegs.indexOf(fromName), pegs.indexOf(toName)];
    if (from < 0) return new Illegal(`there is no peg ${fromName}`);
    if (to < 0) return new Illegal(`there is no peg ${toName}`);
    if (!(/^\d+$/.test(disk) && Number(disk) >= 1 && Number(disk) <= size)) {
      return new Illegal(`there is no disk ${disk}`);
    }
    const moved = Number(disk);
    if (state[from]!.at(-1) !== moved) return new Illegal(`disk ${disk} is not on top of peg ${fromName}`);
    if (from === to) return new Illegal(`disk ${disk} stays on peg ${fromName}`);
    if ((state[to]!.at(-1) ?? Infinity) < moved) {
      return new Illegal(`disk ${state[to]!.at(-1)} on peg ${toName} is smaller than disk ${disk}`);
    }
    return state.map((disks, i) => i === from ? disks.slice(0, -1) : i === to ? [...disks, moved] : disks);
  },
  moves: (state, { pegs }) =>
    state.flatMap((disks, from) =>
      disks.length === 0 ? [] : pegs.filter((_, to) => to !== from).map((to) => [
        `${disks.at(-1)}`,
        pegs[from]!,
        to,
      ])
    ),
  key: (state) => state.map((disks) => disks.join(",")).join("|"),
  // Exactly the moves left: a disk that is not where it belongs waits until those above it are all on the third peg.
  atLeast(state, { size }) {
    let [goal, moves] = [2, 0];
    for (let disk = size; disk > 0; disk--) {
      const at = state.findIndex((disks) => disks.includes(disk));
      if (at === goal) continue;
      moves += 2 ** (disk - 1);
      goal = 3 - at - goal;
    }
    return moves;
  },
};
