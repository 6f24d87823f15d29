/** Tasks: problems with a prompt and a way to score completions, and a model's accuracy on them. */
import { InputError } from "../errors.ts";
import { generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import type { Problem } from "./data.ts";
import { cutTrace, isCorrectNumber, isExactMatch, type ScoringOptions } from "./scoring.ts";
import { macroAccuracy } from "./statistics.ts";

/** `number`: the last number of the trace. `exact`: the whole completion, ignoring case, spaces and a final period. */
export type Scoring = "number" | "exact";

/** Some problems and how they are asked and scored. */
export interface Task {
  readonly name: string;
  readonly problems: readonly Problem[];
  readonly scoring: Scoring;
}

/** How prompts are made and traces are read. */
export interface PromptOptions extends ScoringOptions {
  /** Text with `{question}` in it. */
  readonly template: string;
  readonly maxNewTokens: number;
}

/** The default prompt, which the embedded models were trained on. */
export const defaultTemplate = "Q: {question}\nA:";

/** Outcome per problem, and the accuracy macro-averaged over templates. */
export interface TaskResult {
  readonly correct: boolean[];
  readonly completions: string[];
  readonly accuracy: number;
  readonly perTemplate: Record<string, number>;
}

/** The prompt's token ids, special tokens included. Throws InputError for a template without `{question}`. */
export function encodePrompt(model: Model, question: string, template: string): number[] {
  if (!template.includes("{question}")) {
    throw new InputError(
      `The prompt template "${template}" does not contain {question}; put it where the question goes.`,
    );
  }
  return model.tokenizer.encode(template.replace("{question}", () => question));
}

/** Whether a completion answers its problem. */
export function isCorrect(
  completion: string,
  problem: Problem,
  scoring: Scoring,
  options: ScoringOptions,
): boolean {
  return scoring === "number"
    ? isCorrectNumber(completion, problem.answer, options)
    : isExactMatch(completion, problem.answer);
}

/** Where a numeric trace ends: after the sentence that states the answer. For GenerationOptions.stopAt. */
export function endOfAnswer(
  model: Model,
  options: ScoringOptions,
): (ids: readonly number[]) => number | undefined {
  return (ids) => {
    const text = model.tokenizer.decode(ids, { skipSpecialTokens: true });
    const length = cutTrace(text, options).length;
    if (length === text.length) return undefined;
    for (let n = 1; n < ids.length; n++) {
      if (model.tokenizer.decode(ids.slice(0, n), { skipSpecialTokens: true }).length >= length) return n;
    }
    return undefined;
  };
}

/** Greedy accuracy of the model as it is (overlays included) on a task. */
export async function evaluateTask(
  model: Model,
  task: Task,
  options: PromptOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<TaskResult> {
  if (task.problems.length === 0) {
    throw new InputError(`Task ${task.name} has no problems to evaluate; use more data.`);
  }
  const requests = task.problems.map(({ question }) => ({
    ids: encodePrompt(model, question, options.template),
  }));
  const generated = await generate(model, requests, {
    maxNewTokens: options.maxNewTokens,
    ...(task.scoring === "number" && { stopAt: endOfAnswer(model, options) }),
    ...(onProgress && { onProgress }),
  });
  const completions = generated.map((ids) => model.tokenizer.decode(ids, { skipSpecialTokens: true }));
  const correct = completions.map((text, i) => isCorrect(text, task.problems[i]!, task.scoring, options));
  const { accuracy, perGroup } = macroAccuracy(correct, task.problems.map(({ templateId }) => templateId));
  return { correct, completions, accuracy, perTemplate: perGroup };
}
