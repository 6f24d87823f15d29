/** generate: completes a prompt, or chats. */
import { Gpu } from "../engine/gpu/gpu.ts";
import {
  checkChat,
  checkGeneration,
  type GenerationChoices,
  generationRunDefinitions,
  type GenerationSpeed,
  runChat,
  runGenerate,
} from "../engine/run/generation_run.ts";
import { startDefinitions } from "../engine/run/settings/start.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { readStandardInput, standardInputLines } from "./standard_input.ts";
import { printAside, printJson, printPart } from "./terminal.ts";

export const generate = defineCommand({
  name: "generate",
  summary:
    "Prints a model's completion of a prompt as it comes. Without a prompt or question it reads the prompt from standard input (- says so); " +
    "--chat without a question chats: each line is a turn.",
  settings: { ...generationRunDefinitions, start: startDefinitions },
  async run({ start, json, quiet, config: _, ...settings }) {
    const { prompt, question, samples } = settings.generation;
    const isChat = settings.prompt.chat && prompt === undefined && question === undefined;
    const display = new ProgressDisplay(quiet);
    const options = { ...start, progress: display.report, notice: display.notice };
    const speed = ({ new_tokens, seconds, tokens_per_second }: GenerationSpeed) => {
      if (quiet) return;
      const rate = tokens_per_second === null ? "" : `, ${tokens_per_second.toPrecision(3)} tokens/s`;
      printAside(`${new_tokens} tokens in ${seconds.toFixed(1)} s${rate}`);
    };
    if (isChat) {
      checkChat(settings);
      using gpu = await Gpu.open();
      const messages = await runChat(gpu, settings, standardInputLines(), {
        ...options,
        onText: (part, _, ended) => printPart(ended ? `${part}\n` : part),
        onReply: speed,
      });
      if (json) printJson({ messages });
      return;
    }
    const given: GenerationChoices = {
      ...settings,
      generation: await withStandardInput(settings.generation),
    };
    checkGeneration(given);
    using gpu = await Gpu.open();
    display.watch(gpu);
    let begun = -1;
    const report = await runGenerate(gpu, given, {
      ...options,
      onText: (part, sample, ended) => {
        if (samples > 1 && sample > begun) {
          printPart(`${sample > 0 ? "\n" : ""}--- sample ${sample + 1} of ${samples} ---\n`);
          begun = sample;
        }
        printPart(ended ? `${part}\n` : part);
      },
    });
    const distinct = new Set(report.completions.map(({ text }) => text)).size;
    if (distinct < samples && !quiet) printAside(`${distinct} of ${samples} samples are distinct`);
    speed(report);
    if (json) printJson(report);
  },
});

/** What is to be generated, from standard input where "-" or nothing was given. */
async function withStandardInput<T extends { prompt?: string | undefined; question?: string | undefined }>(
  given: T,
): Promise<T> {
  if (given.question === "-") return { ...given, question: await readStandardInput() };
  const nothing = given.prompt === undefined && given.question === undefined;
  if (given.prompt !== "-" && !(nothing && !Deno.stdin.isTerminal())) return given;
  const text = await readStandardInput();
  return text === "" ? { ...given, prompt: undefined } : { ...given, prompt: text };
}

if (import.meta.main) await runCommand(generate);
