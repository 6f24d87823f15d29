/** Running tasks by name: results.json and samples_TASK.jsonl in the fields of lm-evaluation-harness, resumed row by row. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { complete, scorePairs } from "../evaluation/harness/answers.ts";
import { CustomScorer } from "../evaluation/custom_scorer.ts";
import { tasksOf } from "../evaluation/harness/catalog.ts";
import { isTaskFile, readTaskFile } from "../evaluation/harness/own_task.ts";
import { type Prompted, promptsOf, shotCount, type TaskRows } from "../evaluation/harness/prompts.ts";
import { type HarnessResults, type Measured, summarize } from "../evaluation/harness/results.ts";
import { expectedFile, loadRows } from "../evaluation/harness/rows.ts";
import {
  choiceSample,
  contextOf,
  filterNames,
  generationSamples,
  type Sample,
  sha256,
} from "../evaluation/harness/samples.ts";
import type { AnyTask } from "../evaluation/harness/task.ts";
import { defaultSizes, type PuzzleChoices, puzzleRows, puzzles } from "../evaluation/puzzles/catalog.ts";
import { bySize, type PuzzleSample, type SizeResult } from "../evaluation/puzzles/complexity.ts";
import type { AnyPuzzle } from "../evaluation/puzzles/puzzle.ts";
import { roomNotices } from "../evaluation/puzzles/room.ts";
import { puzzleTask } from "../evaluation/puzzles/task.ts";
import { requireWritable, writeAtomically, writeJson } from "../files.ts";
import type { ChatMessage } from "../model/chat_template.ts";
import type { Model } from "../model/model.ts";
import type { ThinkingOptions } from "../evaluation/thinking.ts";
import type { Progress } from "../progress.ts";
import { readJsonObject } from "../json_objects.ts";
import { fingerprintModel } from "./inputs.ts";
import type { Some } from "./settings/setting.ts";
import { readWholeText } from "../whole_file.ts";

/** Which tasks are run and how. */
export interface TaskChoices {
  /** Names of tasks and groups (see tasksOf) and of puzzles, and files that describe a task (see readTaskFile). */
  readonly tasks: readonly string[];
  /** Folder with the rows of named tasks; see loadRows. */
  readonly data?: string | undefined;
  /** Worked examples, default each task's own number. */
  readonly shots?: number | undefined;
  /** Rows of each task, default all; below 1 a share of them. */
  readonly limit?: number | undefined;
  /** Ask through the model's chat template, worked examples as earlier turns. Default false. */
  readonly chat?: boolean | undefined;
  /** Most tokens of a completion, default 256. */
  readonly maxNewTokens?: number | undefined;
  /** A file whose default export judges completions instead of the task's own rule; see CustomScorer. */
  readonly scorer?: string | undefined;
  /** Seed of the choice of worked examples, default the harness's 1234. */
  readonly seed?: number | undefined;
  /** Which instances of puzzles, default 25 of each size from 1 to 8 by seed 0. */
  readonly puzzles?: Some<PuzzleChoices> | undefined;
  /** Tags around thinking beside the published ones, which is no part of a plan. */
  readonly thinkingTags?: readonly string[] | undefined;
}

/** Where results go, and who is told of what. */
export interface TaskRunOptions {
  /** Folder for results.json and samples; what it holds of the same run is not computed again. */
  readonly out?: string | undefined;
  /** Identifies what was put into the model, if anything was: results of other models are not taken over. */
  readonly patch?: string | undefined;
  /** Rows between writes of samples, default 64. */
  readonly block?: number | undefined;
  /** Called with how far each task is. */
  readonly progress?: Progress | undefined;
  /** Called with a sentence on what a user should know. */
  readonly notice?: ((text: string) => void) | undefined;
}

/** What results.json holds. */
export interface TaskResults extends HarnessResults {
  /** Of each puzzle, what became of its plans by size. */
  readonly complexity?: Readonly<Record<string, readonly SizeResult[]>>;
  /** How models were run. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What ran them. */
  readonly model_source: string;
  /** Folder or id. */
  readonly model_name: string;
  /** Tokens of the longest sequence. */
  readonly max_length: number;
  /** Seconds since 1970. */
  readonly date: number;
  /** As text, as the harness writes it. */
  readonly total_evaluation_time_seconds: string;
}

/**
 * Runs tasks on the model as it is, overlays included.
 *
 * @throws InputError for unknown tasks, missing or wrong data, and a folder that holds another run.
 *
 * @example A task of lm-evaluation-harness on rows of one's own
 * ```ts
 * import { Gpu, Model, runTasks } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const folder = await Deno.makeTempDir();
 * const row = { question: "Which is a colour?", choices: ["two", "red", "pen", "cup"], answer: 1, subject: "words" };
 * await Deno.writeTextFile(`${folder}/mmlu_anatomy_test.jsonl`, JSON.stringify(row));
 * await Deno.writeTextFile(`${folder}/mmlu_anatomy_dev.jsonl`, JSON.stringify(row));
 * const { results } = await runTasks(model, { tasks: ["mmlu_anatomy"], data: folder });
 * console.log(results.mmlu_anatomy);
 * ```
 */
export async function runTasks(
  model: Model,
  choices: TaskChoices,
  options: TaskRunOptions = {},
): Promise<TaskResults> {
  const started = Date.now();
  const { maxNewTokens = 256, chat = false, seed = 1234, thinkingTags } = choices;
  using stack = new DisposableStack();
  const parts = (await loadTasks({ ...choices, chat }, options.notice)).map((part) => {
    const file = choices.scorer ?? part.file;
    return file === undefined
      ? { ...part, scorer: undefined }
      : { ...part, file, task: judgedByFile(part.task), scorer: stack.use(new CustomScorer(file)) };
  });
  const scorerHash = choices.scorer === undefined ? null : await sha256OfFile(choices.scorer);
  const own: Record<string, object> = {};
  for (const { task, file, ownLimit } of parts) {
    const scorer = choices.scorer === undefined && file !== undefined && await sha256OfFile(file);
    if (!scorer && ownLimit === undefined) continue;
    own[task.name] = {
      ...(scorer && { scorer }),
      ...(ownLimit !== undefined && { max_new_tokens: ownLimit }),
    };
  }
  const config = {
    model: "circuit-amp",
    model_args: { pretrained: model.directory },
    model_num_parameters: model.parameters,
    limit: choices.limit ?? null,
    gen_kwargs: { max_gen_toks: maxNewTokens },
    fewshot_seed: seed,
  };
  if (options.out !== undefined) {
    await claimFolder(options.out, {
      model: await fingerprintModel(model.directory),
      patch: options.patch ?? null,
      chat,
      max_new_tokens: maxNewTokens,
      scorer: scorerHash,
      ...(Object.keys(own).length > 0 && { own }),
      ...(thinkingTags && { thinking_tags: thinkingTags }),
    });
  }
  const measured: Measured[] = [];
  const complexity: Record<string, SizeResult[]> = {};
  for (const { task, data, shots, puzzle, scorer, ownLimit } of parts) {
    const asked = {
      shots,
      seed,
      ...(chat && { chat: (messages: readonly ChatMessage[]) => model.tokenizer.chatText(messages) }),
    };
    const prompts = promptsOf(task, data, asked, rowLimit(choices.limit, data.docs.length));
    if (puzzle) {
      roomNotices(model, puzzle, prompts, { chat, maxNewTokens }).forEach((said) => options.notice?.(said));
    }
    const thinking = thinkingTags ? { thinkingTags } : {};
    const form = { chat, maxNewTokens: choices.maxNewTokens ?? ownLimit ?? maxNewTokens, scorer, thinking };
    const samples = await answerAll(model, task, prompts, form, options);
    // What a judged task records stands in its samples.
    if (puzzle) complexity[task.name] = bySize(samples as unknown as PuzzleSample[]);
    measured.push({ task, samples, rows: data.docs.length, shots });
  }
  const results: TaskResults = {
    ...summarize(measured, choices.tasks),
    ...(Object.keys(complexity).length > 0 && { complexity }),
    config,
    model_source: "circuit-amp",
    model_name: model.directory,
    max_length: model.contextLength,
    date: started / 1000,
    total_evaluation_time_seconds: `${(Date.now() - started) / 1000}`,
  };
  if (options.out !== undefined) await writeJson(join(options.out, "results.json"), results);
  return results;
}

/** A task whose completions a file judges. Throws InputError for one that writes none. */
function judgedByFile(task: AnyTask): AnyTask {
  if ("filters" in task) return { ...task, filters: { scorer: (completion: string) => completion } };
  const why = task.kind === "choice"
    ? "compares choices and has no completion to judge"
    : "is judged by its rules";
  throw new InputError(`Task ${task.name} ${why}.`, "scorer");
}

async function sha256OfFile(path: string): Promise<string> {
  try {
    return sha256(await readWholeText(path));
  } catch {
    throw new InputError(
      `Scorer "${path}" cannot be read; give a file with a function as its default export.`,
      "scorer",
    );
  }
}

/** How rows are answered. */
interface AnswerForm {
  readonly chat: boolean;
  readonly maxNewTokens: number;
  readonly scorer: CustomScorer | undefined;
  readonly thinking: ThinkingOptions;
}

interface TaskPart {
  readonly task: AnyTask;
  readonly data: TaskRows;
  readonly shots: number;
  readonly puzzle?: AnyPuzzle;
  /** A file of the task's own that judges its completions. */
  readonly file?: string | undefined;
  /** Most tokens of a completion by the task's own file. */
  readonly ownLimit?: number | undefined;
}

/** Rows of all tasks; of a group those whose data is there. */
async function loadTasks(
  { tasks, data, shots, puzzles: { sizes = defaultSizes, instances = 25, seed = 0 } = {}, chat = false }:
    TaskChoices,
  notice?: (text: string) => void,
): Promise<TaskPart[]> {
  const parts: TaskPart[] = [];
  const missing: AnyTask[] = [];
  for (const file of tasks.filter(isTaskFile)) {
    const { task, rows, said, scorer, maxNewTokens } = await readTaskFile(file);
    if (said !== undefined) notice?.(said);
    parts.push({ task, data: rows, shots: shotCount(task, shots), file: scorer, ownLimit: maxNewTokens });
  }
  for (const puzzle of tasks.flatMap((name) => puzzles.get(name) ?? [])) {
    const { rows, said } = puzzleRows(puzzle, { sizes, instances, seed });
    said.forEach((sentence) => notice?.(sentence));
    const part = puzzleTask(puzzle, rows, { chat });
    parts.push({ ...part, shots: shotCount(part.task, shots), puzzle });
  }
  const named = tasksOf(tasks.filter((name) => !isTaskFile(name) && !puzzles.has(name)), [...puzzles.keys()]);
  if (data === undefined && named.length > 0) {
    throw new InputError("Tasks need the folder that holds their rows; name it.", "task-data");
  }
  for (const task of named) {
    const count = shotCount(task, shots);
    const rows = await loadRows(task, data!, count);
    if (rows) parts.push({ task, data: rows, shots: count });
    else missing.push(task);
  }
  const names = parts.map(({ task }) => task.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new InputError(`Two tasks are called "${twice}"; rename one.`, "tasks");
  const needed = missing.find(({ name }) => tasks.includes(name)) ?? (parts.length === 0 && missing[0]);
  if (needed) {
    throw new InputError(
      `Task ${needed.name} needs "${expectedFile(needed)}" (or .json, .csv, .parquet) in "${data}".`,
      "task-data",
    );
  }
  if (missing.length > 0) notice?.(`No data for ${missing.map(({ name }) => name).join(", ")}: left out.`);
  return parts;
}

function rowLimit(limit: number | undefined, rows: number): number {
  if (limit === undefined) return rows;
  return limit < 1 ? Math.ceil(limit * rows) : Math.min(rows, limit);
}

/** Samples of all prompts in order; what the folder holds of them is taken from there. */
async function answerAll(
  model: Model,
  task: AnyTask,
  prompts: readonly Prompted[],
  form: AnswerForm,
  { out, block = 64, progress }: TaskRunOptions,
): Promise<Sample[]> {
  const path = out === undefined ? undefined : join(out, `samples_${task.name}.jsonl`);
  const perRow = filterNames(task).length;
  const samples: Sample[] = path === undefined ? [] : await earlier(path, task, prompts, perRow);
  for (let done = samples.length / perRow; done < prompts.length; done = samples.length / perRow) {
    const part = prompts.slice(done, done + block);
    const onProgress = () => progress?.(task.name, done, prompts.length);
    onProgress();
    samples.push(...await answer(model, task, part, form));
    if (path) await writeAtomically(path, samples.map((sample) => JSON.stringify(sample) + "\n").join(""));
  }
  progress?.(task.name, prompts.length, prompts.length);
  return samples;
}

async function answer(
  model: Model,
  task: AnyTask,
  prompts: readonly Prompted[],
  form: AnswerForm,
): Promise<Sample[]> {
  if (task.kind === "generation") {
    const { thinking, scorer, ...asked } = form;
    const contexts = prompts.map((prompt) => contextOf(prompt, 0));
    const written = await complete(model, contexts, task.until, {
      ...asked,
      ...("judge" in task && { thinking }),
    });
    const samples: Sample[] = [];
    for (const [p, prompt] of prompts.entries()) {
      const outcome = await scorer?.score({ completion: written[p]!.text, row: prompt.row });
      samples.push(...generationSamples(task, prompt, written[p]!, { ...form, outcome }));
    }
    return samples;
  }
  const pairs = prompts.flatMap((prompt) =>
    prompt.continuations.map((continuation, i) => [contextOf(prompt, i), continuation] as const)
  );
  const results = await scorePairs(model, pairs, form);
  let first = 0;
  return prompts.map((prompt) =>
    choiceSample(task, prompt, results.slice(first, first += prompt.continuations.length))
  );
}

/** Notes in the folder what answers depend on besides their prompts. Throws InputError if it holds answers of something else. */
async function claimFolder(folder: string, key: Readonly<Record<string, unknown>>) {
  await requireWritable(folder);
  const path = join(folder, "tasks.json");
  const held = await readJsonObject(path);
  if (held && JSON.stringify(held) !== JSON.stringify(key)) {
    const names = Object.keys(key).filter((name) => JSON.stringify(held[name]) !== JSON.stringify(key[name]));
    throw new InputError(
      `Folder "${folder}" holds answers under another ${
        names.join(" and ").replaceAll("_", " ")
      }; choose another.`,
      "out",
    );
  }
  await writeJson(path, key);
}

/** The samples that a file already holds of these prompts: from the first row to the first that differs or is not whole. */
async function earlier(
  path: string,
  task: AnyTask,
  prompts: readonly Prompted[],
  perRow: number,
): Promise<Sample[]> {
  let text: string;
  try {
    text = await readWholeText(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const lines = text.trimEnd().split("\n");
  const samples: Sample[] = [];
  for (const prompt of prompts) {
    const own = lines.slice(samples.length, samples.length + perRow).flatMap(parsed);
    if (own.length < perRow || !own.every((sample) => answers(sample, task, prompt))) break;
    samples.push(...own);
  }
  return samples;
}

function parsed(line: string): Sample[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return []; // such a row is computed again
  }
}

/** Whether a sample is of this prompt, to the letter. */
function answers(sample: Sample, task: AnyTask, prompt: Prompted): boolean {
  const asked = Object.values(sample.arguments ?? {}).map(({ arg_0, arg_1 }) => [arg_0, arg_1]);
  const expected = task.kind === "choice"
    ? prompt.continuations.map((continuation, i) => [contextOf(prompt, i), continuation])
    : [[contextOf(prompt, 0), asked[0]?.[1]]];
  return sample.doc_id === prompt.docId && JSON.stringify(asked) === JSON.stringify(expected) &&
    JSON.stringify(sample.doc) === JSON.stringify(prompt.row);
}
