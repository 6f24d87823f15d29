/** Fresh puzzles: instances of the kinds that some problems ask for, none of which those problems have. */
import { seededRandom, shuffled } from "../../random.ts";
import type { Problem } from "../data.ts";
import { puzzles } from "./catalog.ts";
import { puzzleQuestion } from "./problem.ts";

/** Draws of these many that find nothing new mean that a kind has nothing new. */
const patience = 1000;

/** Whether all of these are puzzles in the words of puzzleData, so that fresh ones can be asked alike. */
export function arePuzzles(problems: readonly Problem[]): boolean {
  return problems.every(({ puzzle, question }) =>
    puzzle && puzzleQuestion(puzzles.get(puzzle.name)!, puzzle.setup) === question
  );
}

/**
 * Up to `count` puzzles of the kinds (puzzle and size) of some problems, as many of each; fewer where a kind has no more that
 * `known` lacks. They are judged by their rules, so they bring no answer. Equal names give equal puzzles.
 */
export function freshPuzzles(
  problems: readonly Problem[],
  known: readonly Problem[],
  { count, name, seed }: { readonly count: number; readonly name: string; readonly seed: number },
): Problem[] {
  const kinds = Map.groupBy(problems, ({ puzzle }) => `${puzzle!.name} ${puzzle!.setup.size}`);
  const asked = new Set(known.map(({ question }) => question));
  const each = Math.ceil(count / kinds.size);
  const found = [...kinds].flatMap(([kind, [first]]): Omit<Problem, "id">[] => {
    const { puzzle, templateId } = first!;
    const rules = puzzles.get(puzzle!.name)!;
    const random = seededRandom(`${seed}/${name}/${kind}`);
    const drawn: Omit<Problem, "id">[] = [];
    for (let idle = 0; drawn.length < each && idle < patience; idle++) {
      const setup = rules.draw(puzzle!.setup.size, random);
      const question = puzzleQuestion(rules, setup);
      if (asked.has(question)) continue;
      asked.add(question);
      const instanceId = `${name}, ${drawn.length}`;
      drawn.push({ question, answer: "", templateId, instanceId, puzzle: { name: puzzle!.name, setup } });
      idle = 0;
    }
    return drawn;
  });
  return shuffled(found, seededRandom(`${seed}/${name} problems`)).slice(0, count)
    .map((problem, id) => ({ id, ...problem }));
}
