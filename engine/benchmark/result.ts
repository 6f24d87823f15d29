/** What a benchmark yields: the lines of `deno task bench`, as a table, as JSON and in fixtures/benchmarks. */
import { join } from "node:path";
import { writing } from "../files.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** One measurement. Fields up to `adapter` are the contract of `deno task bench --json`; the rest say more. */
export interface BenchResult {
  /** Of the kernel or stage. */
  readonly name: string;
  /**
   * Sizes joined by "x": rows, columns, inner of a product; tokens (or slots + cached positions), query/key-value heads,
   * head width of attention; slots of decoding; the prefix length of a mask step.
   */
  readonly shape: string;
  /** Kernel variant, and where it matters the storage of weights or the kind of work. */
  readonly variant: string;
  /** Median milliseconds of one repeat on the wall clock, the host's part included. */
  readonly ms: number;
  /** Arithmetic, in 1e9 operations a second. */
  readonly gflops?: number;
  /** Bytes that must move at least once, over time. */
  readonly gbps?: number;
  /** Time the work would take at the measured ceiling, whichever of arithmetic and copying is slower, over `ms`. */
  readonly share?: number;
  /** Milliseconds of other libraries for the same work, and how many times ours that is. */
  readonly peers?: Readonly<Record<string, number>>;
  /** How many times as long each peer takes. */
  readonly ratios?: Readonly<Record<string, number>>;
  /** Forward tokens of one generation per position over ours. */
  readonly token_ratio?: number;
  /** What it ran on. */
  readonly adapter: string;
  /** Repeats per sample, and samples that `ms` is the median of. */
  readonly repeats?: number;
  /** How many times it was timed. */
  readonly samples?: number;
  /** Largest error against the float64 twin (or the slower path), over the largest expected value. */
  readonly error?: number;
  /** Milliseconds the host took to record and submit, and the GPU by its own clock, of `ms`. */
  readonly host_ms?: number;
  /** Time on the GPU, in milliseconds, where timestamps exist. */
  readonly gpu_ms?: number;
  /** Share of the wall time that the GPU was busy. */
  readonly gpu_share?: number;
  /** Of stages that process tokens. */
  readonly tokens_per_second?: number;
  /** Of branching: how many completions were decoded. */
  readonly branch_points?: number;
  /** Of branching. */
  readonly branch_points_per_second?: number;
  /** Milliseconds spent once, before the first step. */
  readonly setup_ms?: number;
  /** How many times faster than the slower path that gives the same numbers. */
  readonly speedup?: number;
  /** Most GPU bytes ever held above the model, and what of them gradients and optimizer state are. */
  readonly peak_bytes?: number;
  /** Bytes of the gradients that an update holds. */
  readonly gradient_bytes?: number;
  /** Bytes of the optimizer's moments that an update holds. */
  readonly optimizer_bytes?: number;
  /** Floating-point operations that a stage needs at least, whatever the kernels. */
  readonly operations?: number;
  /** Bytes that it must read or write at least once. */
  readonly bytes?: number;
  /** Dispatches that the engine needs for it. */
  readonly dispatches?: number;
  /** Submits of command buffers. */
  readonly submits?: number;
  /** Readbacks, each of which waits for the GPU. */
  readonly readbacks?: number;
  /** The dearest kernels of a stage, with `--profile`. */
  readonly kernels?: readonly KernelShare[];
}

/** A kernel's part of a stage. */
export interface KernelShare {
  /** Its name and what it was specialised with. */
  readonly kernel: string;
  /** How often the stage runs it. */
  readonly dispatches: number;
  /** Milliseconds of all of them. */
  readonly ms: number;
  /** Of the stage's time. */
  readonly share: number;
}

/** Four significant digits, so that lines stay readable. */
export const rounded = (value: number): number => Number(value.toPrecision(4));

/** A result with every number rounded. */
export function round(result: BenchResult): BenchResult {
  const tidy = (value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value)
      ? rounded(value)
      : typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, tidy(inner)]))
      : value;
  return tidy(result) as BenchResult;
}

const columns = [21, 16, 25, 9, 8, 7, 6] as const;

/** The head of the table of results. */
export const tableHead: string = row(["name", "shape", "variant", "ms", "GFLOP/s", "GB/s", "share"], "");

/**
 * One result as a line of the table.
 *
 * @example A result in its table
 * ```ts
 * import { tableHead, tableRow } from "../../engine/benchmark/mod.ts";
 *
 * console.log(tableHead);
 * console.log(tableRow({ name: "copy", shape: "1M", variant: "plain", ms: 1, adapter: "none" }));
 * ```
 */
export function tableRow(result: BenchResult): string {
  const { name, shape, variant, ms, gflops, gbps, share } = result;
  const number = (value: number | undefined) =>
    value === undefined ? "" : value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
  const percent = share === undefined ? "" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  const line = row([name, shape, variant, number(ms), number(gflops), number(gbps), percent], notes(result));
  const kernels = result.kernels?.map(({ kernel, dispatches, ms, share }) =>
    `    ${(100 * share).toFixed(share < 0.1 ? 1 : 0).padStart(4)} %  ${
      number(ms)
    } ms in ${dispatches} x ${kernel}`
  );
  return [line, ...kernels ?? []].join("\n");
}

function row(cells: readonly string[], rest: string): string {
  const text = cells.map((cell, i) => i < 3 ? cell.padEnd(columns[i]!) : cell.padStart(columns[i]!)).join(
    " ",
  );
  return `${text}  ${rest}`.trimEnd();
}

function notes(result: BenchResult): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
  const parts: (string | false | undefined)[] = [
    result.tokens_per_second !== undefined && `${Math.round(result.tokens_per_second)} tokens/s`,
    result.branch_points_per_second !== undefined &&
    `${Math.round(result.branch_points_per_second)} branch points/s`,
    result.token_ratio !== undefined && `${result.token_ratio.toFixed(2)} x fewer forward tokens`,
    result.speedup !== undefined && `${result.speedup.toPrecision(3)} x faster`,
    result.host_ms !== undefined && `host ${result.host_ms.toPrecision(2)} ms`,
    result.gpu_ms !== undefined && `GPU ${result.gpu_ms.toPrecision(3)} ms`,
    result.gpu_share !== undefined && `GPU share ${(100 * result.gpu_share).toFixed(0)} %`,
    result.setup_ms !== undefined && `setup ${result.setup_ms.toFixed(0)} ms`,
    result.peak_bytes !== undefined && `peak ${mib(result.peak_bytes)}`,
    result.gradient_bytes !== undefined &&
    `gradients ${mib(result.gradient_bytes)}, optimizer ${mib(result.optimizer_bytes ?? 0)}`,
    result.operations !== undefined && `${engineering(result.operations)}FLOP`,
    result.bytes !== undefined && `${engineering(result.bytes)}B`,
    result.dispatches !== undefined &&
    `${rounded(result.dispatches)} dispatches, ${rounded(result.submits ?? 0)} submits, ${
      rounded(result.readbacks ?? 0)
    } readbacks`,
    ...Object.entries(result.ratios ?? {}).map(([peer, ratio]) => `${ratio.toPrecision(3)} x vs ${peer}`),
  ];
  return parts.filter(Boolean).join(", ");
}

/** Three digits with the prefix of a power of a thousand, e.g. "1.23 G". */
export function engineering(value: number): string {
  const power = value < 1000 ? 0 : Math.min(5, Math.floor(Math.log10(value) / 3));
  const digits = (value / 1000 ** power).toPrecision(3);
  return `${Number(digits)} ${["", "k", "M", "G", "T", "P"][power]}`;
}

/** An adapter's name as a file name, e.g. "llvmpipe-llvm-15-0-6-256-bits". */
export function adapterSlug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

/** Appends results, each as a line with date, versions and adapter, to `folder`/<adapter>.jsonl; returns its path. */
export async function record(
  gpu: Gpu,
  folder: string,
  results: readonly BenchResult[],
  version: string,
  quick: boolean,
): Promise<string> {
  const { vendor, architecture, device, description } = gpu.adapter.info;
  const common = {
    run: crypto.randomUUID().slice(0, 8),
    date: new Date().toISOString(),
    quick,
    circuit_amp: version,
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.build.arch}`,
    adapter_info: { vendor, architecture, device, description },
  };
  await writing(folder, () => Deno.mkdir(folder, { recursive: true }));
  const path = join(folder, `${adapterSlug(gpu.adapterName)}.jsonl`);
  const lines = results.map((result) => JSON.stringify({ ...round(result), ...common }) + "\n");
  await writing(path, () => Deno.writeTextFile(path, lines.join(""), { append: true }));
  return path;
}
