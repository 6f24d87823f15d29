/** Everything `deno task bench` measures, in order: ceilings, kernels, stages of the embedded model, a whole run. */
import { fileURLToPath } from "node:url";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Model } from "../model/model.ts";
import type { Progress } from "../progress.ts";
import { tune } from "../ops/tuning.ts";
import { attentionCases } from "./attention_cases.ts";
import { measureCeilings } from "./ceiling.ts";
import { CheckError } from "./check.ts";
import { runKernel } from "./kernels.ts";
import { fullPrefixStage, oneTokenStage } from "./mask_stages.ts";
import { matmulCases } from "./matmul_cases.ts";
import { decodeStage, prefillStage } from "./model_stages.ts";
import { scoreByRunStage, scoreStage } from "./score_stages.ts";
import type { Peer } from "./peers.ts";
import type { BenchResult } from "./result.ts";
import { rowCases } from "./row_cases.ts";
import { amplifyStage, branchingStage } from "./run_stages.ts";
import type { Stage, StageContext } from "./stage.ts";
import { quick, usual } from "./timing.ts";
import { fullUpdateStage, sparseUpdateStage } from "./update_stages.ts";

/** What to measure. */
export interface BenchmarkOptions {
  /** Only names, or names with their shape, that match. */
  readonly filter?: RegExp;
  /** Fewer shapes and shorter samples. */
  readonly quick?: boolean;
  /** The whole `amplify` run too, which takes minutes; a filter that names it asks for it as well. */
  readonly all?: boolean;
  /** Other libraries to time beside ours. */
  readonly peers?: readonly Peer[];
  /** Folder of the `amplify` run. */
  readonly out: string;
  /** Called with what is being measured. */
  readonly progress?: Progress;
}

const embeddedModel = fileURLToPath(new URL("../../fixtures/gemma2-mini", import.meta.url));

const ceilingNames = ["ceiling-fma", "ceiling-copy"];

/**
 * What would be measured, in order, without measuring it.
 *
 * @example What would be measured
 * ```ts
 * import { Gpu } from "../../mod.ts";
 * import { listBenchmarks } from "../../engine/benchmark/mod.ts";
 *
 * using gpu = await Gpu.open();
 * console.log(listBenchmarks(gpu, { quick: true, out: "runs/bench" }).length);
 * ```
 */
export function listBenchmarks(gpu: Gpu, options: BenchmarkOptions): { name: string; shape: string }[] {
  const { kernels, stages, wanted } = choose(gpu, options, () => {});
  const ceilings = ceilingNames.map((name) => ({ name, shape: "", quick: true })).filter(wanted);
  return [...ceilings, ...kernels, ...stages].map(({ name, shape }) => ({ name, shape }));
}

function choose(gpu: Gpu, options: BenchmarkOptions, progress: Progress) {
  const wanted = ({ name, shape, quick }: { name: string; shape: string; quick?: boolean }) => {
    const { filter } = options;
    return (!options.quick || quick) && (!filter || filter.test(name) || filter.test(`${name} ${shape}`));
  };
  const { isSoftware } = gpu;
  const kernels = [matmulCases, attentionCases, rowCases].flatMap((cases) => [...cases(isSoftware)]);
  return { kernels: kernels.filter(wanted), stages: stageList(options, progress).filter(wanted), wanted };
}

/**
 * Measures, telling each result as it comes; returns the messages of failed checks.
 *
 * @throws {InputError} when nothing matches.
 *
 * @example Time one kernel
 * ```ts
 * import { Gpu } from "../../mod.ts";
 * import { runBenchmark, tableRow } from "../../engine/benchmark/mod.ts";
 *
 * using gpu = await Gpu.open();
 * const options = { filter: /^ceiling-copy$/, quick: true, out: "runs/bench" };
 * await runBenchmark(gpu, options, (result) => console.log(tableRow(result)));
 * ```
 */
export async function runBenchmark(
  gpu: Gpu,
  options: BenchmarkOptions,
  onResult: (result: BenchResult) => void,
): Promise<string[]> {
  const progress = options.progress ?? (() => {});
  const effort = options.quick ? quick : usual;
  const { kernels, stages, wanted } = choose(gpu, options, progress);
  const total = kernels.length + stages.length + 1;
  if (total === 1 && !ceilingNames.some((name) => options.filter?.test(name))) {
    throw new InputError(
      `${options.filter ?? "A quick run"} matches no benchmark; list their names.`,
      "filter",
      "list",
    );
  }
  const failures: string[] = [];
  const results: BenchResult[] = [];
  const report = (result: BenchResult | CheckError) => {
    if (result instanceof CheckError) failures.push(result.message);
    else onResult(results[results.push(result) - 1]!);
  };

  await tune(gpu);
  progress("benchmark", 0, total, "ceilings");
  const ceilings = await measureCeilings(gpu, effort);
  ceilings.results.filter((result) => wanted({ ...result, quick: true })).forEach(report);
  for (const [i, kernel] of kernels.entries()) {
    progress("benchmark", 1 + i, total, `${kernel.name} ${kernel.shape}`);
    const shared = { effort, ceilings, peers: options.peers ?? [] };
    for await (const result of runKernel(gpu, kernel, shared)) report(result);
    await gpu.trim();
  }
  if (stages.length > 0) {
    // f32, so that the full update can move the weights themselves.
    using model = await Model.load(gpu, embeddedModel, { storage: "f32", contextLength: 2048 });
    const context: StageContext = { gpu, model, effort, gradients: new Map() };
    for (const [i, stage] of stages.entries()) {
      progress("benchmark", 1 + kernels.length + i, total, `${stage.name} ${stage.shape}`);
      try {
        const result = await stage.run(context);
        const slower = results.find(({ name, shape }) => name === stage.slower && shape === stage.shape);
        report(slower ? { ...result, speedup: slower.ms / result.ms } : result);
      } catch (error) {
        if (!(error instanceof CheckError)) throw error;
        report(error);
      }
      await gpu.trim();
    }
  }
  progress("benchmark", total, total);
  return failures;
}

/** Slower paths stand before the faster ones that are compared with them. */
function stageList({ all, filter, out }: BenchmarkOptions, progress: Progress): Stage[] {
  return [
    prefillStage(8, 128, true),
    decodeStage(64, true),
    decodeStage(256),
    scoreByRunStage,
    scoreStage,
    ...[64, 256, 512, 1024].flatMap((length) => [
      fullPrefixStage(length, length === 64),
      oneTokenStage(length, length === 64),
    ]),
    fullUpdateStage,
    sparseUpdateStage,
    branchingStage,
    ...(all || filter?.source.includes("amplify") ? [amplifyStage(out, progress)] : []),
  ];
}
