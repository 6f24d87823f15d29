/** evaluate: accuracy of a model, with or without a patch, on a task and other abilities. */
import { Gpu } from "../engine/gpu/gpu.ts";
import { evaluationRunDefinitions, runEvaluate } from "../engine/run/evaluation_run.ts";
import { outSetting, startDefinitions } from "../engine/run/settings/start.ts";
import { describeEvaluation } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";

export const evaluate = defineCommand({
  name: "evaluate",
  summary: "Measures greedy accuracy on a task, per template, and on other abilities.",
  settings: {
    ...evaluationRunDefinitions,
    start: { ...startDefinitions, out: outSetting("folder to write evaluation.json to", "none") },
  },
  async run({ start, json, quiet, config: _, ...settings }) {
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    const report = await runEvaluate(gpu, settings, {
      ...start,
      progress: display.report,
      notice: display.notice,
    });
    display.finish();
    console.log(describeEvaluation(report));
    if (json) console.log(JSON.stringify(report));
  },
});

if (import.meta.main) await runCommand(evaluate);
