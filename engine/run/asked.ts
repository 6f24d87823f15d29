/** What a command is given to continue or look at: a prompt as it is, or a question asked as a task would ask it. */
import { InputError } from "../errors.ts";
import { encodePrompt } from "../evaluation/prompt.ts";
import type { Model } from "../model/model.ts";
import type { PromptChoices, PromptSettings } from "./settings/prompt.ts";
import { setting } from "./settings/setting.ts";
import { lines } from "./settings/value_types.ts";

/** Settings of which one is given. */
export const askedDefinitions = {
  prompt: setting({
    name: "prompt",
    type: lines(),
    otherwise: "ask the question",
    help: "the prompt, as it is",
    example: "Once",
  }),
  question: setting({
    name: "question",
    type: lines(),
    otherwise: "continue the prompt",
    help: "a question, asked as the prompt options say",
    example: "What is 2 + 2?",
  }),
};

/** See askedDefinitions. */
export interface Asked {
  /** Taken as it is. */
  readonly prompt?: string | undefined;
  /** Asked as the prompt settings say. */
  readonly question?: string | undefined;
}

/** Throws InputError unless one of the two is given, and with a prompt nothing that only a question takes. */
export function checkAsked(
  { prompt, question }: Asked,
  { chat, shots, template, description }: PromptChoices,
) {
  if ((prompt === undefined) === (question === undefined)) {
    throw new InputError("Give either a prompt or a question.", "prompt", "question");
  }
  const unused = (chat && "chat") || (shots && "shots") || (template && "prompt-template") ||
    (description && "description");
  if (prompt !== undefined && unused) {
    throw new InputError(
      `A prompt is taken as it is, so "${unused}" means nothing; give a question instead.`,
      unused,
      "question",
    );
  }
}

/** Token ids of what was given. Names of control tokens in it are text unless the prompt settings say otherwise, which is told. */
export function encodeAsked(
  model: Model,
  { prompt: asIs, question }: Asked,
  prompt: PromptSettings,
  notice?: (sentence: string) => void,
): number[] {
  if (asIs === undefined) return encodePrompt(model, question!, prompt);
  const said = prompt.specialTokens ? asIs : model.tokenizer.asText(asIs);
  if (said !== asIs) {
    notice?.(
      'The prompt names control tokens, which are read as text; setting "special-tokens" reads them as tokens.',
    );
  }
  return model.tokenizer.encode(said);
}
