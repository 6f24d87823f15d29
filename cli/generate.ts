/** generate: completes a prompt. */
import { Gpu } from "../engine/gpu/gpu.ts";
import { checkGeneration, generationRunDefinitions, runGenerate } from "../engine/run/generation_run.ts";
import { startDefinitions } from "../engine/run/settings/start.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const generate = defineCommand({
  name: "generate",
  summary: "Prints a model's completion of a prompt.",
  settings: { ...generationRunDefinitions, start: startDefinitions },
  async run({ start, json, quiet, config: _, ...settings }) {
    checkGeneration(settings);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const report = await runGenerate(gpu, settings, {
      ...start,
      progress: display.report,
      notice: display.notice,
    });
    for (const { text } of report.completions) print(text, { breaks: false });
    if (json) printJson(report);
  },
});

if (import.meta.main) await runCommand(generate);
