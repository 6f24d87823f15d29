/**
 * Outcomes of models item by item, from files: samples in the fields of lm-evaluation-harness (its own or ours), and run folders.
 */
import { basename, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { requireAsWritten } from "../../as_written.ts";
import { InputError } from "../../errors.ts";
import { parseJson, readJsonObject } from "../../json_objects.ts";
import { problemsOfTask } from "../data_task.ts";
import { splitProblems } from "../split.ts";
import { readWholeText } from "../../whole_file.ts";

/** One item's outcome. */
export interface Outcome {
  /** Tells the item from others of its task. */
  readonly id: string;
  /** Of its contents, where the file has one. */
  readonly hash?: string;
  /** Items that are not independent share one, such as instances of a template. */
  readonly cluster: string;
  readonly correct: boolean;
  /** Of an instance of a puzzle. */
  readonly size?: number;
}

/** Outcomes by task. */
export type Outcomes = ReadonlyMap<string, readonly Outcome[]>;

const sampleSchema = z.looseObject({
  doc_id: z.union([z.int(), z.string()]),
  doc_hash: z.string().optional(),
  doc: z.looseObject({
    original_id: z.union([z.string(), z.number()]).optional(),
    puzzle: z.unknown().optional(),
    size: z.unknown().optional(),
  }).optional(),
  filter: z.string().optional(),
  metrics: z.union([z.array(z.string()), z.record(z.string(), z.unknown())]).optional(),
});
type SampleRow = z.infer<typeof sampleSchema>;

const recordsSchema = z.record(z.string(), z.looseObject({ correct: z.array(z.boolean()) }));

/** Measures that are right or wrong, the preferred first. */
const rightOrWrong = ["exact_match", "acc", "mc1", "acc_norm"];

/**
 * Reads a run folder (`which` of its models: amplified, base, random, …), a folder with samples_*.jsonl, in it or one folder
 * below, or a file of samples.
 * @throws {InputError} for a path that holds none of these.
 */
export async function readOutcomes(path: string, which = "amplified"): Promise<Outcomes> {
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info) {
    throw new InputError(
      `"${path}" does not exist; give a run folder, an evaluation's folder or a file of samples.`,
    );
  }
  if (info.isFile) return new Map([[taskOf(path), await readSamples(path)]]);
  const run = await readJsonObject(join(path, "evaluations.json"));
  if (run) {
    await requireAsWritten(path, ["evaluations.json", "config.json"]);
    return await runOutcomes(path, run, which);
  }
  const files = await sampleFiles(path);
  if (files.length === 0) {
    throw new InputError(
      `Folder "${path}" holds neither evaluations.json of a run nor samples_*.jsonl of an evaluation.`,
    );
  }
  const outcomes = new Map<string, readonly Outcome[]>();
  for (const file of files) {
    const task = taskOf(file);
    if (outcomes.has(task)) {
      throw new InputError(`Folder "${path}" holds samples of "${task}" twice; give the files.`);
    }
    outcomes.set(task, await readSamples(file));
  }
  return outcomes;
}

/** samples_TASK_2026-01-31T12-00-00.jsonl and samples_TASK.jsonl are of TASK; any other file of its name. */
function taskOf(file: string): string {
  return basename(file).replace(/\.jsonl$/, "").replace(/^samples_/, "").replace(
    /_\d{4}-\d\d-\d\dT[\d.:-]+$/,
    "",
  );
}

async function sampleFiles(folder: string, deeper = true): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory && deeper) found.push(...await sampleFiles(path, false));
    else if (/^samples_.*\.jsonl$/.test(name)) found.push(path);
  }
  return found.sort();
}

async function readSamples(file: string): Promise<Outcome[]> {
  const rows: SampleRow[] = [];
  for (const [i, line] of (await readWholeText(file)).split("\n").entries()) {
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = parseJson(line);
    } catch {
      throw new InputError(
        `Line ${i + 1} of "${file}" is not JSON; give samples as lm-evaluation-harness writes them.`,
      );
    }
    const parsed = sampleSchema.safeParse(value);
    if (!parsed.success) {
      throw new InputError(
        `Line ${i + 1} of "${file}" is no sample: "${
          parsed.error.issues[0]!.path.join(".")
        }" is missing or wrong.`,
      );
    }
    rows.push(parsed.data);
  }
  if (rows.length === 0) throw new InputError(`"${file}" holds no samples.`);
  // A task may report each answer through several filters; the first one counts.
  const { filter } = rows[0]!;
  const chosen = rows.filter((row) => row.filter === filter);
  const metric = rightOrWrong.find((name) =>
    chosen.every((row) => [0, 1].includes(valueOf(row, name) as number))
  );
  if (!metric) {
    throw new InputError(
      `No measure of "${file}" is right or wrong; ${rightOrWrong.join(", ")} are looked for.`,
    );
  }
  return chosen.map((row) => ({
    id: String(row.doc_id),
    ...(row.doc_hash !== undefined && { hash: row.doc_hash }),
    cluster: row.doc?.original_id !== undefined ? `template ${row.doc.original_id}` : `item ${row.doc_id}`,
    correct: valueOf(row, metric) === 1,
    ...(typeof row.doc?.puzzle === "string" && typeof row.doc.size === "number" && { size: row.doc.size }),
  }));
}

/** A measure of a row, which stands beside the other fields or among `metrics`. */
function valueOf(row: SampleRow, metric: string): number | undefined {
  const own = row[metric] ?? (Array.isArray(row.metrics) ? undefined : row.metrics?.[metric]);
  return typeof own === "boolean" ? Number(own) : typeof own === "number" ? own : undefined;
}

async function runOutcomes(path: string, run: Record<string, unknown>, which: string): Promise<Outcomes> {
  const records = recordsSchema.safeParse(run);
  if (!records.success) {
    throw new InputError(`File "${join(path, "evaluations.json")}" is damaged; make the run again.`);
  }
  const record = records.data[which];
  if (!record) {
    throw new InputError(
      `Run "${path}" has no model "${which}"; it has ${Object.keys(records.data).join(", ")}.`,
      "model-a",
      "model-b",
    );
  }
  const config = await readJsonObject(join(path, "config.json"));
  // The test split is that of these inputs and this seed; items of other ones are others.
  const settings = config?.settings as { seed?: number; data?: { file?: string } } | undefined;
  const inputs = config?.inputs as { data?: unknown } | undefined;
  const hash = JSON.stringify([settings?.seed, inputs?.data ?? settings?.data?.file, record.correct.length]);
  const templates = await templatesOf(settings?.data?.file, settings?.seed, record.correct.length);
  const outcomes = record.correct.map((correct, i) => ({
    id: String(i),
    hash,
    cluster: templates ? `template ${templates[i]}` : `item ${i}`,
    correct,
  }));
  return new Map([["task", outcomes]]);
}

/** The templates of a run's test problems, by its data file; undefined where that is gone or another one now. */
async function templatesOf(file: string | undefined, seed: number | undefined, items: number) {
  if (file === undefined || seed === undefined) return undefined;
  const problems = await problemsOfTask(file).catch((error) => {
    if (error instanceof InputError) return undefined;
    throw error;
  });
  const templates = problems && splitProblems(problems, seed).test.map(({ templateId }) => templateId);
  return templates?.length === items ? templates : undefined;
}
