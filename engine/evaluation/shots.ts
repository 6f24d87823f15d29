/**
 * Shots: worked examples that a prompt shows before its question. Read from JSONL in the fields of problem files, or
 * taken as plain text.
 */
import { InputError } from "../errors.ts";
import workedExamplesText from "../../fixtures/prompts/worked_examples.jsonl" with { type: "text" };
import { loadProblems, type Problem } from "./data.ts";
import { readWholeText } from "../whole_file.ts";

/** One worked example, as the prompt shows it. */
export interface Shot {
  /** What is asked. */
  readonly question: string;
  /** The solution as a model should write it, ending "The answer is N." */
  readonly answer: string;
}

/** Worked examples in order, or text that stands before the question as it is; empty for none. */
export type Shots = readonly Shot[] | string;

/**
 * The project's own eight worked examples: grade-school problems solved step by step (fixtures/prompts).
 *
 * @example The first of the eight
 * ```ts
 * import { workedExamples } from "../../engine/evaluation/mod.ts";
 *
 * console.log(workedExamples()[0]!.question);
 * ```
 */
export function workedExamples(): Shot[] {
  return workedExamplesText.trim().split("\n").map((line) => toShot(JSON.parse(line)));
}

/**
 * The shots that `choice` stands for: "none", "default" (workedExamples), or a file. A file that begins with "{" is JSONL
 * of `question` and `answer` (parquet by its name), any other is plain text.
 *
 * @throws InputError if the file is missing, empty or holds a row without question or answer.
 *
 * @example Examples of a file
 * ```ts
 * import { readShots } from "../../engine/evaluation/mod.ts";
 *
 * console.log((await readShots("fixtures/prompts/worked_examples.jsonl")).length);
 * ```
 */
export async function readShots(choice: string): Promise<Shots> {
  if (choice === "none") return [];
  if (choice === "default") return workedExamples();
  if (choice.toLowerCase().endsWith(".parquet")) return (await loadProblems(choice)).map(toShot);
  let text: string;
  try {
    text = (await readWholeText(choice)).replace(/^\uFEFF/, "");
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "does not exist"
      : `cannot be read (${(error as Error).message.replace(/[.:\s]+$/, "")})`;
    throw new InputError(`Shots file "${choice}" ${why}; give a file, none or default.`);
  }
  if (text.trim() === "") {
    throw new InputError(`Shots file "${choice}" is empty; fill it, or ask without shots (none).`);
  }
  if (text.trimStart().startsWith("{")) return (await loadProblems(choice)).map(toShot);
  return text.trimEnd() + "\n\n";
}

/**
 * A sentence where puzzles are asked after worked examples of arithmetic, which show no plan; nothing otherwise.
 *
 * @example Puzzles after our own eight
 * ```ts
 * import { loadProblems, shotsNotices, workedExamples } from "../../engine/evaluation/mod.ts";
 *
 * console.log(shotsNotices(await loadProblems("fixtures/tasks/math.jsonl"), workedExamples())); // []
 * ```
 */
export function shotsNotices(problems: readonly Problem[], shots: Shots): string[] {
  const own = JSON.stringify(shots) === JSON.stringify(workedExamples());
  return own && problems.some(({ puzzle }) => puzzle)
    ? ["Puzzles are asked after worked examples of arithmetic; give some of puzzles, or none (--shots)."]
    : [];
}

/** A problem with its reference answer as a shot: one paragraph, GSM8K's calculator notes dropped, `#### N` in words. */
function toShot({ question, answer }: { question: string; answer: string }): Shot {
  const [worked, final] = answer.split(/\s*####\s*/);
  const sentences = worked!.replace(/<<[^<>]*>>/g, "").split(/\s*\n\s*/).map((line) => line.trim()).filter(
    Boolean,
  );
  if (final === undefined) return { question: question.trim(), answer: sentences.join(" ") };
  // A line of a worked answer is a sentence, whether or not its author ended it.
  const ended = sentences.map((line) => /[.!?:;,]$/.test(line) ? line : `${line}.`);
  return {
    question: question.trim(),
    answer: [...ended, `The answer is ${final.trim().replace(/\.$/, "")}.`].join(" "),
  };
}
