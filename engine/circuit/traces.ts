/** Traces (method section 1): a greedy one per problem, and a sampled one whose outcome is the opposite. */
import type { Problem } from "../evaluation/data.ts";
import { encodePrompt, stopTokens } from "../evaluation/prompt.ts";
import { isCorrect, type Scoring } from "../evaluation/scorers.ts";
import {
  completionText,
  computedAlike,
  positionOf,
  type PromptOptions,
  stopsAt,
  withThinking,
} from "../evaluation/tasks.ts";
import { generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";

/** One generated solution. */
export interface Trace {
  /** Generated token ids. */
  readonly ids: readonly number[];
  /** The text that is scored. */
  readonly text: string;
  /** Whether it states the right answer. */
  readonly correct: boolean;
}

/** A problem's traces; without `contrast` no sample had the opposite outcome and the problem yields no example. */
export interface ProblemTraces {
  /** What was asked. */
  readonly problem: Problem;
  /** Token ids of the prompt. */
  readonly promptIds: readonly number[];
  /** Without sampling. */
  readonly greedy: Trace;
  /** The first sample with the opposite outcome, its number and its temperature. */
  readonly contrast?: Trace & { readonly sample: number; readonly temperature: number };
}

/** Sampling of contrasting traces; the defaults are the reference's. */
export interface TraceOptions extends PromptOptions {
  /** How traces are judged, default by the number that they state. */
  readonly scoring?: Scoring;
  /** Of sampling. */
  readonly seed: number;
  /** Most samples a problem. */
  readonly samples: number;
  /** Temperature where the greedy trace was right, and where it was wrong. */
  readonly temperatureRight: number;
  /** Temperature where the greedy trace was wrong. */
  readonly temperatureWrong: number;
}

/** See TraceOptions. */
export const traceDefaults = { samples: 10, temperatureRight: 1.2, temperatureWrong: 0.8 } as const;

/** Called as traces finish: what is being made, how many of how many. */
export type TraceProgress = (stage: string, done: number, total: number) => void;

/**
 * Greedy traces of all problems.
 *
 * @example What a model answers
 * ```ts
 * import { Gpu, greedyTraces, loadProblems, Model, plainTemplate, traceDefaults } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const problems = (await loadProblems("fixtures/tasks/math.jsonl")).slice(0, 2);
 * const options = { ...traceDefaults, template: plainTemplate, maxNewTokens: 48, seed: 0 };
 * const [first] = await greedyTraces(model, problems, options);
 * console.log(first!.greedy.text, first!.greedy.correct);
 * ```
 */
export async function greedyTraces(
  model: Model,
  problems: readonly Problem[],
  given: TraceOptions,
  onProgress?: TraceProgress,
): Promise<ProblemTraces[]> {
  const options = withThinking(model, given);
  const prompts = problems.map(({ question }) => encodePrompt(model, question, options));
  const requests = prompts.map((ids, i) => ({ ids, key: `greedy ${positionOf(i, options)}` }));
  const generated = await generate(model, requests, {
    maxNewTokens: options.maxNewTokens,
    stopTokens: stopTokens(model, options),
    ...stopsAt(model, scoringOf(options), options),
    ...computedAlike(options),
    onProgress: (done, total) => onProgress?.("greedy traces", done, total),
  });
  const traces: ProblemTraces[] = [];
  for (const [i, problem] of problems.entries()) {
    const greedy = await toTrace(model, generated[i]!, problem, options);
    traces.push({ problem, promptIds: prompts[i]!, greedy });
  }
  return traces;
}

/**
 * Adds contrasting traces: the first of `samples` samples whose outcome is the opposite of the greedy one. Samples are
 * drawn in rounds and only for problems that still lack one; every sample has its own random stream, by its number and the
 * problem's position, so the result is that of drawing all of them, and of drawing them for one problem after another.
 *
 * @example A right and a wrong trace of the same problem
 * ```ts
 * import { addContrast, Gpu, greedyTraces, loadProblems, Model, plainTemplate, traceDefaults } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const problems = (await loadProblems("fixtures/tasks/math.jsonl")).slice(0, 8);
 * const options = { ...traceDefaults, template: plainTemplate, maxNewTokens: 48, seed: 0 };
 * const traces = await addContrast(model, await greedyTraces(model, problems, options), options);
 * console.log(traces.find(({ contrast }) => contrast)?.contrast?.text);
 * ```
 */
export async function addContrast(
  model: Model,
  traces: readonly ProblemTraces[],
  given: TraceOptions,
  onProgress?: TraceProgress,
): Promise<ProblemTraces[]> {
  const options = withThinking(model, given);
  const result = [...traces];
  let open = result.map((_, i) => i);
  for (let first = 0; first < options.samples && open.length > 0;) {
    const round = Math.min(options.samples - first, Math.max(2, first));
    const jobs = open.flatMap((i) => Array.from({ length: round }, (_, s) => ({ i, sample: first + s })));
    const generated = await generate(
      model,
      jobs.map(({ i, sample }) => ({
        ids: result[i]!.promptIds,
        temperature: temperatureFor(result[i]!, options),
        stream: positionOf(i, options) * options.samples + sample,
        key: `sample ${positionOf(i, options)} ${sample}`,
      })),
      {
        maxNewTokens: options.maxNewTokens,
        stopTokens: stopTokens(model, options),
        seed: options.seed,
        ...stopsAt(model, scoringOf(options), options),
        ...computedAlike(options),
        onProgress: (done, total) => onProgress?.(`samples ${first + 1} to ${first + round}`, done, total),
      },
    );
    for (const [j, { i, sample }] of jobs.entries()) {
      const entry = result[i]!;
      if (entry.contrast) continue;
      const trace = await toTrace(model, generated[j]!, entry.problem, options);
      if (trace.correct === entry.greedy.correct) continue;
      result[i] = { ...entry, contrast: { ...trace, sample, temperature: temperatureFor(entry, options) } };
    }
    open = open.filter((i) => !result[i]!.contrast);
    first += round;
  }
  return result;
}

function temperatureFor({ greedy }: ProblemTraces, options: TraceOptions): number {
  return greedy.correct ? options.temperatureRight : options.temperatureWrong;
}

/** How traces are judged. */
export function scoringOf({ scoring = "number" }: Pick<TraceOptions, "scoring">): Scoring {
  return scoring;
}

/** Decodes and scores generated ids. */
export async function toTrace(
  model: Model,
  ids: readonly number[],
  problem: Problem,
  options: TraceOptions,
): Promise<Trace> {
  const text = completionText(model, ids, options);
  return { ids, text, correct: await isCorrect(text, problem, scoringOf(options), options) };
}
