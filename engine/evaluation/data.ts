/**
 * Problems: read from JSONL or parquet in GSM-Symbolic's fields, checked at the border, and split per template.
 */
import { parquetReadObjects } from "npm:hyparquet@1.31.5";
import { compressors } from "npm:hyparquet-compressors@1.1.2";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { seededRandom, shuffled } from "../random.ts";
import { goldNumber } from "./scoring.ts";

/** One question with its reference answer. */
export interface Problem {
  /** Unique in its file: the rows' own `id` if no two share one, else the row's number from 0. */
  readonly id: number | string;
  readonly question: string;
  /** The reference answer; in GSM-Symbolic a worked solution that ends `#### N`. */
  readonly answer: string;
  /** Which template the problem was made from (`original_id`); "all" in files that name none. */
  readonly templateId: string;
  /** Which instance of its template it is (`instance`); the row's number from 0 where the file names none. */
  readonly instanceId: string;
  /** The line of its JSONL file, or row of its parquet file, from 1; for messages only. */
  readonly line?: number;
}

/** A partition of problems: updates learn from `train`, steps are chosen on `validation`, claims rest on `test`. */
export interface Split {
  readonly train: Problem[];
  readonly validation: Problem[];
  readonly test: Problem[];
}

/** Shares of train, validation and test. */
export type SplitFractions = readonly [train: number, validation: number, test: number];

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
}, 'give an object like {"question": "…", "answer": "…"}');

/**
 * Reads the problems of a data file, in file order: parquet if its name ends in `.parquet`, else JSONL.
 * Needs `question` and `answer` in each row; reads `original_id` (template), `instance` and `id` where present.
 * Blank lines are skipped.
 * @throws InputError if the file is missing, unreadable or empty, or a line or row is not a problem.
 */
export async function loadProblems(file: string): Promise<Problem[]> {
  const bytes = await readBytes(file);
  const found = isParquet(file) ? await parquetRows(bytes, file) : jsonLines(bytes, file);
  if (found.length === 0) throw new InputError(`Data file "${file}" is empty: give at least one problem.`);
  const rows = found.map(({ line, row }) => ({ ...checkedRow(row, line, file), line }));
  // GSM-Symbolic's own `id` numbers the template, not the problem, and must not be taken for a key.
  const ids = new Set(rows.map((row) => plainId(row.id)));
  const idsAreKeys = ids.size === rows.length && !ids.has(undefined);
  return rows.map((row, index) => ({
    id: idsAreKeys ? plainId(row.id)! : index,
    question: row.question,
    answer: row.answer,
    templateId: String(row.original_id ?? "all"),
    instanceId: String(row.instance ?? index),
    line: row.line,
  }));
}

/**
 * Makes sure that every answer can be scored as a number.
 * @throws InputError naming the first answer that holds none.
 */
export function requireNumericAnswers(problems: readonly Problem[], file: string): void {
  problems.forEach(({ answer, line }, index) => {
    if (goldNumber(answer) !== undefined) return;
    throw new InputError(
      `${place(file, line ?? index + 1)} has ${
        quoted(answer)
      } as "answer", which states no number: end it with "#### N".`,
    );
  });
}

/**
 * Splits each template's own instances, so that every part holds every template in the same proportion.
 * With the default shares, 100 instances become exactly 52, 8 and 40. Parts keep the order of `problems`; which
 * part a problem falls into depends only on the seed and its template's instances, not on their order or on
 * other templates. Shares are rounded by largest remainder, then each part gets at least one instance.
 * Templates with fewer than 3 instances cannot fill three parts: they are pooled and split as one template.
 * @throws InputError if the fractions are negative or do not add up to 1.
 */
export function splitProblems(
  problems: readonly Problem[],
  seed: number,
  fractions: SplitFractions = [0.52, 0.08, 0.40],
): Split {
  const sum = fractions[0] + fractions[1] + fractions[2];
  if (!(Math.abs(sum - 1) < 1e-9) || fractions.some((fraction) => fraction < 0)) {
    throw new InputError(
      `Split fractions ${fractions.join(", ")} must not be negative and must add up to 1.`,
    );
  }
  const templates = Map.groupBy(problems, (problem) => problem.templateId);
  const groups = Map.groupBy(
    problems,
    ({ templateId }) => templates.get(templateId)!.length < 3 ? "small templates" : `template ${templateId}`,
  );
  const partOf = new Map<Problem, keyof Split>();
  for (const [name, group] of groups) {
    const [train, validation] = partSizes(group.length, fractions);
    const order = shuffled(group.toSorted(byTemplateAndInstance), seededRandom(`${seed}/split/${name}`));
    order.forEach((problem, index) => {
      partOf.set(problem, index < train ? "train" : index < train + validation ? "validation" : "test");
    });
  }
  const part = (name: keyof Split) => problems.filter((problem) => partOf.get(problem) === name);
  return { train: part("train"), validation: part("validation"), test: part("test") };
}

/** How many of `count` items each part gets: largest remainder, then none left empty if `count` allows. */
function partSizes(count: number, fractions: SplitFractions): [number, number, number] {
  const exact = fractions.map((fraction) => fraction * count);
  const sizes = exact.map(Math.floor) as [number, number, number];
  const byRemainder = [0, 1, 2].toSorted((i, j) => (exact[j]! - sizes[j]!) - (exact[i]! - sizes[i]!));
  const left = count - sizes[0] - sizes[1] - sizes[2];
  for (const index of byRemainder.slice(0, left)) sizes[index]! += 1;
  if (count < 3) return sizes;
  for (const index of [0, 1, 2]) {
    if (sizes[index] !== 0 || fractions[index] === 0) continue;
    sizes[sizes.indexOf(Math.max(...sizes))]! -= 1;
    sizes[index] = 1;
  }
  return sizes;
}

function byTemplateAndInstance(a: Problem, b: Problem): number {
  const [x, y] = a.templateId === b.templateId ? [a.instanceId, b.instanceId] : [a.templateId, b.templateId];
  // By code unit and not by locale, which would make the split depend on the machine.
  return x < y ? -1 : x > y ? 1 : 0;
}

async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(file);
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
      return { line: index + 1, row: JSON.parse(content) };
    } catch {
      throw new InputError(
        `${
          place(file, index + 1)
        } is not JSON: write one object like {"question": "…", "answer": "…"} on each line.`,
      );
    }
  });
}

async function parquetRows(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<Found[]> {
  try {
    const rows = await parquetReadObjects({ file: bytes.buffer, compressors });
    return rows.map((row, index) => ({ line: index + 1, row }));
  } catch (error) {
    throw new InputError(
      `Data file "${file}" is not readable as parquet (${reason(error)}): download it again or give JSONL.`,
    );
  }
}

function checkedRow(row: unknown, line: number, file: string): z.infer<typeof rowSchema> {
  const result = rowSchema.safeParse(row);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path[0];
  if (field === undefined) {
    throw new InputError(`${place(file, line)} holds ${quoted(row)}: ${issue.message}.`);
  }
  const value = (row as Record<PropertyKey, unknown>)[field];
  const absent = value === undefined || value === null || (typeof value === "string" && value.trim() === "");
  const fault = absent ? `has no "${String(field)}"` : `has ${quoted(value)} as "${String(field)}"`;
  throw new InputError(`${place(file, line)} ${fault}: ${issue.message}.`);
}

/** Parquet's 64-bit integers as plain numbers, which JSON can hold. */
function plainId(id: string | number | bigint | null | undefined): string | number | undefined {
  return typeof id === "bigint" ? Number(id) : id ?? undefined;
}

function isParquet(file: string): boolean {
  return file.toLowerCase().endsWith(".parquet");
}

function place(file: string, line: number): string {
  return `${isParquet(file) ? "Row" : "Line"} ${line} of data file "${file}"`;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A value for a message, on one line and cut to a readable length. */
function quoted(value: unknown): string {
  const text = Deno.inspect(value, { breakLength: Infinity, compact: true, strAbbreviateSize: 60 });
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
