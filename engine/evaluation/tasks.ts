/** Tasks: problems with a prompt and a way to score completions, and a model's accuracy on them. */
import { InputError } from "../errors.ts";
import { type CompletionJournal, generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import type { Problem } from "./data.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { chatMessages, encodePrompt, type PromptFormat, promptText, stopTokens } from "./prompt.ts";
import { isCorrect, type Scoring } from "./scorers.ts";
import { cutAtStop, cutTrace, type ScoringOptions } from "./scoring.ts";
import { macroAccuracy } from "./statistics.ts";
import { endsThinking, knownTags, type ThinkingOptions } from "./thinking.ts";

/** Some problems and how they are asked and scored. */
export interface Task {
  /** Shown and written with results. */
  readonly name: string;
  /** What is asked. */
  readonly problems: readonly Problem[];
  /** How completions are judged. */
  readonly scoring: Scoring;
  /** How it is asked where that is not how other tasks are. */
  readonly prompt?: TaskPrompt;
}

/** What a task says of how it is asked. */
export type TaskPrompt = Pick<
  Partial<PromptOptions>,
  "description" | "template" | "shots" | "stop" | "maxNewTokens"
>;

/** How prompts are made and traces are read. */
export interface PromptOptions extends PromptFormat, ScoringOptions {
  /** Most tokens of a completion. */
  readonly maxNewTokens: number;
  /** What the prompts begin with, computed already with the model as it is (promptPrefix). */
  readonly sharedPrefix?: SharedPrefix;
  /** What need not be generated again, and where completions go as they end; keys are made of problems' positions. */
  readonly journal?: CompletionJournal;
  /**
   * Place of each problem among all of its kind, where only some are given; journals and random streams know a problem by it.
   * Default its place among those given.
   */
  readonly positions?: readonly number[];
}

/** Outcome per problem, and the accuracy macro-averaged over templates. */
export interface TaskResult {
  /** Whether each problem was answered. */
  readonly correct: boolean[];
  /** The text of each completion. */
  readonly completions: string[];
  /** Mean over templates, from 0 to 1. */
  readonly accuracy: number;
  /** Accuracy of each template. */
  readonly perTemplate: Record<string, number>;
}

/**
 * The text of a completion: up to its first stop text, without special tokens other than tags of thinking.
 *
 * @example Text of generated tokens
 * ```ts
 * import { generate, Gpu, Model } from "../../mod.ts";
 * import { completionText } from "../../engine/evaluation/mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: What is 3 + 4?\nA:");
 * const [tokens] = await generate(model, [{ ids }], { maxNewTokens: 16 });
 * console.log(completionText(model, tokens!, { stop: ["\n"] }));
 * ```
 */
export function completionText(
  model: Model,
  ids: readonly number[],
  options: Pick<PromptFormat, "stop"> & ThinkingOptions,
): string {
  return cutAtStop(readable(model, ids, options), options.stop);
}

/** Text without special tokens, tags of thinking excepted: without them thinking could not be told from the answer. */
function readable({ tokenizer }: Model, ids: readonly number[], options: ThinkingOptions): string {
  const plain = tokenizer.decode(ids, { skipSpecialTokens: true });
  const whole = tokenizer.decode(ids);
  if (plain === whole) return plain;
  const tags = knownTags(options).flat().filter((tag) => whole.includes(tag) && !plain.includes(tag));
  if (tags.length === 0) return plain;
  let [text, from] = ["", 0];
  ids.forEach((id, i) => {
    const tag = tokenizer.decode([id]);
    if (!tags.includes(tag)) return;
    text += tokenizer.decode(ids.slice(from, i), { skipSpecialTokens: true }) + tag;
    from = i + 1;
  });
  return text + tokenizer.decode(ids.slice(from), { skipSpecialTokens: true });
}

/** Options as a task of its own prompt has them: what was computed of another beginning is of no use to it. */
function asked({ sharedPrefix, ...options }: PromptOptions, own: TaskPrompt | undefined): PromptOptions {
  return own ? { ...options, ...own } : { ...options, ...(sharedPrefix && { sharedPrefix }) };
}

/** Options that say whether completions begin inside of thinking, by how a prompt ends. */
export function withThinking<T extends PromptOptions>(model: Model, options: T): T {
  if (options.beginsThinking !== undefined) return options;
  const prompt = options.chat
    ? model.tokenizer.chatText(chatMessages("?", options), options.templateVariables)
    : promptText("?", options);
  return { ...options, beginsThinking: endsThinking(prompt, options) };
}

/** Under which number journals and random streams know problem `i` of those given. */
export function positionOf(i: number, { positions }: Pick<PromptOptions, "positions">): number {
  return positions?.[i] ?? i;
}

/** How completions of problems are generated: with what is known already, and each as if it were alone. */
export function computedAlike({ sharedPrefix, journal }: PromptOptions) {
  return { batchInvariant: true, ...(sharedPrefix && { sharedPrefix }), ...(journal && { journal }) };
}

/** How many of these generated tokens to keep; undefined where they go on. GenerationOptions.stopAt. */
export type EndOfCompletion = (ids: readonly number[]) => number | undefined;

/**
 * Where a numeric trace ends: after the sentence that states the answer, or before a stop text.
 *
 * @example Stop generating at the answer
 * ```ts
 * import { generate, Gpu, Model } from "../../mod.ts";
 * import { endOfAnswer } from "../../engine/evaluation/mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: What is 3 + 4?\nA:");
 * await generate(model, [{ ids }], { maxNewTokens: 48, stopAt: endOfAnswer(model, {}) });
 * ```
 */
export function endOfAnswer(
  model: Model,
  options: ScoringOptions & Pick<PromptFormat, "stop">,
): EndOfCompletion {
  return endAfter(model, options, (text) => cutTrace(cutAtStop(text, options.stop), options));
}

/**
 * Where any completion ends: before a stop text.
 *
 * @example Stop generating at a text
 * ```ts
 * import { generate, Gpu, Model } from "../../mod.ts";
 * import { endAtStop } from "../../engine/evaluation/mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: What is 3 + 4?\nA:");
 * await generate(model, [{ ids }], { maxNewTokens: 48, stopAt: endAtStop(model, ["\n\n"]) });
 * ```
 */
export function endAtStop(model: Model, stop: readonly string[]): EndOfCompletion {
  return endAfter(model, {}, (text) => cutAtStop(text, stop));
}

/** Where completions end that are judged so: a number where it is stated, all before a stop text. As options of generation. */
export function stopsAt(
  model: Model,
  scoring: Scoring,
  options: ScoringOptions & Pick<PromptFormat, "stop">,
): { stopAt?: EndOfCompletion } {
  if (scoring === "number") return { stopAt: endOfAnswer(model, options) };
  return options.stop?.length ? { stopAt: endAtStop(model, options.stop) } : {};
}

/** The fewest tokens that hold what `cut` leaves of their text; undefined where it leaves all of it. */
function endAfter(model: Model, options: ThinkingOptions, cut: (text: string) => string): EndOfCompletion {
  const read = (ids: readonly number[]) => readable(model, ids, options);
  return (ids) => {
    const text = read(ids);
    const { length } = cut(text);
    if (length === text.length) return undefined;
    let count = ids.length;
    // What is cut off came since the last look, so the end is near.
    while (count > 0 && read(ids.slice(0, count - 1)).length >= length) count--;
    return count;
  };
}

/**
 * Greedy accuracy of the model as it is (overlays included) on a task.
 *
 * @example Accuracy on a dozen problems
 * ```ts
 * import { evaluateTask, Gpu, loadProblems, Model, plainTemplate } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const problems = (await loadProblems("fixtures/tasks/math.jsonl")).slice(0, 12);
 * const task = { name: "math", problems, scoring: "number" } as const;
 * const { accuracy } = await evaluateTask(model, task, { template: plainTemplate, maxNewTokens: 48 });
 * console.log(accuracy);
 * ```
 */
export async function evaluateTask(
  model: Model,
  task: Task,
  general: PromptOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<TaskResult> {
  if (task.problems.length === 0) {
    throw new InputError(`Task ${task.name} has no problems to evaluate; use more data.`);
  }
  const options = withThinking(model, asked(general, task.prompt));
  const requests = task.problems.map(({ question }, i) => ({
    ids: encodePrompt(model, question, options),
    key: `${task.name} ${positionOf(i, options)}`,
  }));
  const generated = await generate(model, requests, {
    maxNewTokens: options.maxNewTokens,
    stopTokens: stopTokens(model, options),
    ...stopsAt(model, task.scoring, options),
    ...computedAlike(options),
    ...(onProgress && { onProgress }),
  });
  const completions = generated.map((ids) => completionText(model, ids, options));
  const correct: boolean[] = [];
  for (const [i, problem] of task.problems.entries()) {
    correct.push(await isCorrect(completions[i]!, problem, task.scoring, options));
  }
  const { accuracy, perGroup } = macroAccuracy(correct, task.problems.map(({ templateId }) => templateId));
  return { correct, completions, accuracy, perTemplate: perGroup };
}
