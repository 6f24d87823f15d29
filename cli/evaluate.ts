/** evaluate: accuracy of a model, with or without a patch, on a task and other abilities, or on the harness's tasks. */
import { Gpu } from "../engine/gpu/gpu.ts";
import { evaluationRunDefinitions, runEvaluate } from "../engine/run/evaluation_run.ts";
import { outSetting, startDefinitions } from "../engine/run/settings/start.ts";
import { taskDefinitions } from "../engine/run/settings/tasks.ts";
import { describeTasks, runTaskEvaluation } from "../engine/run/task_evaluation.ts";
import { describeEvaluation } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const evaluate = defineCommand({
  name: "evaluate",
  summary:
    "Measures a model on a task and other abilities, or on tasks as lm-evaluation-harness defines them.",
  settings: {
    ...evaluationRunDefinitions,
    tasks: taskDefinitions,
    start: {
      ...startDefinitions,
      out: outSetting("folder to write evaluation.json to, or results.json and samples", "none"),
    },
  },
  async run({ start, json, quiet, config: _, tasks, ...settings }) {
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const options = { ...start, progress: display.report, notice: display.notice };
    const asked = Object.entries(tasks).find(([, value]) => value !== undefined);
    const report = asked
      ? await runTaskEvaluation(gpu, { ...settings, tasks }, options)
      : await runEvaluate(gpu, settings, options);
    display.finish();
    print("results" in report ? describeTasks(report) : describeEvaluation(report));
    if (json) printJson(report);
  },
});

if (import.meta.main) await runCommand(evaluate);
