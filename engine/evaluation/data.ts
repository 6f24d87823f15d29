/**
 * Problems: read from JSONL or parquet in GSM-Symbolic's fields, and checked at the border.
 */
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { parseJson } from "../json_objects.ts";
import { readParquet } from "./parquet.ts";
import { answerFaults, referenceNumber } from "./answer.ts";
import { puzzleOf, type PuzzleProblem } from "./puzzles/problem.ts";
import { readWhole } from "../whole_file.ts";

/** One question with its reference answer. */
export interface Problem {
  /** Unique in its file: the rows' own `id` if no two share one, else the row's number from 0. */
  readonly id: number | string;
  /** The text of the question. */
  readonly question: string;
  /** The reference answer; in GSM-Symbolic a worked solution that ends `#### N`. */
  readonly answer: string;
  /** Which template the problem was made from (`original_id`); noTemplate in files that name none. */
  readonly templateId: string;
  /** Which instance of its template it is (`instance`); the row's number from 0 where the file names none. */
  readonly instanceId: string;
  /** The puzzle's instance that it asks for, of rows with `puzzle` and `setup`; right is then any plan that solves it. */
  readonly puzzle?: PuzzleProblem;
  /** Of a question with choices, their texts in order. */
  readonly choices?: readonly string[];
  /** Its row as it was read, for scorers from files; present where one is to judge it. */
  readonly row?: Readonly<Record<string, unknown>>;
  /** The line of its JSONL file, or row of its parquet file, from 1; for messages only. */
  readonly line?: number;
}

/** The template of problems whose rows name none. */
export const noTemplate = "all";

/** A row as found, with its line or row number from 1. */
interface Found {
  readonly line: number;
  readonly row: unknown;
}

// The messages say what to do; which field of which line they are about is put before them.
const filled = (remedy: string) => z.string(remedy).refine((text) => text.trim() !== "", remedy);
const identifier = z.union([z.string(), z.number(), z.bigint()], "give text or a number, or leave it out")
  .nullish();
const answerRemedy = "give the reference answer as text or a number";
const rowSchema = z.object({
  question: filled('give the problem\'s text, as in {"question": "…", "answer": "…"}'),
  answer: z.union([filled(answerRemedy), z.number(), z.bigint()], answerRemedy).transform(String),
  id: identifier,
  original_id: identifier,
  instance: identifier,
  puzzle: z.unknown().optional(),
  setup: z.unknown().optional(),
}, 'give an object like {"question": "…", "answer": "…"}');

/**
 * Reads the problems of a data file, in file order: parquet if its name ends in `.parquet`, else JSONL.
 * Needs `question` and `answer` in each row; reads `original_id` (template), `instance` and `id` where present.
 * Blank lines are skipped.
 *
 * @throws InputError if the file is missing, unreadable or empty, or a line or row is not a problem.
 *
 * @example The problems that come with the package
 * ```ts
 * import { loadProblems } from "../../mod.ts";
 *
 * const problems = await loadProblems("fixtures/tasks/math.jsonl");
 * console.log(problems.length, problems[0]!.question);
 * ```
 */
export async function loadProblems(file: string): Promise<Problem[]> {
  return (await loadProblemRows(file)).map(({ problem }) => problem);
}

/** Like loadProblems, each with its row as it was read. */
export async function loadProblemRows(
  file: string,
): Promise<{ readonly problem: Problem; readonly row: Readonly<Record<string, unknown>> }[]> {
  const bytes = await readBytes(file);
  const found = isParquet(file) ? await parquetRows(bytes, file) : jsonLines(bytes, file);
  if (found.length === 0) throw new InputError(`Data file "${file}" is empty: give at least one problem.`);
  const rows = found.map(({ line, row }) => {
    const checked = checkedRow(row, line, file);
    const asked = puzzleOf(checked);
    if (asked && "fault" in asked) throw new InputError(`${placeInFile(file, line)} has ${asked.fault}.`);
    return { ...checked, asked, line, found: row as Record<string, unknown> };
  });
  // GSM-Symbolic's own `id` numbers the template, not the problem, and must not be taken for a key.
  const ids = new Set(rows.map((row) => plainId(row.id)));
  const idsAreKeys = ids.size === rows.length && !ids.has(undefined);
  return rows.map((row, index) => ({
    problem: {
      id: idsAreKeys ? plainId(row.id)! : index,
      question: row.question,
      answer: row.answer,
      templateId: String(row.original_id ?? noTemplate),
      instanceId: String(row.instance ?? index),
      ...(row.asked && { puzzle: row.asked }),
      line: row.line,
    },
    row: row.found,
  }));
}

/**
 * Makes sure that every answer can be scored as a number, and that the number is beyond doubt; puzzles are scored by their rules.
 *
 * @throws InputError naming the first answer that states none, several, or one that cannot be read.
 *
 * @example Refuse what cannot be scored
 * ```ts
 * import { requireNumericAnswers } from "../../engine/evaluation/mod.ts";
 *
 * const problem = { id: 0, question: "1 + 1?", answer: "#### 2", templateId: "all", instanceId: "0" };
 * requireNumericAnswers([problem], "mine.jsonl"); // throws for an answer like "two"
 * ```
 */
export function requireNumericAnswers(problems: readonly Problem[], file: string): void {
  problems.forEach(({ answer, line, puzzle }, index) => {
    if (puzzle) return;
    const read = referenceNumber(answer);
    if ("value" in read) return;
    throw new InputError(
      `${placeInFile(file, line ?? index + 1)} has ${quoted(answer)} as "answer", which ${
        answerFaults[read.fault]
      }: end it with "#### N"${read.fault === "none" ? ", or choose another scorer" : ""}.`,
      ...(read.fault === "none" ? ["scorer"] : []),
    );
  });
}

async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readWhole(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new InputError(`Data file "${file}" does not exist: give the path of a JSONL or parquet file.`);
    }
    throw new InputError(
      `Data file "${file}" cannot be read (${reason(error)}): give a readable JSONL or parquet file.`,
    );
  }
}

function jsonLines(bytes: Uint8Array, file: string): Found[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(
      `Data file "${file}" is not UTF-8 text: give JSONL, or parquet with a name in .parquet.`,
    );
  }
  return text.split("\n").flatMap((content, index) => {
    if (content.trim() === "") return [];
    try {
      return { line: index + 1, row: parseJson(content, exactAnswer) };
    } catch {
      throw new InputError(
        `${
          placeInFile(file, index + 1)
        } is not JSON: write one object like {"question": "…", "answer": "…"} on each line.`,
      );
    }
  });
}

/** A numeric answer as it is written: 12345678901234567890 and 1e-7 would not survive as doubles. */
const exactAnswer = (key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  key === "answer" && typeof value === "number" ? context?.source ?? String(value) : value;

async function parquetRows(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Found[]> {
  try {
    const rows = await readParquet(bytes);
    return rows.map((row, index) => ({ line: index + 1, row }));
  } catch (error) {
    throw new InputError(
      `Data file "${file}" is not readable as parquet (${reason(error)}): download it again or give JSONL.`,
    );
  }
}

/** Where other data sets (SVAMP, ASDiv) tell what their question is about. */
const stories = ["Body", "body", "passage", "context"];
/** What other data sets (SVAMP, MAWPS, MATH, …) call the fields that problems need. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  question: [
    ...["question_concat", "full_question", "Question", "original_question", "sQuestion"],
    ...["problem", "Problem", "query", "prompt", "input", "instruction"],
  ],
  answer: [
    ...[
      "Answer",
      "final_answer",
      "lSolutions",
      "numerical_answer",
      "expected_answer",
      "solution",
      "Solution",
    ],
    ...["target", "label", "output", "response"],
  ],
};
const isFilled = (value: unknown) => typeof value === "string" && value.trim() !== "";

function checkedRow(row: unknown, line: number, file: string): z.infer<typeof rowSchema> {
  const result = rowSchema.safeParse(row);
  if (result.success) {
    const story = stories.find((name) => isFilled((row as Record<string, unknown>)[name]));
    if (story === undefined) return result.data;
    throw new InputError(
      `${
        placeInFile(file, line)
      } tells its problem in "${story}" beside "question": write both together as "question".`,
    );
  }
  const issue = result.error.issues[0]!;
  const field = issue.path[0];
  if (field === undefined) {
    throw new InputError(`${placeInFile(file, line)} holds ${quoted(row)}: ${issue.message}.`);
  }
  const value = (row as Record<PropertyKey, unknown>)[field];
  const absent = value === undefined || value === null || (typeof value === "string" && value.trim() === "");
  const fault = absent ? `has no "${String(field)}"` : `has ${quoted(value)} as "${String(field)}"`;
  const remedy = (absent && otherName(row as object, String(field))) || issue.message;
  throw new InputError(`${placeInFile(file, line)} ${fault}: ${remedy}.`);
}

/** What to do about a field that stands under another data set's name; undefined where none does. */
function otherName(row: object, field: string): string | undefined {
  const has = (names: readonly string[]) => names.find((name) => Object.hasOwn(row, name));
  const story = has(stories);
  const other = has(otherNames[field] ?? []);
  if (field === "question" && story !== undefined && other !== undefined && !/concat|full/.test(other)) {
    return `write its "${story}" and "${other}" together as "question"`;
  }
  const name = other ?? (field === "question" ? story : undefined);
  return name && `rename its "${name}" to "${field}"`;
}

/** Parquet's 64-bit integers as plain numbers, which JSON can hold. */
function plainId(id: string | number | bigint | null | undefined): string | number | undefined {
  return typeof id === "bigint" ? Number(id) : id ?? undefined;
}

function isParquet(file: string): boolean {
  return file.toLowerCase().endsWith(".parquet");
}

/** Where a row stands, for messages. */
export function placeInFile(file: string, line: number): string {
  return `${/\.(parquet|csv)$/i.test(file) ? "Row" : "Line"} ${line} of data file "${file}"`;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A value for a message, on one line and cut to a readable length. */
function quoted(value: unknown): string {
  const text = Deno.inspect(value, { breakLength: Infinity, compact: true, strAbbreviateSize: 60 });
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
