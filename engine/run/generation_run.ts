/** Completing a prompt, or answering a question as a task would ask it. */
import { stopTokens } from "../evaluation/prompt.ts";
import { completionText, endAtStop } from "../evaluation/tasks.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { generate } from "../model/generate.ts";
import { applyPatch, readPatch } from "../patch/patch.ts";
import { askedDefinitions, checkAsked, encodeAsked } from "./asked.ts";
import { patchSetting } from "./evaluation_run.ts";
import { loadModel } from "./load_model.ts";
import { modelOfPatch } from "./patch_model.ts";
import { promptSettings } from "./prompt_settings.ts";
import { modelDefinitions, type ModelSettings } from "./settings/model.ts";
import { type PromptChoices, promptDefinitions } from "./settings/prompt.ts";
import { checkSettings, setting, type Some, type Values } from "./settings/setting.ts";
import { fraction, integer, nonNegative, seed } from "./settings/value_types.ts";
import { prepareGpu, type StartOptions } from "./start_options.ts";

// Nothing is scored here, so it does not matter what is thinking.
const { thinkingTags: _, ...asked } = promptDefinitions;

/** Settings of a generation, grouped as the engine takes them. */
export const generationRunDefinitions = {
  model: modelDefinitions,
  generation: {
    ...askedDefinitions,
    temperature: setting({
      name: "temperature",
      type: nonNegative("T"),
      default: 0,
      help: "0 is greedy",
      example: "0.8",
    }),
    topK: setting({
      name: "top-k",
      type: integer(0, 2 ** 32 - 1, "K"),
      default: 0,
      help: "only the K most likely tokens, 0 for all",
      example: "40",
    }),
    topP: setting({
      name: "top-p",
      type: fraction("P"),
      default: 1,
      help: "only the most likely tokens of this mass",
      example: "0.95",
    }),
    samples: setting({
      name: "samples",
      type: integer(1, 10_000),
      default: 1,
      help: "number of completions",
      example: "3",
    }),
  },
  prompt: asked,
  seed: setting({ name: "seed", type: seed, default: 0, help: "seed of the sampling", example: "1" }),
  patch: { path: patchSetting },
};

/** What is generated: either `prompt` is continued as it is, or `question` asked. */
export interface GenerationSettings {
  /** Continued as it is. */
  readonly prompt?: string | undefined;
  /** Asked as the prompt settings say. */
  readonly question?: string | undefined;
  /** 0 is greedy. */
  readonly temperature: number;
  /** Only the k most likely tokens; 0 for all. */
  readonly topK: number;
  /** Only the most likely tokens of this mass. */
  readonly topP: number;
  /** Number of completions. */
  readonly samples: number;
}

/** What a user may choose of a generation; a prompt or a question is needed. */
export interface GenerationChoices {
  /** Default: the embedded model. */
  readonly model?: Some<ModelSettings>;
  /** What is generated. */
  readonly generation: Some<GenerationSettings>;
  /** How a question is asked. */
  readonly prompt?: PromptChoices;
  /** Of the sampling. */
  readonly seed?: number | undefined;
  /** A run folder or patch file to apply first. */
  readonly patch?: Some<{ readonly path: string }>;
}

/** A completion: its text up to the first stop text, and all ids that were generated. */
export interface Completion {
  /** Up to the first stop text, without special tokens. */
  readonly text: string;
  /** All ids that were generated. */
  readonly ids: readonly number[];
}

/** What was generated. */
export interface GenerationReport {
  /** One per sample. */
  readonly completions: readonly Completion[];
  /** Most new tokens there could be: what was asked for, or what the context had left. */
  readonly max_new_tokens: number;
}

/**
 * Completes a prompt or answers a question.
 *
 * @throws {InputError} for wrong settings, model or patch.
 *
 * @example Ask the embedded model
 * ```ts
 * import { Gpu, runGenerate } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const generation = { question: "Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?" };
 * const { completions } = await runGenerate(gpu, { generation });
 * console.log(completions[0]!.text);
 * ```
 */
export async function runGenerate(
  gpu: Gpu,
  given: GenerationChoices,
  options: StartOptions = {},
): Promise<GenerationReport> {
  return await onceMoreIfLost(gpu, options.notice, () => complete(gpu, given, options));
}

async function complete(
  gpu: Gpu,
  given: GenerationChoices,
  options: StartOptions,
): Promise<GenerationReport> {
  const settings = checkGeneration(given);
  const { prompt: asIs, question: _, samples, ...sampling } = settings.generation;
  const { source, revision } = await modelOfPatch(settings.patch.path, settings.model);
  const prompt = await promptSettings(source, settings.prompt);
  // What follows a prompt taken as it is may be anything, so only what was asked for ends it.
  const stop = asIs !== undefined ? settings.prompt.stop ?? [] : prompt.stop;
  await prepareGpu(gpu, options);
  using model = await loadModel(gpu, { ...settings.model, source, revision }, options);
  if (settings.patch.path !== undefined) await applyPatch(model, await readPatch(settings.patch.path));
  const ids = encodeAsked(model, settings.generation, prompt, options.notice);
  const room = model.contextLength - ids.length;
  const maxNewTokens = Math.max(1, Math.min(prompt.maxNewTokens, room));
  const generated = await generate(model, Array.from({ length: samples }, () => ({ ids, ...sampling })), {
    maxNewTokens,
    seed: settings.seed,
    stopTokens: stopTokens(model, prompt),
    ...(stop.length > 0 && { stopAt: endAtStop(model, stop) }),
  });
  return {
    completions: generated.map((tokens) => ({ text: completionText(model, tokens, { stop }), ids: tokens })),
    max_new_tokens: maxNewTokens,
  };
}

/** The settings with their defaults. Throws InputError for ones that do not fit, or not together. */
export function checkGeneration(given: GenerationChoices): Values<typeof generationRunDefinitions> {
  const settings = checkSettings(generationRunDefinitions, given);
  checkAsked(settings.generation, settings.prompt);
  return settings;
}
