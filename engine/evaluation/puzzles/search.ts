/** Proof by search: a shortest plan from an instance's start, or that there is none. */
import { Illegal, type Move, type Puzzle, type PuzzleInstance } from "./puzzle.ts";

/** A state that was reached, and how. */
interface Reached<State> {
  readonly state: State;
  readonly depth: number;
  readonly move?: Move;
  readonly from?: Reached<State>;
}

/**
 * A shortest plan; undefined where every state that can be reached was tried and none is the goal. The search is A* by the puzzle's
 * lower bound, breadth-first where it has none.
 *
 * @example The shortest way to move two disks
 * ```ts
 * import { hanoi } from "../../../engine/evaluation/puzzles/hanoi.ts";
 * import { shortestPlan } from "../../../engine/evaluation/puzzles/search.ts";
 *
 * console.log(shortestPlan(hanoi, { size: 2, pegs: ["A", "B", "C"] })); // three moves
 * ```
 */
export function shortestPlan<I extends PuzzleInstance, S>(
  puzzle: Puzzle<I, S>,
  instance: I,
): Move[] | undefined {
  const bound = (state: S) => puzzle.atLeast?.(state, instance) ?? 0;
  const start = puzzle.start(instance);
  const depths = new Map([[puzzle.key(start, instance), 0]]);
  // Lists by depth and bound together, which no move makes smaller; of equals the newest first, which is nearest the goal.
  const open: Reached<S>[][] = [];
  const add = (reached: Reached<S>) => (open[reached.depth + bound(reached.state)] ??= []).push(reached);
  add({ state: start, depth: 0 });
  for (let least = 0; least < open.length; least++) {
    for (let reached = open[least]?.pop(); reached; reached = open[least]!.pop()) {
      const { state, depth } = reached;
      if (depth > depths.get(puzzle.key(state, instance))!) continue; // a shorter way was found since
      if (puzzle.solved(state, instance)) return way(reached);
      for (const move of puzzle.moves(state, instance)) {
        const next = puzzle.play(state, move, instance);
        if (next instanceof Illegal) continue;
        const key = puzzle.key(next, instance);
        if (depth + 1 >= (depths.get(key) ?? Infinity)) continue;
        depths.set(key, depth + 1);
        add({ state: next, depth: depth + 1, move, from: reached });
      }
    }
  }
}

function way<S>(last: Reached<S>): Move[] {
  const moves: Move[] = [];
  for (let at: Reached<S> | undefined = last; at?.move; at = at.from) moves.push(at.move);
  return moves.reverse();
}
