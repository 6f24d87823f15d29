/** How questions are asked; what is left out follows the model folder's prompt.json, if it has one. What a task file says goes before. */
import { z } from "npm:zod@4.6.7";
import type { Shot, Shots } from "../../evaluation/shots.ts";
import { type Definitions, setting } from "./setting.ts";
import { integer, jsonOrText, lines, listOf, mapOf, ofSchema, toggle } from "./value_types.ts";

/** A file's name, none or default; or the shots themselves, as examples or as text. */
export type ShotsChoice = string | readonly Shot[] | { readonly text: string };

const shotsChoice: z.ZodType<ShotsChoice> = z.union([
  z.string().min(1),
  z.array(z.strictObject({ question: z.string(), answer: z.string() })),
  z.strictObject({ text: z.string().min(1) }),
]);

/** How questions are asked, resolved. */
export interface PromptSettings {
  /** Stands before everything; in a chat it is the system's message. */
  readonly description?: string | undefined;
  /** Text with {question} in it; in a chat that of a user's turn. */
  readonly template: string;
  /** Worked examples, or text before the question; the examples themselves, not the name of their file. */
  readonly shots: Shots;
  /** Ask through the model's chat template. */
  readonly chat: boolean;
  /** Texts before which a completion ends. */
  readonly stop: readonly string[];
  /** What opens and closes thinking, parted by a space, beside the tags of published models. */
  readonly thinkingTags?: readonly string[];
  /** Values for variables of the chat template, such as enable_thinking. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /** Read names of control tokens in questions and shots as those tokens. */
  readonly specialTokens?: boolean;
  /** Most tokens to generate. */
  readonly maxNewTokens: number;
}

/** What a user may choose of it; what is left undefined follows the model. */
export interface PromptChoices {
  /** Stands before everything; in a chat it is the system's message. */
  readonly description?: string | undefined;
  /** Text with {question} in it. */
  readonly template?: string | undefined;
  /** A file, "none", "default", or the shots themselves. */
  readonly shots?: ShotsChoice | undefined;
  /** Ask through the model's chat template. */
  readonly chat?: boolean | undefined;
  /** Texts before which a completion ends. */
  readonly stop?: readonly string[] | undefined;
  /** What opens and closes thinking, parted by a space, beside the tags of published models. */
  readonly thinkingTags?: readonly string[] | undefined;
  /** Values for variables of the chat template, such as enable_thinking. */
  readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
  /** Read names of control tokens in questions and shots as those tokens; default false, they are text. */
  readonly specialTokens?: boolean | undefined;
  /** Most tokens to generate. */
  readonly maxNewTokens?: number | undefined;
}

/** See PromptChoices. */
export const promptDefinitions = {
  description: setting({
    name: "description",
    type: lines(),
    otherwise: "none",
    help: "text before everything; in a chat it is the system's message",
    example: "Answer in one word.\\n\\n",
  }),
  template: setting({
    name: "prompt-template",
    type: lines(),
    otherwise: "the model's own, else step by step; in a chat the question",
    help: "prompt with {question} in it",
    example: "Q: {question}\\nA:",
  }),
  shots: setting({
    name: "shots",
    type: ofSchema(shotsChoice, "FILE", "a file, none, default, or a list of question and answer"),
    otherwise: "the model's own, else our own eight",
    help:
      "worked examples before the question: JSONL of question and answer, or plain text; none; or default for our own eight",
    example: "none",
  }),
  chat: setting({
    name: "chat",
    type: toggle,
    default: false,
    help: "ask through the model's chat template, shots as earlier turns",
    example: "",
  }),
  stop: setting({
    name: "stop",
    type: listOf(lines()),
    otherwise: "the model's own, else the next example's beginning",
    help: "end before this text",
    example: "\\n\\n",
  }),
  thinkingTags: setting({
    name: "thinking-tags",
    type: listOf(ofSchema(z.string().regex(/^\S+ \S+$/), '"OPEN CLOSE"', "two tags parted by a space")),
    otherwise: "those of published models, such as <think> </think>",
    help: "tags around thinking, which is no part of the answer",
    example: "<work> </work>",
  }),
  templateVariables: setting({
    name: "template-var",
    type: mapOf(jsonOrText("VALUE")),
    otherwise: "none",
    help: "variable of the chat template; VALUE is JSON or else text",
    example: "enable_thinking=false",
  }),
  specialTokens: setting({
    name: "special-tokens",
    type: toggle,
    default: false,
    help: "read names of control tokens in prompts, questions and shots as those tokens, not as text",
    example: "",
  }),
  maxNewTokens: setting({
    name: "max-new-tokens",
    type: integer(1),
    otherwise: "the model's own, else 320",
    help: "most tokens to generate",
    example: "48",
  }),
} satisfies Definitions<PromptChoices>;
