/**
 * Tasks of one's own, described by a YAML or JSON file:
 *
 *     data: capitals.jsonl
 *     prompt: "Q: {question}\nA:"
 *     answer: "{city}"
 *     shots: 2
 *     stop: ["\n"]
 *     scorer: exact
 */
import { basename, dirname, extname, join } from "node:path";
import { parse } from "npm:yaml@2.9.1";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../../errors.ts";
import { answerFaults, referenceNumber } from "../answer.ts";
import { isCorrectNumber, isExactMatch } from "../scoring.ts";
import type { TaskRows } from "./prompts.ts";
import { matchOf, noAnswer } from "./filters.ts";
import { strip } from "./python_text.ts";
import { readRows } from "./rows.ts";
import type { AnyTask } from "./task.ts";
import { readWholeText } from "../../whole_file.ts";

type Row = Readonly<Record<string, unknown>>;

/** How completions, or choices, are judged. */
const scorers = ["number", "exact", "contains", "regex", "choice", "loglikelihood"] as const;

const schema = z.strictObject({
  /** Default: the file's name. */
  name: z.string().regex(/^[\w.-]+$/, "is not a plain name").optional(),
  /** Rows: JSONL, JSON, CSV or parquet, found from the task's folder. */
  data: z.string().min(1),
  /** Rows that worked examples come from, default the same file. */
  shots_data: z.string().min(1).optional(),
  /** Stands before everything. */
  description: z.string().optional(),
  /** Texts with {field} where a row's field goes. */
  prompt: z.string().min(1),
  /** Of `choice` and `loglikelihood` the right choice's text, letter or number from 0. */
  answer: z.string().min(1).default("{answer}"),
  /** Texts with {field}, or the name of the field that holds them. */
  choices: z.union([z.string().min(1), z.array(z.string().min(1)).min(2)]).optional(),
  shots: z.int().min(0).default(0),
  stop: z.array(z.string().min(1)).default([]),
  /** Default: loglikelihood where there are choices, number where all answers end in `#### N`, else exact. */
  scorer: z.enum(scorers).optional(),
  /** Of `regex`: its first group is compared with the answer. */
  pattern: z.string().min(1).optional(),
  version: z.number().default(1),
});
type Scorer = typeof scorers[number];
type Description = z.infer<typeof schema>;

/** Whether the name of a task is that of a file that describes one. */
export function isTaskFile(name: string): boolean {
  return /\.(ya?ml|json)$/i.test(name);
}

/** What a task file describes, with its rows. */
export interface OwnTask {
  readonly task: AnyTask;
  readonly rows: TaskRows;
  /** What its user should know. */
  readonly said?: string;
}

/**
 * Reads a task file and its rows.
 * @throws InputError for a file that describes no task, rows that lack a field, and answers that are none of the choices.
 */
export async function readTaskFile(path: string): Promise<OwnTask> {
  const description = await readDescription(path);
  const at = (file: string) => join(dirname(path), file);
  const file = at(description.data);
  const found = await readRows(file);
  if (found.length === 0) throw new InputError(`Data file "${file}" holds no rows; give it some.`, "tasks");
  const worked = found.every(({ answer }) => typeof answer === "string" && /####\s*\S/.test(answer));
  const scorer = description.scorer ?? (description.choices ? "loglikelihood" : worked ? "number" : "exact");
  const task = ownTask(path, description, scorer);
  const check = (rows: Row[], file: string) => {
    rows.forEach((row, i) => {
      try {
        if (task.kind === "choice") task.gold(row);
        task.text(row);
        task.answer(row);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        throw new InputError(`Row ${i + 1} of data file "${file}": ${error.message}`, "tasks");
      }
    });
    return rows;
  };
  const rows = check(found, file);
  if (scorer === "number") {
    rows.forEach((row, i) => requireNumber(task.answer(row), `Row ${i + 1} of data file "${file}"`));
  }
  const shots = description.shots_data === undefined ? undefined : at(description.shots_data);
  const shotDocs = shots === undefined ? rows : check(await readRows(shots), shots);
  const said = worked && (scorer !== "number" || !description.scorer) &&
    `Answers in "${file}" are worked solutions that end in "#### N"; ${
      scorer === "number" ? "their numbers are compared" : `scorer ${scorer} compares all of their text`
    }.`;
  return { task, rows: { rows, docs: rows, shotDocs }, ...(said && { said }) };
}

function requireNumber(answer: string, place: string): void {
  const read = referenceNumber(answer);
  if ("value" in read) return;
  throw new InputError(
    `${place} has the answer ${JSON.stringify(answer)}, which ${answerFaults[read.fault]}.`,
    "tasks",
  );
}

async function readDescription(path: string): Promise<Description> {
  let value: unknown;
  try {
    value = parse(await readWholeText(path)); // JSON is YAML
  } catch (error) {
    const why = (error as Error).message.split("\n")[0]!.replace(/[.:\s]+$/, "");
    throw new InputError(`Task file "${path}" cannot be read (${why}).`, "tasks");
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const { path: place, message } = result.error.issues[0]!;
    throw new InputError(`Task file "${path}": "${place.join(".")}" ${message}.`, "tasks");
  }
  const { scorer, pattern, choices } = result.data;
  const lacks = scorer === "regex" && pattern === undefined
    ? "a pattern"
    : (scorer === "choice" || scorer === "loglikelihood") && choices === undefined
    ? "choices"
    : undefined;
  if (lacks) throw new InputError(`Task file "${path}": scorer ${scorer} needs ${lacks}.`, "tasks");
  if (pattern !== undefined) {
    try {
      new RegExp(pattern);
    } catch {
      throw new InputError(`Task file "${path}": "pattern" is not a regular expression.`, "tasks");
    }
  }
  return result.data;
}

function ownTask(path: string, description: Description, scorer: Scorer): AnyTask {
  const { stop, shots, version } = description;
  const name = description.name ?? basename(path, extname(path));
  const answer = (row: Row) => filled(description.answer, row);
  const choices = (row: Row) => choicesOf(description.choices!, row);
  const gold = (row: Row) => goldOf(answer(row), choices(row));
  const chosen = scorer === "choice" || scorer === "loglikelihood";
  const form = {
    name,
    version,
    files: [],
    rows: z.looseObject({}),
    // As its own examples, a row must not be one of them.
    split: description.shots_data === undefined ? "validation" as const : "test" as const,
    shots,
    ...(description.description !== undefined && { description: description.description }),
    text: (row: Row) => filled(description.prompt, row),
    answer: chosen ? (row: Row) => choices(row)[gold(row)]! : answer,
    target: scorer === "loglikelihood" ? gold : answer,
  };
  if (scorer === "loglikelihood") {
    return { ...form, kind: "choice", choices, gold, measures: ["acc", "acc_norm"] };
  }
  const read = scorer === "regex" ? matchOf(new RegExp(description.pattern!, "g"), 0) : strip;
  return {
    ...form,
    kind: "generation",
    until: stop,
    filters: { [scorer]: read },
    matches: (given: string, row: Row) => isRight(scorer, given, row, answer, choices),
  };
}

function isRight(
  scorer: Exclude<Scorer, "loglikelihood">,
  given: string,
  row: Row,
  answer: (row: Row) => string,
  choices: (row: Row) => string[],
): boolean {
  switch (scorer) {
    case "number":
      return isCorrectNumber(given, answer(row));
    case "exact":
      return isExactMatch(given, answer(row));
    case "contains":
      return given.toLowerCase().includes(answer(row).toLowerCase());
    case "regex":
      return given !== noAnswer && isExactMatch(given, answer(row));
    case "choice":
      return namedChoice(given, choices(row)) === goldOf(answer(row), choices(row));
  }
}

/** The choice that a completion names first: by its text, or by a letter that stands alone. */
function namedChoice(completion: string, choices: readonly string[]): number | undefined {
  const text = completion.toLowerCase();
  const exact = choices.findIndex((choice) => isExactMatch(completion, choice));
  if (exact >= 0) return exact;
  const letter = /(?<![\p{L}\p{N}'’])([A-Z])(?![\p{L}\p{N}'’])/u.exec(completion);
  const byLetter = letter ? letter[1]!.charCodeAt(0) - 65 : -1;
  const found =
    choices.map((choice, i) => ({ i, at: text.indexOf(choice.toLowerCase()), size: choice.length }))
      .filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at || b.size - a.size)[0];
  if (byLetter >= 0 && byLetter < choices.length && (!found || letter!.index <= found.at)) return byLetter;
  return found?.i;
}

function choicesOf(choices: string | readonly string[], row: Row): string[] {
  if (typeof choices !== "string") return choices.map((choice) => filled(choice, row));
  const value = row[choices];
  if (Array.isArray(value) && value.length > 1) return value.map(String);
  throw new InputError(`field "${choices}" is not a list of choices.`);
}

/** The right choice: by its text, a letter, or a number from 0. */
function goldOf(answer: string, choices: readonly string[]): number {
  const byText = choices.indexOf(answer);
  const byLetter = /^[A-Z]$/.test(answer)
    ? answer.charCodeAt(0) - 65
    : /^\d+$/.test(answer)
    ? Number(answer)
    : -1;
  const found = byText >= 0 ? byText : byLetter;
  if (found >= 0 && found < choices.length) return found;
  throw new InputError(`answer "${answer}" is none of ${choices.length} choices.`);
}

function filled(template: string, row: Row): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = row[name];
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      return `${value}`;
    }
    throw new InputError(`no field "${name}" to put into "${template.replaceAll("\n", "\\n")}".`);
  });
}
