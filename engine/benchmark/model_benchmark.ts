/** `bench --model`: what every stage of the method takes on a model, beside the least it has to do and the adapter's ceilings. */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Model } from "../model/model.ts";
import { tune } from "../ops/tuning.ts";
import { variantFor } from "../ops/variants.ts";
import type { Progress } from "../progress.ts";
import { type Ceilings, measureCeilings, shareOf } from "./ceiling.ts";
import { type ModelRun, type ModelStage, modelStages } from "./model_runs.ts";
import { profile } from "./profile.ts";
import type { BenchResult } from "./result.ts";
import { type Effort, measure, quick, usual } from "./timing.ts";
import { weightBytes } from "./work.ts";

/** What to measure on a model. */
export interface ModelBenchmarkOptions {
  /** Model folder, or the Hugging Face id of one in the cache. */
  readonly model: string;
  /** Only names, or names with their shape, that match. */
  readonly filter?: RegExp;
  /** The shorter stages only, and shorter samples. */
  readonly quick?: boolean;
  /** Name the dearest kernels of each stage as well. */
  readonly profile?: boolean;
  /** Told how far the measuring is. */
  readonly progress?: Progress;
}

const load = { name: "load", shape: "", quick: true };

/** What would be measured, in order. */
export function chosenStages(
  { filter, quick }: Pick<ModelBenchmarkOptions, "filter" | "quick">,
): (Pick<ModelStage, "name" | "shape"> & { readonly stage?: ModelStage })[] {
  const all = [load, ...modelStages.map((stage) => ({ ...stage, stage }))];
  return all.filter(({ name, shape, quick: short }) =>
    (!quick || short) && (!filter || filter.test(name) || filter.test(`${name} ${shape}`))
  );
}

/**
 * Measures, telling each result as it comes, ceilings first.
 *
 * @throws {InputError} when nothing matches the filter, and for what is wrong with the model.
 */
export async function benchmarkModel(
  gpu: Gpu,
  options: ModelBenchmarkOptions,
  onResult: (result: BenchResult) => void,
) {
  const chosen = chosenStages(options);
  if (chosen.length === 0) {
    throw new InputError(`${options.filter} matches no stage; list their names.`, "filter", "list");
  }
  const effort = options.quick ? quick : usual;
  const progress = options.progress ?? (() => {});
  const report = (at: number, what: string) => progress("benchmark", at, chosen.length + 1, what);
  report(0, "load");
  const start = performance.now();
  using model = await Model.load(gpu, options.model, { offline: true });
  await gpu.fence();
  const ms = performance.now() - start;
  await tune(gpu);
  report(0, "ceilings");
  const ceilings = await measureCeilings(gpu, effort);
  ceilings.results.forEach(onResult);
  const common = { variant: variantFor(gpu), adapter: gpu.adapterName };
  for (const [i, { name, shape, stage }] of chosen.entries()) {
    report(1 + i, `${name} ${shape}`);
    if (!stage) {
      const bytes = weightBytes(model);
      const gbps = bytes / 1e6 / ms;
      onResult({ name, shape, ms, ...common, bytes, gbps, share: shareOf(ceilings, 0, bytes, ms) });
    } else if (stage.length <= model.contextLength) {
      using run = await stage.prepare(model);
      const kernels = options.profile && run.plans.length > 0;
      onResult({
        name,
        shape,
        ...common,
        ...await measureRun(gpu, run, effort, ceilings),
        ...(kernels && { kernels: await profile(run.plans) }),
      });
    }
    await gpu.trim();
  }
  report(chosen.length + 1, "");
}

/** Times and counts of one unit of a run. */
async function measureRun(
  gpu: Gpu,
  { run, units = 1, work, tokens }: ModelRun,
  effort: Effort,
  ceilings: Ceilings,
) {
  const timing = await measure(effort, async (repeats) => {
    for (let i = 0; i < repeats; i++) await run();
  });
  const { dispatches, submits, readbacks } = gpu;
  await run();
  const ms = timing.ms / units;
  const { operations, bytes } = work;
  return {
    ...timing,
    ms,
    gflops: operations / 1e6 / ms,
    gbps: bytes / 1e6 / ms,
    share: shareOf(ceilings, operations, bytes, ms),
    tokens_per_second: 1000 * tokens / ms,
    operations,
    bytes,
    dispatches: (gpu.dispatches - dispatches) / units,
    submits: (gpu.submits - submits) / units,
    readbacks: (gpu.readbacks - readbacks) / units,
  };
}
