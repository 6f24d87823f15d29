/** Thinking of reasoning models: text between tags that is no part of the answer. */

/** The tags of published models, each what opens thinking and what closes it; others are declared by a setting. */
export const publishedThinkingTags: readonly string[] = [
  "<think> </think>", // DeepSeek-R1, Qwen3, SmolLM3, OLMo-3-Think, Phi-4-reasoning
  "<thinking> </thinking>",
  "<thought> </thought>",
  "<reasoning> </reasoning>",
  "<seed:think> </seed:think>", // Seed-OSS
  "[THINK] [/THINK]", // Magistral
  "◁think▷ ◁/think▷", // Kimi
  "<|begin_of_thought|> <|end_of_thought|>", // Sky-T1
  "<|START_THINKING|> <|END_THINKING|>", // Command A Reasoning
];

/** Which tags to look for, and whether the prompt has opened one of them already. */
export interface ThinkingOptions {
  /** Tags beside the published ones: what opens and what closes, parted by a space. */
  readonly thinkingTags?: readonly string[];
  /** Whether completions begin inside of thinking, as after a template that ends in `<think>`; default false. */
  readonly beginsThinking?: boolean;
}

/** All tags that are looked for. */
export function knownTags({ thinkingTags = [] }: ThinkingOptions = {}): [open: string, close: string][] {
  return [...thinkingTags, ...publishedThinkingTags].map((tags) => tags.split(" ") as [string, string]);
}

/** Where the answer of a completion stands: behind the last thinking that is closed, before thinking that is not. */
export interface AnswerSpan {
  /** Index of its first character. */
  readonly start: number;
  /** Index behind its last character. */
  readonly end: number;
}

/**
 * The part of a completion that is no thinking; empty where thinking never ends.
 *
 * @example The answer behind the thinking
 * ```ts
 * import { answerSpan } from "../../engine/evaluation/mod.ts";
 *
 * const text = "<think>9? No.</think>7";
 * const { start, end } = answerSpan(text);
 * console.log(text.slice(start, end)); // 7
 * ```
 */
export function answerSpan(text: string, options: ThinkingOptions = {}): AnswerSpan {
  const tags = knownTags(options);
  const closed = Math.max(-1, ...tags.map(([, close]) => endOf(text, close)));
  const start = Math.max(0, closed);
  if (closed < 0 && options.beginsThinking) return { start: text.length, end: text.length };
  const reopened = tags.map(([open]) => text.indexOf(open, start)).filter((at) => at >= 0);
  return { start, end: Math.min(text.length, ...reopened) };
}

/** Whether a prompt ends inside of thinking, white space aside. */
export function endsThinking(prompt: string, options: ThinkingOptions = {}): boolean {
  const end = prompt.trimEnd();
  return knownTags(options).some(([open]) => end.endsWith(open));
}

function endOf(text: string, close: string): number {
  const at = text.lastIndexOf(close);
  return at < 0 ? -1 : at + close.length;
}
