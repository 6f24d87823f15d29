/** deno task evaluate: accuracy of a model, with or without a patch, on a task and other abilities. */
import { join } from "node:path";
import { describeSurvival, Fusion } from "../engine/patch/fusion.ts";
import { applyPatch, readPatch } from "../engine/patch/patch.ts";
import { loadProblems, requireNumericAnswers, splitProblems } from "../engine/evaluation/data.ts";
import { promptHead } from "../engine/evaluation/prompt.ts";
import { evaluateTask, type Task } from "../engine/evaluation/tasks.ts";
import { InputError } from "../engine/errors.ts";
import { requireWritable, writeJson } from "../engine/files.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import type { Model } from "../engine/model/model.ts";
import { type Rounding, roundings } from "../engine/checkpoint/rounding.ts";
import { Checkpoint } from "../engine/checkpoint/checkpoint.ts";
import { loadModel } from "../engine/run/load_model.ts";
import { promptOptions } from "../engine/run/prompt_settings.ts";
import { tune } from "../engine/ops/tuning.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { dataFlags, modelFlags, promptFlags, toSettings, tuneFlag } from "./run_flags.ts";

await runCommand({
  name: "evaluate",
  summary: "Measures greedy accuracy on a task, per template, and on other abilities.",
  flags: [
    ...modelFlags,
    ...dataFlags,
    ...promptFlags,
    tuneFlag,
    {
      name: "patch",
      value: "PATH",
      help: "patch to apply first: a run folder or patch.safetensors",
      type: types.text,
    },
    {
      name: "rounding",
      value: "KIND",
      help:
        "round patched rows to the checkpoint's type, as patch fuse would: nearest, stochastic (by --seed) or none",
      type: types.oneOf(...roundings, "none"),
    },
    {
      name: "split",
      value: "NAME",
      help: "train, validation, test or all",
      type: types.oneOf("train", "validation", "test", "all"),
      fallback: "test",
    },
    { name: "out", value: "DIR", help: "folder to write evaluation.json to", type: types.text },
  ],
  async run(values) {
    const settings = await toSettings(values);
    const rounding = (values.rounding ?? "none") as Rounding | "none";
    if (values.rounding && !values.patch) {
      throw new InputError(`--rounding ${rounding} rounds the rows of a patch; add --patch.`);
    }
    const out = values.out as string | undefined;
    if (out) await requireWritable(out);
    const problems = await loadProblems(settings.data);
    requireNumericAnswers(problems, settings.data);
    const part = values.split as "train" | "validation" | "test" | "all";
    const tasks: Task[] = [{
      name: "task",
      problems: part === "all" ? problems : splitProblems(problems, settings.seed)[part],
      scoring: "number",
    }];
    for (const [name, file] of Object.entries(settings.abilities)) {
      tasks.push({ name, problems: await loadProblems(file), scoring: "exact" });
    }
    if (tasks[0]!.problems.length === 0) {
      throw new InputError(`The ${part} part of ${settings.data} is empty; use --split all.`);
    }
    const display = new ProgressDisplay(values.quiet === true);
    using gpu = await Gpu.open();
    if (!values["no-tune"]) await tune(gpu);
    using model = await loadModel(gpu, settings, {
      offline: values.offline === true,
      progress: display.report,
    });
    const fusion = values.patch
      ? await applyRounded(model, values.patch as string, rounding, settings.seed)
      : undefined;
    using head = promptHead(model, promptOptions(settings));
    const options = { ...promptOptions(settings), head };
    const accuracy: Record<string, number> = {};
    let perTemplate: Record<string, number> = {};
    for (const task of tasks) {
      const result = await evaluateTask(
        model,
        task,
        options,
        (done, total) => display.report(task.name, done, total),
      );
      accuracy[task.name] = result.accuracy;
      if (task.name === "task") perTemplate = result.perTemplate;
    }
    display.finish();
    for (const [template, value] of Object.entries(perTemplate)) {
      console.log(`template ${template.padEnd(8)} ${(100 * value).toFixed(1)} %`);
    }
    for (const task of tasks) {
      console.log(
        `${task.name.padEnd(17)} ${(100 * accuracy[task.name]!).toFixed(1)} % of ${task.problems.length}`,
      );
    }
    if (fusion) console.log(`${fusion.dtype.padEnd(17)} ${describeSurvival(fusion.survives)}`);
    const { task, ...other_abilities } = accuracy;
    const report = {
      model: settings.model,
      ...(model.commit && { model_commit: model.commit }),
      data: settings.data,
      patch: values.patch ?? null,
      rounding,
      ...(fusion ? { dtype: fusion.dtype, survives: fusion.survives } : {}),
      split: part,
      seed: settings.seed,
      prompt: {
        template: settings.promptTemplate,
        shots: settings.shots,
        chat: settings.chat,
        stop: settings.stop,
        max_new_tokens: settings.maxNewTokens,
      },
      accuracy: task!,
      per_template: perTemplate,
      other_abilities,
      adapter: gpu.adapterName,
    };
    if (out) await writeJson(join(out, "evaluation.json"), report);
    if (values.json) console.log(JSON.stringify(report));
  },
});

/** Puts a patch into the model, rounded unless `rounding` is none; tells then what rounding left of it. */
async function applyRounded(
  model: Model,
  path: string,
  rounding: Rounding | "none",
  seed: number,
): Promise<Fusion | undefined> {
  const patch = await readPatch(path);
  if (rounding === "none") {
    await applyPatch(model, patch);
    return;
  }
  using checkpoint = await Checkpoint.open(model.directory);
  const fusion = new Fusion(checkpoint, patch, rounding, seed);
  await applyPatch(model, patch, fusion.rows);
  return fusion;
}
