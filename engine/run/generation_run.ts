/** Completing a prompt, or answering a question as a task would ask it. */
import { InputError } from "../errors.ts";
import { chatMessages, stopTokens } from "../evaluation/prompt.ts";
import { completionText, endAtStop } from "../evaluation/tasks.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ChatMessage } from "../model/chat_template.ts";
import { generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { applyPatch, readPatch } from "../patch/patch.ts";
import { askedDefinitions, checkAsked, encodeAsked } from "./asked.ts";
import { CompletionStream, type OnText } from "./completion_stream.ts";
import { embeddedModel } from "./embedded.ts";
import { patchSetting } from "./evaluation_run.ts";
import { loadModel } from "./load_model.ts";
import { modelOfPatch } from "./patch_model.ts";
import { promptSettings } from "./prompt_settings.ts";
import { modelDefinitions, type ModelSettings } from "./settings/model.ts";
import { type PromptChoices, promptDefinitions, type PromptSettings } from "./settings/prompt.ts";
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
      otherwise: "0, for several samples 1",
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
  /** 0 is greedy; default 0, for several samples 1. */
  readonly temperature?: number | undefined;
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

/** How fast tokens came. */
export interface GenerationSpeed {
  /** Tokens of all completions. */
  readonly new_tokens: number;
  /** From the prompt to the last of them. */
  readonly seconds: number;
  /** After the first ones, which wait for the prompt and for kernels; null where there were no others. */
  readonly tokens_per_second: number | null;
}

/** How a generation is started, and who is told of its text. */
export interface TextOptions extends StartOptions {
  /** Told of text as it comes, of one sample after the other. */
  readonly onText?: OnText;
}

/** What was generated. */
export interface GenerationReport extends GenerationSpeed {
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
  options: TextOptions = {},
): Promise<GenerationReport> {
  const settings = checkGeneration(given);
  // Outside of what a lost device has done anew, so that nothing is said twice.
  const stream = options.onText && new CompletionStream(options.onText);
  return await onceMoreIfLost(gpu, options.notice, async () => {
    using session = await openSession(gpu, settings, options);
    const { model, prompt } = session;
    const { prompt: asIs, question } = settings.generation;
    const ids = encodeAsked(model, settings.generation, prompt, options.notice);
    noticeUnknown(session, asIs ?? question!, options);
    // What follows a prompt taken as it is may be anything, so only what was asked for ends it.
    const stop = asIs !== undefined ? settings.prompt.stop ?? [] : prompt.stop;
    return await continueIds(session, settings, ids, stop, stream);
  });
}

/** A model that is ready to be asked. */
interface Session extends Disposable {
  readonly model: Model;
  readonly source: string;
  readonly prompt: PromptSettings;
}

type Settings = Values<typeof generationRunDefinitions>;

async function openSession(gpu: Gpu, settings: Settings, options: StartOptions): Promise<Session> {
  const { source, revision } = await modelOfPatch(settings.patch.path, settings.model);
  const prompt = await promptSettings(source, settings.prompt);
  await prepareGpu(gpu, options);
  using opened = new DisposableStack();
  const model = opened.use(await loadModel(gpu, { ...settings.model, source, revision }, options));
  if (settings.patch.path !== undefined) await applyPatch(model, await readPatch(settings.patch.path));
  const kept = opened.move();
  return { model, source, prompt, [Symbol.dispose]: () => kept.dispose() };
}

/** Completions of token ids. */
async function continueIds(
  { model, prompt }: Session,
  { generation: { samples, temperature, topK, topP }, seed }: Settings,
  ids: readonly number[],
  stop: readonly string[],
  stream: CompletionStream | undefined,
): Promise<GenerationReport> {
  const room = model.contextLength - ids.length;
  const maxNewTokens = Math.max(1, Math.min(prompt.maxNewTokens, room));
  const sampling = { temperature: temperature ?? (samples > 1 ? 1 : 0), topK, topP };
  const textOf = (tokens: readonly number[]) => completionText(model, tokens, { stop });
  const began = performance.now();
  let first: { at: number; tokens: number } | undefined;
  const generated = await generate(model, Array.from({ length: samples }, () => ({ ids, ...sampling })), {
    maxNewTokens,
    seed,
    stopTokens: stopTokens(model, prompt),
    ...(stop.length > 0 && { stopAt: endAtStop(model, stop) }),
    ...(stream && {
      onTokens: (sample: number, tokens: readonly number[], ended: boolean) => {
        first ??= { at: performance.now(), tokens: tokens.length * samples };
        stream.update(sample, textOf(tokens), ended, stop);
      },
    }),
  });
  const now = performance.now();
  const new_tokens = generated.reduce((sum, tokens) => sum + tokens.length, 0);
  const later = first && new_tokens > first.tokens ? new_tokens - first.tokens : 0;
  return {
    completions: generated.map((tokens) => ({ text: textOf(tokens), ids: tokens })),
    max_new_tokens: maxNewTokens,
    new_tokens,
    seconds: (now - began) / 1000,
    tokens_per_second: later > 0 ? later / (now - first!.at) * 1000 : null,
  };
}

/** Says once that a model has no words for what it is asked, which it then cannot know. */
function noticeUnknown({ model, source }: Session, text: string, { notice }: StartOptions) {
  if (!notice) return;
  const unknown = model.tokenizer.unknownWords(text);
  if (unknown.length === 0) return;
  const most = 5;
  const words = unknown.slice(0, most).map((word) => `"${word}"`).join(", ");
  const more = unknown.length > most ? ` and ${unknown.length - most} more` : "";
  const lacks = `vocabulary lacks ${words}${more}`;
  notice(
    source === embeddedModel()
      ? `The embedded model was trained on small arithmetic word problems only, and its ${lacks}, so that it cannot answer; setting "model" names another.`
      : `The model's ${lacks}, so that it cannot know what they mean.`,
  );
}

/** How a chat is started, and who is told of its text. */
export interface ChatOptions extends TextOptions {
  /** Told after each reply. */
  readonly onReply?: (speed: GenerationSpeed) => void;
}

/**
 * Chats: replies to each turn with all turns before it. Returns the conversation.
 *
 * @throws {InputError} for wrong settings, a model without a chat template, and a conversation that exceeds the context.
 */
export async function runChat(
  gpu: Gpu,
  given: GenerationChoices,
  turns: AsyncIterable<string>,
  options: ChatOptions = {},
): Promise<ChatMessage[]> {
  const settings = checkChat(given);
  using session = await openSession(gpu, settings, options);
  const { model, prompt } = session;
  const { tokenizer } = model;
  const said = prompt.specialTokens ? (text: string) => text : (text: string) => tokenizer.asText(text);
  const messages: ChatMessage[] = [];
  for await (const turn of turns) {
    const begun = chatMessages(turn, prompt);
    messages.push(...messages.length === 0 ? begun : begun.slice(-1));
    const marked = messages.map(({ role, content }) => ({ role, content: said(content) }));
    const ids = tokenizer.encodeChat(marked, prompt.templateVariables);
    if (ids.length >= model.contextLength) {
      throw new InputError(
        `The conversation has reached the model's context of ${model.contextLength} tokens; start a new one.`,
      );
    }
    const stream = options.onText && new CompletionStream(options.onText);
    const report = await continueIds(session, settings, ids, prompt.stop, stream);
    options.onReply?.(report);
    messages.push({ role: "assistant", content: report.completions[0]!.text });
  }
  return messages;
}

/** The settings of a chat with their defaults. Throws InputError for ones that do not fit, or not together. */
export function checkChat(given: GenerationChoices): Settings {
  const settings = checkSettings(generationRunDefinitions, given);
  const { prompt, question, samples } = settings.generation;
  if (!settings.prompt.chat || prompt !== undefined || question !== undefined) {
    throw new InputError("A chat takes its turns one by one; give neither a prompt nor a question.", "chat");
  }
  if (samples > 1) throw new InputError("A chat has one reply to a turn; leave samples out.", "samples");
  return settings;
}

/** The settings with their defaults. Throws InputError for ones that do not fit, or not together. */
export function checkGeneration(given: GenerationChoices): Values<typeof generationRunDefinitions> {
  const settings = checkSettings(generationRunDefinitions, given);
  checkAsked(settings.generation, settings.prompt);
  const { samples, temperature, topK } = settings.generation;
  if (samples > 1 && (temperature === 0 || topK === 1)) {
    throw new InputError(
      `Greedy decoding gives one completion ${samples} times; choose a temperature above 0 and more than the likeliest token.`,
      "temperature",
      "samples",
    );
  }
  return settings;
}
