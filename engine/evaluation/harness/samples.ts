/**
 * What each row was asked, answered and scored: one object a row and filter, in the fields of lm-evaluation-harness's
 * samples_TASK.jsonl.
 */
import { createHash } from "node:crypto";
import { endsThinking, type ThinkingOptions } from "../thinking.ts";
import { pythonList } from "./python_text.ts";
import { choiceMetrics, type ContinuationResult, metricNames } from "./measures.ts";
import type { Prompted } from "./prompts.ts";
import type { AnyTask, Written } from "./task.ts";

/** A row of samples_TASK.jsonl; each metric stands beside these under its name. */
export interface Sample {
  readonly doc_id: number;
  readonly doc: Readonly<Record<string, unknown>>;
  readonly target: string;
  readonly arguments: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly resps: readonly unknown[];
  readonly filtered_resps: readonly unknown[];
  readonly filter: string;
  readonly metrics: readonly string[];
  readonly doc_hash: string;
  readonly prompt_hash: string;
  readonly target_hash: string;
  readonly [metric: string]: unknown;
}

/** Names of a task's filters; "none" where log-probabilities are compared or the task judges a completion itself. */
export function filterNames(task: AnyTask): string[] {
  return "filters" in task ? Object.keys(task.filters) : ["none"];
}

/** A row's sample for a choice task. */
export function choiceSample(
  task: AnyTask & { kind: "choice" },
  prompt: Prompted,
  results: readonly ContinuationResult[],
): Sample {
  const pairs = results.map(({ logProbability, greedy }) => [`${logProbability}`, greedy ? "True" : "False"]);
  const requests = prompt.continuations.map((continuation, i) => [contextOf(prompt, i), continuation]);
  return {
    ...common(task, prompt, requests),
    resps: pairs.map((pair) => [pair]),
    filtered_resps: pairs,
    filter: "none",
    ...measured(task, prompt, choiceMetrics(task, prompt.doc, results)),
  };
}

/** A row's samples for a generation task, one for each filter; with `outcome` all of them score that. */
export function generationSamples(
  task: AnyTask & { kind: "generation" },
  prompt: Prompted,
  written: Written,
  { maxNewTokens, thinking, outcome }: {
    readonly maxNewTokens: number;
    readonly thinking: ThinkingOptions;
    readonly outcome?: number | undefined;
  },
): Sample[] {
  const settings = { until: task.until, do_sample: false, temperature: 0, max_gen_toks: maxNewTokens };
  const asked = {
    ...common(task, prompt, [[contextOf(prompt, 0), settings]]),
    resps: [[written.text]],
  };
  if ("judge" in task) {
    const beginsThinking = endsThinking(contextOf(prompt, 0), thinking);
    const { answer, correct, record } = task.judge(written, prompt.doc, { ...thinking, beginsThinking });
    return [{
      ...asked,
      filtered_resps: [answer],
      filter: "none",
      ...measured(task, prompt, { exact_match: correct ? 1 : 0 }),
      ...record,
    }];
  }
  return Object.entries(task.filters).map(([filter, read]) => {
    const answer = read(written.text);
    return {
      ...asked,
      filtered_resps: [answer],
      filter,
      ...measured(task, prompt, { exact_match: outcome ?? (task.matches(answer, prompt.doc) ? 1 : 0) }),
    };
  });
}

/** The context of a row's choice. */
export function contextOf({ contexts }: Prompted, choice: number): string {
  return contexts[contexts.length > 1 ? choice : 0]!;
}

function common(
  task: AnyTask,
  prompt: Prompted,
  requests: readonly (readonly [string, unknown] | unknown[])[],
) {
  const target = task.target(prompt.doc);
  return {
    doc_id: prompt.docId,
    doc: prompt.row,
    target: typeof target === "object" ? pythonList(target) : `${target}`,
    arguments: Object.fromEntries(
      requests.map(([first, second], i) => [`gen_args_${i}`, { arg_0: first, arg_1: second }]),
    ),
  };
}

function measured(task: AnyTask, prompt: Prompted, metrics: Readonly<Record<string, number>>) {
  const target = task.target(prompt.doc);
  return {
    metrics: metricNames(task),
    doc_hash: sha256(JSON.stringify(prompt.row, null, 2)),
    prompt_hash: sha256(contextOf(prompt, 0)),
    target_hash: sha256(typeof target === "object" ? pythonList(target) : `${target}`),
    ...metrics,
  };
}

/** SHA-256 of a text, hexadecimal. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
