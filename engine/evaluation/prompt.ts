/** Prompts: how a question becomes the text, or the conversation, that a model continues. */
import { InputError } from "../errors.ts";
import type { ChatMessage, TemplateVariables } from "../model/chat_template.ts";
import { commonLength } from "../model/prefix_cache.ts";
import type { Model } from "../model/model.ts";
import { SharedPrefix } from "../model/shared_prefix.ts";
import type { Shots } from "./shots.ts";

/** Question and answer and nothing else: what the embedded models were trained on. */
export const plainTemplate = "Q: {question}\nA:";

/** Asks for a worked solution (zero-shot form of arXiv 2205.11916); the reference's prompt, method section 1. */
export const chainOfThoughtTemplate = "Q: {question}\nA: Let's think step by step.";

/** How questions are asked. */
export interface PromptFormat {
  /** Stands before everything; in a chat it is the system's message. Default none. */
  readonly description?: string | undefined;
  /** Text with `{question}` in it; with `chat` the text of a user's turn. */
  readonly template: string;
  /** Worked examples before the question, each in the same form; default none. */
  readonly shots?: Shots;
  /** Ask through the model's chat template, shots as earlier turns; default false. */
  readonly chat?: boolean;
  /** Values for variables of the chat template, such as enable_thinking. */
  readonly templateVariables?: TemplateVariables;
  /** Read names of control tokens in questions and shots as those tokens; default false, they are text. */
  readonly specialTokens?: boolean;
  /** Texts before which a completion ends; default none. */
  readonly stop?: readonly string[];
}

/** The text before which a few-shot completion ends: the beginning of one more example. Undefined where none is fixed. */
export function nextExample(template: string): string | undefined {
  const lead = template.slice(0, template.indexOf("{question}")).trimEnd();
  return lead === "" ? undefined : `\n\n${lead}`;
}

/** Throws InputError for a template without `{question}`. */
export function requireQuestion(template: string): void {
  if (template.includes("{question}")) return;
  throw new InputError(
    `The prompt template "${template}" does not contain {question}; put it where the question goes.`,
  );
}

/**
 * The prompt's token ids, special tokens included.
 *
 * @throws {InputError} for a template without `{question}`.
 *
 * @example Token ids of a question
 * ```ts
 * import { encodePrompt, Gpu, Model, plainTemplate } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * console.log(encodePrompt(model, "What is 3 + 4?", { template: plainTemplate }));
 * ```
 */
export function encodePrompt({ tokenizer }: Model, question: string, prompt: PromptFormat): number[] {
  const said = prompt.specialTokens ? (text: string) => text : (text: string) => tokenizer.asText(text);
  const { shots = [] } = prompt;
  const marked = {
    ...prompt,
    ...(prompt.description !== undefined && { description: said(prompt.description) }),
    shots: typeof shots === "string"
      ? said(shots)
      : shots.map((shot) => ({ question: said(shot.question), answer: said(shot.answer) })),
  };
  return prompt.chat
    ? tokenizer.encodeChat(chatMessages(said(question), marked), prompt.templateVariables)
    : tokenizer.encode(promptText(said(question), marked));
}

/** The ids that end a completion: the model's own, in a chat the tokenizer's end token as well. */
export function stopTokens(model: Model, { chat = false }: Pick<PromptFormat, "chat">): number[] {
  return [...new Set([...model.config.eosTokens, ...(chat ? model.tokenizer.endOfTurn : [])])];
}

/**
 * The prompt as text: blocks of question and answer parted by an empty line, then the question.
 *
 * @example A prompt with a worked example
 * ```ts
 * import { promptText } from "../../engine/evaluation/mod.ts";
 *
 * const shots = [{ question: "1 + 1?", answer: "2" }];
 * console.log(promptText("3 + 4?", { template: "Q: {question}\nA:", shots }));
 * ```
 */
export function promptText(
  question: string,
  { description = "", template, shots = [] }: PromptFormat,
): string {
  requireQuestion(template);
  const beginning = typeof shots === "string"
    ? shots
    : shots.map((shot) => `${ask(template, shot.question)} ${shot.answer}\n\n`).join("");
  return description + beginning + ask(template, question);
}

/** The prompt as a conversation: a user's and an assistant's turn per shot, then the question. */
export function chatMessages(
  question: string,
  { description, template, shots = [] }: PromptFormat,
): ChatMessage[] {
  requireQuestion(template);
  if (typeof shots === "string") {
    throw new InputError(
      `A chat needs shots as question and answer, but they are plain text; give JSONL, none or default.`,
    );
  }
  return [
    ...(description ? [{ role: "system", content: description } as const] : []),
    ...shots.flatMap((shot): ChatMessage[] => [
      { role: "user", content: ask(template, shot.question) },
      { role: "assistant", content: shot.answer },
    ]),
    { role: "user", content: ask(template, question) },
  ];
}

/**
 * What all prompts of this form begin with, to be computed once (method section 6.3). Valid while weights stay as they are.
 *
 * @example Compute what all prompts begin with once
 * ```ts
 * import { encodePrompt, generate, Gpu, Model, plainTemplate, promptPrefix } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * using sharedPrefix = promptPrefix(model, { template: plainTemplate });
 * const ids = encodePrompt(model, "What is 3 + 4?", { template: plainTemplate });
 * await generate(model, [{ ids }], { maxNewTokens: 8, sharedPrefix });
 * ```
 */
export function promptPrefix(model: Model, prompt: PromptFormat): SharedPrefix {
  const [one, other] = ["7", "Who?"].map((question) => encodePrompt(model, question, prompt));
  return new SharedPrefix(model, one!.slice(0, commonLength(one!, other!)));
}

function ask(template: string, question: string): string {
  return template.replace("{question}", () => question);
}
