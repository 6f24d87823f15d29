/**
 * Benchmarks: kernels and stages timed against the adapter's own ceilings, each result checked against a twin in float64.
 *
 * @example Time one kernel
 * ```ts
 * import { Gpu } from "../../mod.ts";
 * import { runBenchmark, tableRow } from "./mod.ts";
 *
 * using gpu = await Gpu.open();
 * const options = { filter: /^ceiling-copy$/, quick: true, out: "runs/bench" };
 * await runBenchmark(gpu, options, (result) => console.log(tableRow(result)));
 * ```
 *
 * @module
 */
export { listBenchmarks, runBenchmark } from "./benchmark.ts";
export type { BenchmarkOptions } from "./benchmark.ts";
export { benchmarkModel } from "./model_benchmark.ts";
export type { ModelBenchmarkOptions } from "./model_benchmark.ts";
export { tableHead, tableRow } from "./result.ts";
export type { BenchResult, KernelShare } from "./result.ts";
export { loadPeers } from "./peers.ts";
export type { Peer, PeerRun } from "./peers.ts";
export type { PeerWork } from "./kernel_case.ts";
export type { AdamStep } from "../reference/elements.ts";
export { forceVariant } from "../ops/variants.ts";
export type { Variant } from "../ops/variants.ts";
