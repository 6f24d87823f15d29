/**
 * Task files: tasks of one's own, described in YAML or JSON. They are measured (`evaluate --tasks`, harness/own_task.ts), and amplified or
 * watched as data files are (data_task.ts).
 *
 *     data: capitals.jsonl
 *     prompt: "Q: {question}\nA:"
 *     answer: "{city}"
 *     shots: 2
 *     stop: ["\n"]
 *     scorer: exact
 */
import { dirname, isAbsolute, join } from "node:path";
import { parse } from "npm:yaml@2.9.1";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { parseJson } from "../json_objects.ts";
import { readWholeText } from "../whole_file.ts";
import { readRows } from "./harness/rows.ts";
import { scorerNames } from "./scorers.ts";

/** A row of a task's data. */
export type Row = Readonly<Record<string, unknown>>;

const names: readonly string[] = [...scorerNames, "loglikelihood"];

const schema = z.strictObject({
  /** Default: the file's name. */
  name: z.string().regex(/^[\w.-]+$/, "is not a plain name").optional(),
  /** Rows: JSONL, JSON, CSV or parquet, found from the task's folder. */
  data: z.string().min(1),
  /** Rows that worked examples come from, default the same file. */
  shots_data: z.string().min(1).optional(),
  /** Stands before everything; in a chat it is the system's message. */
  description: z.string().optional(),
  /** Texts with {field} where a row's field goes. As data of a run it may be left out: rows are then asked as the run asks. */
  prompt: z.string().min(1).optional(),
  /** Of `choice` and `loglikelihood` the right choice's text, letter or number from 0. */
  answer: z.string().min(1).default("{answer}"),
  /** Texts with {field}, or the name of the field that holds them. */
  choices: z.union([z.string().min(1), z.array(z.string().min(1)).min(2)]).optional(),
  shots: z.int().min(0).default(0),
  stop: z.array(z.string().min(1)).default([]),
  /**
   * A rule's name, or a TypeScript file (CustomScorer). Default: loglikelihood where there are choices (as data of a run choice), number
   * where all answers end in `#### N`, else exact.
   */
  scorer: z.string().min(1).optional(),
  /** Of `regex`: its first group is compared with the answer. */
  pattern: z.string().min(1).optional(),
  /** Most tokens of a completion. */
  max_new_tokens: z.int().min(1).optional(),
  version: z.number().default(1),
});

/** What a task file says; the names of other files lead there from where this program runs. */
export type TaskDescription = z.infer<typeof schema>;

/** Whether a scorer is a file rather than a rule's name. */
export function isScorerFile(scorer: string): boolean {
  return /\.[cm]?[jt]s$/i.test(scorer);
}

/** Whether a data file describes a task instead of holding rows: a .yaml, .yml, or a .json that holds one object without a question. */
export async function describesTask(file: string): Promise<boolean> {
  if (/\.ya?ml$/i.test(file)) return true;
  if (!/\.json$/i.test(file)) return false;
  try {
    const value: unknown = parseJson(await readWholeText(file));
    return typeof value === "object" && value !== null && !Array.isArray(value) && !("question" in value);
  } catch {
    return false; // rows, one on each line, or nothing that is there
  }
}

/** All files that decide what a data file or task file asks and how it is judged. */
export async function filesOfTask(file: string): Promise<string[]> {
  if (!await describesTask(file)) return [file];
  const { data, shots_data, scorer } = await readDescription(file);
  const files = [file, data, shots_data, scorer !== undefined && isScorerFile(scorer) ? scorer : undefined];
  return files.filter((path) => path !== undefined);
}

/**
 * Reads a task file. `setting` is what its user named it by.
 * @throws {InputError} for a file that describes no task.
 */
export async function readDescription(path: string, setting = "data"): Promise<TaskDescription> {
  const refuse = (complaint: string) => new InputError(`Task file "${path}" ${complaint}.`, setting);
  let value: unknown;
  try {
    value = parse(await readWholeText(path)); // JSON is YAML
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw refuse("does not exist");
    throw refuse(`cannot be read (${(error as Error).message.split("\n")[0]!.replace(/[.:\s]+$/, "")})`);
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const { path: place, message } = result.error.issues[0]!;
    const what = message.replace(/^Invalid input: /, "");
    throw refuse(
      place.length > 0 ? `has a wrong "${place.join(".")}": ${what}` : `describes no task: ${what}`,
    );
  }
  const description = result.data;
  const { scorer, pattern, choices } = description;
  if (scorer !== undefined && !names.includes(scorer) && !isScorerFile(scorer)) {
    throw refuse(
      `has ${JSON.stringify(scorer)} as "scorer", which is none of ${names.join(", ")} and no .ts file`,
    );
  }
  const lacks = scorer === "regex" && pattern === undefined
    ? "a pattern"
    : (scorer === "choice" || scorer === "loglikelihood") && choices === undefined
    ? "choices"
    : undefined;
  if (lacks) throw refuse(`has scorer ${scorer}, which needs ${lacks}`);
  if (pattern !== undefined) {
    const groups = groupsOf(pattern);
    if (groups === undefined) throw refuse(`has a "pattern" that is not a regular expression`);
    if (groups === 0) {
      throw refuse(`has a "pattern" without a group (…) around what is compared with the answer`);
    }
  }
  const at = (file: string) => isAbsolute(file) ? file : join(dirname(path), file);
  return {
    ...description,
    data: at(description.data),
    ...(description.shots_data !== undefined && { shots_data: at(description.shots_data) }),
    ...(scorer !== undefined && isScorerFile(scorer) && { scorer: at(scorer) }),
  };
}

/** How many groups a pattern has; undefined where it is none. */
function groupsOf(pattern: string): number | undefined {
  try {
    return new RegExp(`${new RegExp(pattern).source}|`).exec("")!.length - 1;
  } catch {
    return undefined;
  }
}

/** Rows that a task file names. Throws InputError for a file that holds none. */
export async function readTaskRows(file: string, setting: string): Promise<Row[]> {
  const rows = await readRows(file).catch((error) => {
    throw error instanceof InputError ? new InputError(error.message, setting) : error;
  });
  if (rows.length === 0) throw new InputError(`Data file "${file}" holds no rows; give it some.`, setting);
  const wrong = rows.findIndex((row) => typeof row !== "object" || row === null || Array.isArray(row));
  if (wrong >= 0) throw new InputError(`Row ${wrong + 1} of data file "${file}" is not an object.`, setting);
  return rows;
}

/** Whether an answer is a worked solution that ends in `#### N`. */
export function isWorked(answer: unknown): boolean {
  return typeof answer === "string" && /####\s*\S/.test(answer);
}

/** A sentence on data whose answers are worked solutions. */
export function workedNotice(file: string, scorer: string): string {
  return `Answers in "${file}" are worked solutions that end in "#### N"; ${
    scorer === "number" ? "their numbers are compared" : `scorer ${scorer} compares all of their text`
  }.`;
}

/** A text with the fields of a row in it. Throws InputError for a field that the row lacks. */
export function filled(template: string, row: Row): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = row[name];
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      return `${value}`;
    }
    throw new InputError(`no field "${name}" to put into "${template.replaceAll("\n", "\\n")}".`);
  });
}

/** The choices of a row. Throws InputError where its field is no list. */
export function choicesOf(choices: string | readonly string[], row: Row): string[] {
  if (typeof choices !== "string") return choices.map((choice) => filled(choice, row));
  const value = row[choices];
  if (Array.isArray(value) && value.length > 1) return value.map(String);
  throw new InputError(`field "${choices}" is not a list of choices.`);
}
