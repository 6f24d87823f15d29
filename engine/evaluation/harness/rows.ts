/** A task's rows from local files: JSONL, JSON, CSV or parquet in the published fields, each checked. */
import { join } from "node:path";
import { parse } from "npm:csv-parse@7.0.3/sync";
import { InputError } from "../../errors.ts";
import { parseJson } from "../../json_objects.ts";
import { readParquet } from "../parquet.ts";
import type { TaskRows } from "./prompts.ts";
import type { AnyTask, SplitName } from "./task.ts";
import { readWhole } from "../../whole_file.ts";

const endings = ["jsonl", "json", "csv", "parquet"] as const;

/**
 * Rows of a task from `folder`, where a part is `NAME_SPLIT` with the ending of its format, in the folder itself or in one called
 * SPLIT, or `SPLIT` in one called NAME; the part that is asked may be just `NAME`. Undefined if no file holds the part that is asked.
 * @throws InputError for a file that cannot be read, a row that lacks something, and missing worked examples.
 */
export async function loadRows(task: AnyTask, folder: string, shots: number): Promise<TaskRows | undefined> {
  const file = await findPart(task, folder, task.split);
  if (file === undefined) return undefined;
  const rows = await readRows(file);
  if (rows.length === 0) {
    throw new InputError(`Data file "${file}" holds no rows; give it some.`, "task-data");
  }
  const docs = rows.map((row, i) => checked(task, row, i, file));
  if (shots === 0 || task.shotDocs || !task.shotSplit) return { rows, docs, shotDocs: [] };
  const shotFile = await findPart(task, folder, task.shotSplit);
  if (shotFile === undefined) {
    throw new InputError(
      `Task ${task.name} takes its ${shots} worked examples from "${
        task.files.at(-1)
      }_${task.shotSplit}.jsonl", which is not in "${folder}"; add it, or ask without.`,
      "num-fewshot",
    );
  }
  const shotDocs = (await readRows(shotFile)).map((row, i) => checked(task, row, i, shotFile));
  return { rows, docs, shotDocs };
}

/** What the file of a task's asked part may be called, for messages. */
export function expectedFile(task: AnyTask): string {
  return `${task.files.at(-1)}_${task.split}.jsonl`;
}

async function findPart(task: AnyTask, folder: string, split: SplitName): Promise<string | undefined> {
  for (const name of task.files) {
    const stems = [`${name}_${split}`, join(split, `${name}_${split}`), join(split, name), join(name, split)];
    if (split === task.split) stems.push(name);
    for (const stem of stems) {
      for (const ending of endings) {
        const path = join(folder, `${stem}.${ending}`);
        if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
      }
    }
  }
}

/**
 * The rows of a JSONL, JSON (a list), CSV (with a header) or parquet file.
 * @throws InputError saying what is wrong with it.
 */
export async function readRows(file: string): Promise<Record<string, unknown>[]> {
  try {
    const bytes = await readWhole(file);
    if (file.endsWith(".parquet")) {
      return (await readParquet(bytes)).map((row) => plain(row) as Record<string, unknown>);
    }
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // without its byte order mark
    if (file.endsWith(".csv")) return csvRows(text);
    if (file.endsWith(".json")) {
      const rows = parseJson(text);
      if (Array.isArray(rows)) return rows;
      throw new Error("it holds no list of rows");
    }
    return text.split("\n").filter((line) => line.trim()).map((line) =>
      parseJson(line) as Record<string, unknown>
    );
  } catch (error) {
    const why = (error as Error).message.replace(/\s+/g, " ").replace(/[.\s]+$/, "");
    throw new InputError(`Data file "${file}" cannot be read (${why}).`, "task-data");
  }
}

const mmluColumns = ["question", "choice0", "choice1", "choice2", "choice3", "answer"];

/** With the names of its header; MMLU's own files have none, and end each line in the letter of the answer. */
function csvRows(text: string): Record<string, unknown>[] {
  const [first = [], ...rest]: string[][] = parse(text);
  const headless = first.length === 6 && /^[A-D]$/.test(first[5]!);
  const names = headless ? mmluColumns : first;
  return (headless ? [first, ...rest] : rest).map((row) =>
    Object.fromEntries(row.map((value, i) => [names[i]!, value]))
  );
}

/** Parquet's 64-bit integers as plain numbers, which JSON can hold. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function checked(task: AnyTask, row: unknown, index: number, file: string): unknown {
  const result = task.rows.safeParse(row);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const field = path.length > 0 ? `"${path.join(".")}" ` : "";
  throw new InputError(
    `Row ${index + 1} of data file "${file}" does not fit task ${task.name}: ${field}${message}.`,
    "task-data",
  );
}
