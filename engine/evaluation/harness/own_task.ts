/** Tasks of one's own (task_file.ts) in the harness's form. */
import { basename, extname } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../../errors.ts";
import { answerFaults, referenceNumber } from "../answer.ts";
import { namedChoice, rightChoice } from "../choices.ts";
import type { ScorerName } from "../scorers.ts";
import { answerPart, isCorrectNumber, isExactMatch } from "../scoring.ts";
import {
  choicesOf,
  filled,
  isScorerFile,
  isWorked,
  readDescription,
  readTaskRows,
  type Row,
  type TaskDescription,
  workedNotice,
} from "../task_file.ts";
import type { TaskRows } from "./prompts.ts";
import { matchOf, noAnswer } from "./filters.ts";
import { strip } from "./python_text.ts";
import type { AnyTask } from "./task.ts";

type Description = TaskDescription & { readonly prompt: string };

type Scorer = ScorerName | "loglikelihood";

/** Whether the name of a task is that of a file that describes one. */
export function isTaskFile(name: string): boolean {
  return /\.(ya?ml|json)$/i.test(name);
}

/** What a task file describes, with its rows. */
export interface OwnTask {
  readonly task: AnyTask;
  readonly rows: TaskRows;
  /** A file that judges its completions. */
  readonly scorer?: string;
  /** Most tokens of a completion. */
  readonly maxNewTokens?: number;
  /** What its user should know. */
  readonly said?: string;
}

/**
 * Reads a task file and its rows.
 * @throws InputError for a file that describes no task, rows that lack a field, and answers that are none of the choices.
 */
export async function readTaskFile(path: string): Promise<OwnTask> {
  const { prompt, ...rest } = await readDescription(path, "tasks");
  if (prompt === undefined) {
    throw new InputError(`Task file "${path}" has no "prompt"; write how its rows are asked.`, "tasks");
  }
  const description = { ...rest, prompt };
  const file = description.data;
  const found = await readTaskRows(file, "tasks");
  const worked = found.every(({ answer }) => isWorked(answer));
  const own = description.scorer;
  const judged = own !== undefined && isScorerFile(own);
  const usual = description.choices ? "loglikelihood" : worked ? "number" : "exact";
  const scorer = (judged ? "exact" : own ?? usual) as Scorer;
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
  const { shots_data } = description;
  const shotDocs = shots_data === undefined
    ? rows
    : check(await readTaskRows(shots_data, "tasks"), shots_data);
  const said = worked && !judged && (scorer !== "number" || !own) && workedNotice(file, scorer);
  return {
    task,
    rows: { rows, docs: rows, shotDocs },
    ...(judged && { scorer: own }),
    ...(description.max_new_tokens !== undefined && { maxNewTokens: description.max_new_tokens }),
    ...(said && { said }),
  };
}

function requireNumber(answer: string, place: string): void {
  const read = referenceNumber(answer);
  if ("value" in read) return;
  throw new InputError(
    `${place} has the answer ${JSON.stringify(answer)}, which ${answerFaults[read.fault]}.`,
    "tasks",
  );
}

function ownTask(path: string, description: Description, scorer: Scorer): AnyTask {
  const { stop, shots, version } = description;
  const name = description.name ?? basename(path, extname(path));
  const answer = (row: Row) => filled(description.answer, row);
  const choices = (row: Row) => choicesOf(description.choices!, row);
  const gold = (row: Row) => rightChoice(answer(row), choices(row));
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
  const pattern = scorer === "regex" && matchOf(new RegExp(description.pattern!, "g"), 0);
  const read = pattern ? (completion: string) => pattern(answerPart(completion)) : strip;
  return {
    ...form,
    kind: "generation",
    until: stop,
    filters: { [scorer]: read },
    matches: (given: string, row: Row) => isRight(scorer, given, row, answer, choices),
  };
}

function isRight(
  scorer: ScorerName,
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
      return answerPart(given).toLowerCase().includes(answer(row).toLowerCase());
    case "regex":
      return given !== noAnswer && isExactMatch(given, answer(row));
    case "choice":
      return namedChoice(answerPart(given), choices(row)) === rightChoice(answer(row), choices(row));
  }
}
