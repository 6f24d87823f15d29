/** Tasks to amplify or to watch: a data file, or a task file that says besides how its rows are asked and judged. */
import { InputError } from "../errors.ts";
import { referenceNumber } from "./answer.ts";
import { rightChoice } from "./choices.ts";
import { CustomScorer } from "./custom_scorer.ts";
import { loadProblemRows, noTemplate, placeInFile, type Problem, requireNumericAnswers } from "./data.ts";
import { nextExample } from "./prompt.ts";
import { puzzleOf } from "./puzzles/problem.ts";
import { rowOf, type ScorerName, scorerNames, type Scoring } from "./scorers.ts";
import type { Shot } from "./shots.ts";
import {
  choicesOf,
  describesTask,
  filled,
  isScorerFile,
  isWorked,
  readDescription,
  readTaskRows,
  type Row,
  type TaskDescription,
  workedNotice,
} from "./task_file.ts";
import type { TaskPrompt } from "./tasks.ts";

/** A task's problems, with how they are asked and judged. */
export interface DataTask {
  readonly problems: readonly Problem[];
  /** A scorer from a file has a worker once it judges, which is ended with `using`. */
  readonly scoring: Scoring;
  /** What a task file says of how it is asked; nothing of a data file. */
  readonly prompt: TaskPrompt | undefined;
  /** What a user should know. */
  readonly said: readonly string[];
}

/** How a file is read. */
export interface DataTaskChoices {
  /** The setting that names the file, for complaints. */
  readonly setting: "data" | "ability";
  /** A rule's name or a scorer's file, before what the file itself says. */
  readonly scorer?: string | undefined;
  /** How a data file is judged that nobody says anything of. */
  readonly usual: "number" | "exact";
}

/**
 * Reads a data file or a task file.
 * @throws {InputError} for a file that cannot be read, rows that cannot be asked or judged, and a scorer that is none or fails.
 */
export async function loadDataTask(file: string, choices: DataTaskChoices): Promise<DataTask> {
  const { setting, usual } = choices;
  const read = await readProblems(file, setting);
  const { description, rows, place } = read;
  const scorer = choices.scorer ?? description?.scorer;
  const worked = read.problems.every(({ answer }) => isWorked(answer) && "value" in referenceNumber(answer));
  const plain = worked ? "number" : description ? "exact" : usual;
  const chosen = scorer ?? (description?.choices ? "choice" : plain);
  const problems = read.problems.map((problem, i): Problem => ({
    ...problem,
    ...(chosen === "choice" && { choices: choicesAt(place(i), description?.choices ?? "choices", rows[i]!) }),
    ...(isFile(chosen) && { row: rows[i]! }),
  }));
  const puzzle = problems.findIndex((problem) => problem.puzzle);
  if (scorer !== undefined && puzzle >= 0) {
    throw new InputError(
      `${place(puzzle)} asks for a puzzle, which is judged by its rules; leave scorer ${scorer} out.`,
      "scorer",
    );
  }
  const scoring = await scoringNamed(chosen, description);
  await requireScorable(problems, scoring, read.data);
  const numbers = worked && chosen === "number" && scorer === undefined &&
    !(usual === "number" && !description);
  const text = worked && ["exact", "contains", "regex"].includes(chosen);
  return {
    problems,
    scoring,
    prompt: read.prompt,
    said: numbers || text ? [workedNotice(read.data, chosen)] : [],
  };
}

/** The problems of a data file or task file, in file order. Throws InputError as loadDataTask does. */
export async function problemsOfTask(file: string): Promise<readonly Problem[]> {
  return (await readProblems(file, "data")).problems;
}

interface ReadProblems {
  /** The file that holds the rows. */
  readonly data: string;
  readonly problems: readonly Problem[];
  readonly rows: readonly Row[];
  readonly description?: TaskDescription;
  readonly prompt: TaskPrompt | undefined;
  /** Where the problem of a number from 0 stands, for messages. */
  readonly place: (i: number) => string;
}

async function readProblems(file: string, setting: string): Promise<ReadProblems> {
  if (await describesTask(file)) return await describedProblems(file, setting);
  const read = await loadProblemRows(file);
  const problems = read.map(({ problem }) => problem);
  const place = (i: number) => placeInFile(file, problems[i]!.line ?? i + 1);
  return { data: file, problems, rows: read.map(({ row }) => plainRow(row)), prompt: undefined, place };
}

/** Parquet's 64-bit integers as plain numbers. */
function plainRow(row: Row): Row {
  const plain = Object.entries(row).map((
    [key, value],
  ) => [key, typeof value === "bigint" ? Number(value) : value]);
  return Object.fromEntries(plain);
}

/** The rows of a task file as problems. Its worked examples are the first rows there are, which are not asked then. */
async function describedProblems(file: string, setting: string): Promise<ReadProblems> {
  const description = await readDescription(file, setting);
  const { data, shots_data, shots: count, stop, max_new_tokens, prompt: template } = description;
  const all = await readTaskRows(data, setting);
  const from = shots_data === undefined ? all : await readTaskRows(shots_data, setting);
  const spare = shots_data === undefined ? 1 : 0; // something is left to be asked
  if (from.length < count + spare) {
    throw new InputError(
      `Task file "${file}" takes ${count} worked examples from ${from.length} rows; ask for fewer.`,
      setting,
    );
  }
  const skipped = shots_data === undefined ? count : 0;
  const rows = all.slice(skipped);
  const place = (i: number) => `Row ${skipped + i + 1} of data file "${data}"`;
  const shots = from.slice(0, count).map((row, i): Shot =>
    placed(`Row ${i + 1} of data file "${shots_data ?? data}"`, setting, () => shotOf(description, row))
  );
  const problems = rows.map((row, i) =>
    placed(place(i), setting, () => ({ ...problemOf(description, row, i), line: skipped + i + 1 }))
  );
  const stops = stop.length > 0
    ? stop
    : template !== undefined && count > 0
    ? [nextExample(template.replace(/\{\w+\}/, "{question}")) ?? []].flat()
    : [];
  const prompt: TaskPrompt = {
    ...(template !== undefined && { description: undefined, template: "{question}", shots }),
    ...(description.description !== undefined && { description: description.description }),
    ...(shots.length > 0 && { shots }),
    ...(stops.length > 0 && { stop: stops }),
    ...(max_new_tokens !== undefined && { maxNewTokens: max_new_tokens }),
  };
  return { data, problems, rows, description, prompt, place };
}

function problemOf(description: TaskDescription, row: Row, i: number): Problem {
  const asked = puzzleOf(row);
  if (asked && "fault" in asked) throw new InputError(`${asked.fault}.`);
  return {
    id: i,
    question: questionOf(description, row),
    answer: nonEmpty(filled(description.answer, row), "answer"),
    templateId: nameOf(row.original_id) ?? noTemplate,
    instanceId: nameOf(row.instance) ?? `${i}`,
    ...(asked && { puzzle: asked }),
  };
}

function questionOf({ prompt = "{question}" }: TaskDescription, row: Row): string {
  return nonEmpty(filled(prompt, row), "question");
}

/** A worked example shows the right choice's text where its answer names it by letter or number. */
function shotOf(description: TaskDescription, row: Row): Shot {
  const answer = filled(description.answer, row);
  if (!description.choices) return { question: questionOf(description, row), answer };
  const choices = choicesOf(description.choices, row);
  return { question: questionOf(description, row), answer: choices[rightChoice(answer, choices)]! };
}

function nonEmpty(text: string, what: string): string {
  if (text.trim() !== "") return text;
  throw new InputError(`an empty ${what}.`);
}

function nameOf(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? `${value}` : undefined;
}

/** What `read` gives; its complaint begins with where. */
function placed<T>(where: string, setting: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${where}: ${error.message}`, setting);
  }
}

function choicesAt(where: string, choices: string | readonly string[], row: Row): string[] {
  return placed(where, "scorer", () => choicesOf(choices, row));
}

function isFile(scorer: string): boolean {
  return !(scorerNames as readonly string[]).includes(scorer);
}

async function scoringNamed(
  name: string,
  description: TaskDescription | undefined,
): Promise<Scoring> {
  if (name === "loglikelihood") {
    throw new InputError(
      `Scorer loglikelihood compares choices, so that nothing is written that could be traced; use choice.`,
      "scorer",
    );
  }
  if (name === "regex") {
    if (description?.pattern !== undefined) return { pattern: new RegExp(description.pattern) };
    throw new InputError(`Scorer regex needs a pattern; give a task file that has one as data.`, "scorer");
  }
  if (!isFile(name)) return name as Exclude<ScorerName, "regex">;
  if (await Deno.stat(name).then((stat) => stat.isFile, () => false)) {
    return new CustomScorer(name);
  }
  throw new InputError(
    isScorerFile(name)
      ? `Scorer "${name}" does not exist; give a file with a function as its default export.`
      : `Scorer "${name}" is none of ${scorerNames.join(", ")}, and no file.`,
    "scorer",
  );
}

/**
 * Makes sure that problems can be judged: numbers that can be read, answers among the choices, a scorer's file that judges the
 * first of them.
 * @throws {InputError} saying which cannot.
 */
export async function requireScorable(
  problems: readonly Problem[],
  scoring: Scoring,
  file: string,
): Promise<void> {
  if (scoring === "number") requireNumericAnswers(problems, file);
  if (scoring === "choice") {
    problems.forEach(({ answer, choices, line }, i) => {
      const where = placeInFile(file, line ?? i + 1);
      if (!choices) throw new InputError(`${where} has no choices to choose from.`, "scorer");
      placed(where, "scorer", () => rightChoice(answer, choices));
    });
  }
  if (scoring instanceof CustomScorer) {
    const [first] = problems;
    using _atWork = scoring;
    if (first) await scoring.score({ completion: first.answer, row: rowOf(first) });
  }
}
