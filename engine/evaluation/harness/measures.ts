/** What a row scored, and what rows together did: means with standard errors, and groups weighted by size. */
import type { AnyTask, ChoiceTask } from "./task.ts";

/** A continuation's log-probability, and whether greedy decoding would have written it. */
export interface ContinuationResult {
  readonly logProbability: number;
  readonly greedy: boolean;
}

/** Metrics of a row whose choices scored so; see ChoiceTask.measures. The first of equals is chosen. */
export function choiceMetrics<Doc>(
  task: ChoiceTask<Doc>,
  doc: Doc,
  results: readonly ContinuationResult[],
): Record<string, number> {
  const values = results.map(({ logProbability }) => logProbability);
  const best = (list: readonly number[]) => list.indexOf(Math.max(...list));
  const choices = task.choices(doc);
  const metrics: Record<string, number> = {};
  for (const measure of task.measures) {
    if (measure === "true-share") metrics.acc = trueShare(values, task.labels!(doc));
    else {
      const measured = measure === "acc" ? values : values.map((value, i) => value / [...choices[i]!].length);
      metrics[measure] = best(measured) === task.gold(doc) ? 1 : 0;
    }
  }
  return metrics;
}

function trueShare(values: readonly number[], labels: readonly number[]): number {
  const top = Math.max(...values); // so that not all probabilities vanish
  const sum = (label?: number) =>
    values.reduce(
      (sum, v, i) => sum + (label === undefined || labels[i] === label ? Math.exp(v - top) : 0),
      0,
    );
  return sum(1) / sum();
}

/** Names of a task's metrics. */
export function metricNames(task: AnyTask): string[] {
  if (task.kind === "generation") return ["exact_match"];
  return task.measures.map((measure) => measure === "true-share" ? "acc" : measure);
}

/** Mean of n values, and the standard error of it: the sample's deviation (n - 1) over the root of n. */
export function meanAndError(values: readonly number[]): { mean: number; error: number | "N/A" } {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n < 2) return { mean, error: "N/A" };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return { mean, error: Math.sqrt(variance / n) };
}

/** Several tasks as one: the mean weighted by size, and the standard error pooled. */
export function pooled(
  parts: readonly { readonly mean: number; readonly error: number | "N/A"; readonly count: number }[],
): { mean: number; error: number | "N/A"; count: number } {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const mean = parts.reduce((sum, part) => sum + part.mean * part.count, 0) / count;
  const squares = parts.map((part) =>
    part.error === "N/A" ? NaN : (part.count - 1) * part.count * part.error ** 2
  ).reduce((a, b) => a + b, 0);
  const error = Math.sqrt(squares / (count - parts.length) / count);
  return { mean, error: Number.isFinite(error) ? error : "N/A", count };
}
