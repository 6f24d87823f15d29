/** results.json in the fields of lm-evaluation-harness: means with standard errors of tasks and groups, shots, versions, sizes. */
import { groups } from "./catalog.ts";
import { meanAndError, metricNames, pooled } from "./measures.ts";
import { filterNames, type Sample, sha256 } from "./samples.ts";
import type { AnyTask } from "./task.ts";

/** A task with what its rows gave. */
export interface Measured {
  readonly task: AnyTask;
  readonly samples: readonly Sample[];
  /** Rows of the whole split. */
  readonly rows: number;
  readonly shots: number;
}

/** Metrics by `METRIC,FILTER` and `METRIC_stderr,FILTER`. */
export type ResultRow = Readonly<Record<string, unknown>>;

/** The fields of results.json that are the same whoever ran the tasks. */
export interface HarnessResults {
  /** Of each task and group, its measures and their standard errors. */
  readonly results: Readonly<Record<string, ResultRow>>;
  /** Of each group. */
  readonly groups?: Readonly<Record<string, ResultRow>>;
  /** The tasks of each group. */
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>;
  /** How each task was asked. */
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Of each task. */
  readonly versions: Readonly<Record<string, number>>;
  /** Worked examples of each task. */
  readonly "n-shot": Readonly<Record<string, number>>;
  /** Of each task, by measure. */
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  /** Rows of each task, and how many of them were measured. */
  readonly "n-samples": Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
  /** SHA-256 over what was measured of each task. */
  readonly task_hashes: Readonly<Record<string, string>>;
}

/** Sums tasks up, and the groups among `asked` names. */
export function summarize(measured: readonly Measured[], asked: readonly string[]): HarnessResults {
  const of = <T>(value: (one: Measured) => T) =>
    Object.fromEntries(measured.map((one) => [one.task.name, value(one)]));
  const groupRows = groupResults(measured, asked);
  return {
    results: { ...Object.fromEntries(groupRows), ...of(taskResult) },
    ...(groupRows.length > 0 && { groups: Object.fromEntries(groupRows) }),
    group_subtasks: Object.fromEntries([
      ...groupRows.map(([name]) => [name, groups.get(name)!]),
      ...measured.map(({ task }) => [task.name, []]),
    ]),
    configs: of(({ task, shots }) => ({
      task: task.name,
      output_type: task.kind === "choice" ? "multiple_choice" : "generate_until",
      num_fewshot: shots,
      metric_list: metricNames(task).map((metric) => ({ metric })),
      ...(task.kind === "generation" && { generation_kwargs: { until: task.until, do_sample: false } }),
      metadata: { version: task.version },
    })),
    versions: of(({ task }) => task.version),
    "n-shot": of(({ shots }) => shots),
    higher_is_better: of(({ task }) => Object.fromEntries(metricNames(task).map((name) => [name, true]))),
    "n-samples": of(({ rows, samples, task }) => ({
      original: rows,
      effective: samples.length / filterNames(task).length,
    })),
    task_hashes: of(({ samples }) =>
      sha256(samples.map((one) => one.doc_hash + one.prompt_hash + one.target_hash).join(""))
    ),
  };
}

function taskResult({ task, samples }: Measured): ResultRow {
  const row: Record<string, unknown> = {
    name: task.name,
    alias: task.alias ?? task.name,
    sample_len: samples.length / filterNames(task).length,
  };
  for (const filter of filterNames(task)) {
    const own = samples.filter((sample) => sample.filter === filter);
    for (const metric of metricNames(task)) {
      const { mean, error } = meanAndError(own.map((sample) => sample[metric] as number));
      row[`${metric},${filter}`] = mean;
      row[`${metric}_stderr,${filter}`] = error;
    }
  }
  return row;
}

/** Rows of the groups asked for and those within them, outermost first, over the tasks that were measured. */
function groupResults(measured: readonly Measured[], asked: readonly string[]): [string, ResultRow][] {
  return asked.filter((name) => groups.has(name)).flatMap((name) => {
    const inner = groups.get(name)!;
    const within = (names: readonly string[]): string[] =>
      names.flatMap((one) => groups.has(one) ? within(groups.get(one)!) : [one]);
    const tasks = new Set(within(inner));
    const parts = measured.filter(({ task }) => tasks.has(task.name)).map(({ samples }) => ({
      ...meanAndError(samples.map(({ acc }) => acc as number)),
      count: samples.length,
    }));
    if (parts.length === 0) return [];
    const { mean, error, count } = pooled(parts);
    const row: ResultRow = {
      name,
      alias: name.replace(/^mmlu_/, ""),
      sample_len: count,
      "acc,none": mean,
      "acc_stderr,none": error,
      sample_count: { "acc,none": count },
    };
    return [[name, row] as [string, ResultRow], ...groupResults(measured, inner)];
  });
}
