/** A prompt token by token: probabilities, and what each layer expects. */
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type TokenTrace, traceTokens } from "../model/token_trace.ts";
import { applyPatch, readPatch } from "../patch/patch.ts";
import { type Asked, askedDefinitions, checkAsked, encodeAsked } from "./asked.ts";
import { patchSetting } from "./evaluation_run.ts";
import { loadModel } from "./load_model.ts";
import { modelOfPatch } from "./patch_model.ts";
import { promptSettings } from "./prompt_settings.ts";
import { modelDefinitions, type ModelSettings } from "./settings/model.ts";
import { type PromptChoices, promptDefinitions } from "./settings/prompt.ts";
import { checkSettings, setting, type Some } from "./settings/setting.ts";
import { integer } from "./settings/value_types.ts";
import { prepareGpu, type StartOptions } from "./start_options.ts";

// Nothing is generated or scored here.
const { thinkingTags: _, stop: __, maxNewTokens: ___, ...asked } = promptDefinitions;

/** Settings of a trace, grouped as the engine takes them. */
export const traceRunDefinitions = {
  model: modelDefinitions,
  traced: {
    ...askedDefinitions,
    last: setting({
      name: "last",
      type: integer(1, 4096),
      default: 64,
      help: "only so many tokens at the end of the prompt",
      example: "16",
    }),
    top: setting({
      name: "top",
      type: integer(1, 100, "K"),
      default: 5,
      help: "how many expected tokens are named",
      example: "3",
    }),
  },
  prompt: asked,
  patch: { path: patchSetting },
};

/** What is traced: either `prompt` as it is, or `question` as a task would ask it. */
export interface TraceRunSettings extends Asked {
  /** Only so many tokens at the end. */
  readonly last: number;
  /** How many expected tokens are named. */
  readonly top: number;
}

/** What a user may choose of a trace; a prompt or a question is needed. */
export interface TraceChoices {
  /** Default: the embedded model. */
  readonly model?: Some<ModelSettings>;
  /** What is traced. */
  readonly traced: Some<TraceRunSettings>;
  /** How a question is asked. */
  readonly prompt?: PromptChoices;
  /** A run folder or patch file to apply first. */
  readonly patch?: Some<{ readonly path: string }>;
}

/** A trace and whose it is. */
export interface TraceReport extends TokenTrace {
  /** Folder or Hugging Face id. */
  readonly model: string;
  /** The patch that was applied first. */
  readonly patch?: string | undefined;
}

/**
 * Traces a prompt or a question.
 *
 * @throws {InputError} for wrong settings, model or patch.
 */
export async function runTrace(
  gpu: Gpu,
  given: TraceChoices,
  options: StartOptions = {},
): Promise<TraceReport> {
  return await onceMoreIfLost(gpu, options.notice, async () => {
    const settings = checkTrace(given);
    const { last, top } = settings.traced;
    const { source, revision } = await modelOfPatch(settings.patch.path, settings.model);
    const prompt = await promptSettings(source, settings.prompt);
    await prepareGpu(gpu, options);
    using model = await loadModel(gpu, { ...settings.model, source, revision }, options);
    const { path: patch } = settings.patch;
    if (patch !== undefined) await applyPatch(model, await readPatch(patch));
    const ids = encodeAsked(model, settings.traced, prompt, options.notice);
    return { model: source, patch, ...await traceTokens(model, ids, { last, top }) };
  });
}

/** The settings with their defaults. Throws InputError for ones that do not fit, or not together. */
export function checkTrace(given: TraceChoices) {
  const settings = checkSettings(traceRunDefinitions, given);
  checkAsked(settings.traced, settings.prompt);
  return settings;
}
