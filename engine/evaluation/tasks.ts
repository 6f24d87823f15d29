/** Tasks: problems with a prompt and a way to score completions, and a model's accuracy on them. */
import { InputError } from "../errors.ts";
import { type CompletionJournal, generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import type { Problem } from "./data.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { chatMessages, encodePrompt, type PromptFormat, promptText, stopTokens } from "./prompt.ts";
import { cutAtStop, cutTrace, isCorrectNumber, isExactMatch, type ScoringOptions } from "./scoring.ts";
import { solves } from "./puzzles/problem.ts";
import { macroAccuracy } from "./statistics.ts";
import { endsThinking, knownTags, type ThinkingOptions } from "./thinking.ts";

/**
 * `number`: the last number of the trace. `exact`: the whole completion, ignoring case, spaces and a final period. Of a problem that
 * asks for a puzzle's instance, whichever is named, a plan that solves it is right.
 */
export type Scoring = "number" | "exact";

/** Some problems and how they are asked and scored. */
export interface Task {
  /** Shown and written with results. */
  readonly name: string;
  /** What is asked. */
  readonly problems: readonly Problem[];
  /** How completions are compared with answers. */
  readonly scoring: Scoring;
}

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

/** Whether a completion answers its problem. */
export function isCorrect(
  completion: string,
  problem: Problem,
  scoring: Scoring,
  options: ScoringOptions,
): boolean {
  if (problem.puzzle) return solves(completion, problem.puzzle, options);
  return scoring === "number"
    ? isCorrectNumber(completion, problem.answer, options)
    : isExactMatch(completion, problem.answer, options);
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
  given: PromptOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<TaskResult> {
  if (task.problems.length === 0) {
    throw new InputError(`Task ${task.name} has no problems to evaluate; use more data.`);
  }
  const options = withThinking(model, given);
  const requests = task.problems.map(({ question }, i) => ({
    ids: encodePrompt(model, question, options),
    key: `${task.name} ${positionOf(i, options)}`,
  }));
  const generated = await generate(model, requests, {
    maxNewTokens: options.maxNewTokens,
    stopTokens: stopTokens(model, options),
    ...(task.scoring === "number"
      ? { stopAt: endOfAnswer(model, options) }
      : options.stop?.length && { stopAt: endAtStop(model, options.stop) }),
    ...computedAlike(options),
    ...(onProgress && { onProgress }),
  });
  const completions = generated.map((ids) => completionText(model, ids, options));
  const correct = completions.map((text, i) => isCorrect(text, task.problems[i]!, task.scoring, options));
  const { accuracy, perGroup } = macroAccuracy(correct, task.problems.map(({ templateId }) => templateId));
  return { correct, completions, accuracy, perTemplate: perGroup };
}
