/** Evaluating a model, with or without a patch, on tasks as lm-evaluation-harness defines them. */
import { createHash } from "node:crypto";
import { InputError } from "../errors.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { puzzles } from "../evaluation/puzzles/catalog.ts";
import { describeSizes } from "../evaluation/puzzles/complexity.ts";
import { isScorerFile } from "../evaluation/task_file.ts";
import { readPatch } from "../patch/patch.ts";
import { applyPatchTo, evaluationRunDefinitions } from "./evaluation_run.ts";
import type { EvaluationChoices } from "./evaluation_run.ts";
import { loadModel } from "./load_model.ts";
import { modelOfPatch } from "./patch_model.ts";
import { checkSettings, type Some } from "./settings/setting.ts";
import { taskDefinitions, type TaskSettings } from "./settings/tasks.ts";
import { prepareGpu, type StartOptions } from "./start_options.ts";
import { runTasks, type TaskResults } from "./task_run.ts";

/** What a user may choose; of an evaluation what does not stand in the tasks' own definitions. */
export interface TaskEvaluationChoices extends EvaluationChoices {
  readonly tasks: Some<TaskSettings>;
}

/**
 * Evaluates on tasks; leaves results.json and samples_TASK.jsonl in `options.out` where that is given.
 * @throws {InputError} for wrong settings, data, model or patch, before anything is computed.
 */
export async function runTaskEvaluation(
  gpu: Gpu,
  given: TaskEvaluationChoices,
  options: StartOptions & { readonly out?: string | undefined } = {},
): Promise<TaskResults> {
  const settings = checkSettings({ ...evaluationRunDefinitions, tasks: taskDefinitions }, given);
  const {
    tasks: { names, data, shots, limit, sizes, instances },
    prompt,
    patch: { path, rounding = "none" },
  } = settings;
  if (!names?.length) throw new InputError("No task is named; name one or several.", "tasks");
  if (limit !== undefined && limit > 1 && !Number.isInteger(limit)) {
    throw new InputError(`A limit of ${limit} is neither a number of rows nor a share below 1.`, "limit");
  }
  const own = {
    data: settings.data.file,
    description: prompt.description,
    "prompt-template": prompt.template,
    shots: prompt.shots,
    stop: prompt.stop,
    ability: settings.evaluation.abilities,
  };
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined) {
      throw new InputError("A task defines its own data, prompt and stop texts; leave them out.", name);
    }
  }
  const { scorer } = settings.data;
  if (scorer !== undefined && !isScorerFile(scorer)) {
    throw new InputError(
      `A task is judged by its own rule or by a file; "${scorer}" is no .ts file.`,
      "scorer",
    );
  }
  const ofPuzzles = { sizes, instances };
  for (const [name, value] of Object.entries(ofPuzzles)) {
    if (value !== undefined && !names.some((task) => puzzles.has(task))) {
      throw new InputError(`No puzzle is named; name one of ${[...puzzles.keys()].join(", ")}.`, name);
    }
  }
  return await onceMoreIfLost(gpu, options.notice, async () => {
    await prepareGpu(gpu, options);
    const { source, revision } = await modelOfPatch(path, settings.model);
    using model = await loadModel(gpu, { ...settings.model, source, revision }, options);
    let patch: string | undefined;
    if (path !== undefined) {
      const hash = createHash("sha256").update(
        JSON.stringify([rounding, rounding !== "none" && settings.seed]),
      );
      for (const { name, rows, delta } of (await readPatch(path)).tensors) {
        hash.update(name).update(new Uint8Array(rows.buffer)).update(new Uint8Array(delta.buffer));
      }
      patch = hash.digest("hex");
      await applyPatchTo(model, path, rounding, settings.seed);
    }
    const { chat, maxNewTokens, thinkingTags } = prompt;
    const choices = { data, shots, limit, scorer, chat, maxNewTokens, thinkingTags };
    return await runTasks(
      model,
      { ...choices, tasks: names, puzzles: { ...ofPuzzles, seed: settings.seed } },
      {
        out: options.out,
        patch,
        progress: options.progress,
        notice: options.notice,
      },
    );
  });
}

/** The results as lines of a table: metric, filter, value and standard error of each task and group; puzzles by size. */
export function describeTasks({ results, complexity, "n-shot": shots }: TaskResults): string {
  return Object.entries(results).flatMap(([name, row]) => [
    ...Object.entries(row).filter(([key]) => key.includes(",") && !key.includes("_stderr,")).map(
      ([key, value]) => {
        const [metric, filter] = key.split(",") as [string, string];
        const error = row[`${metric}_stderr,${filter}`];
        const spread = typeof error === "number" ? ` ± ${percent(error)}` : "";
        const how = filter === "none" ? metric : `${metric}, ${filter}`;
        const examples = shots[name] === undefined ? "" : `, ${shots[name]} shots`;
        return `${name} (${how}${examples}, ${row.sample_len} rows): ${percent(value as number)}${spread} %`;
      },
    ),
    ...describeSizes(complexity?.[name] ?? []),
  ]).join("\n");
}

function percent(fraction: number): string {
  return (100 * fraction).toFixed(2);
}
