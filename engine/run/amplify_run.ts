/** The whole path: identify, find the circuit, update it, evaluate honestly. */
import { basename, join } from "node:path";
import type { Selection } from "../circuit/components.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { setTuning, type Tuning } from "../ops/variants.ts";
import { loadModel } from "./load_model.ts";
import { RunFolder } from "./run_folder.ts";
import type { ModelSettings } from "./settings/model.ts";
import { type RunSettings, runSettingsRecord } from "./settings/run.ts";
import { evaluateAll, loadData, localize, type RunContext, updateCircuit } from "./stages.ts";
import type { StartOptions } from "./start_options.ts";
import { summarize, type Summary } from "./summary.ts";
import { tune } from "../ops/tuning.ts";
import denoConfig from "../../deno.json" with { type: "json" };

/** How a run is started. */
export interface RunOptions extends StartOptions {
  readonly out: string;
  /** Start over instead of resuming what the folder holds. */
  readonly fresh?: boolean;
}

/** Where a run goes unless told otherwise: a name in runs/ that says what it is. */
export function runFolderPath(kind: string, { model, seed }: RunSettings): string {
  return join("runs", `${kind}-${basename(model.source)}-seed${seed}`);
}

/** Opens data, model and run folder. Wrong input is found before anything is computed. */
export async function openRun(
  gpu: Gpu,
  settings: RunSettings,
  options: RunOptions,
): Promise<RunContext & Disposable> {
  const { split, abilities } = await loadData(settings);
  // A resumed run goes on with the weights and kernels it began with, so that its numbers stay comparable.
  const { kernels, model_commit, settings: before } = options.fresh ? {} : await recorded(options.out);
  const { source, revision } = settings.model;
  const sameModel = before?.model?.source === source && before.model.revision === revision;
  const model = await loadModel(
    gpu,
    sameModel && model_commit ? atCommit(settings.model, model_commit) : settings.model,
    options,
  );
  try {
    if (kernels) setTuning(gpu, kernels);
    const environment = {
      kernels: kernels ?? (options.tune === false ? {} : await tune(gpu)),
      versions: { circuit_amp: denoConfig.version, deno: Deno.version.deno },
      adapter: gpu.adapterName,
      ...(model.commit && { model_commit: model.commit }),
    };
    const record = runSettingsRecord(settings);
    const folder = await RunFolder.open(options.out, record, environment, options.fresh ?? false);
    const progress = options.progress ?? (() => {});
    return {
      model,
      settings,
      folder,
      split,
      abilities,
      progress,
      [Symbol.dispose]: () => model[Symbol.dispose](),
    };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

/** Runs all stages, or what is left of them, and writes summary.json. */
export async function runAmplify(gpu: Gpu, settings: RunSettings, options: RunOptions): Promise<Summary> {
  using context = await openRun(gpu, settings, options);
  const { folder } = context;
  const finished = await folder.readJson<Summary>("summary.json");
  if (finished) return finished;
  const { examples, selection } = await localize(context);
  const updated = await updateCircuit(context, selection, examples);
  const records = await evaluateAll(context, selection, examples, updated);
  const summary = summarize(context, selection, examples, updated, records, await stageSeconds(folder));
  await folder.writeJson("summary.json", summary);
  await folder.event("finished");
  return summary;
}

/** Runs identify and the mask only; what `amplify` on the same folder takes up from. */
export async function runIdentify(
  gpu: Gpu,
  settings: RunSettings,
  options: RunOptions,
): Promise<{ examples: LocalizationExample[]; selection: Selection; config: ModelConfig }> {
  using context = await openRun(gpu, settings, options);
  return { ...await localize(context), config: context.model.config };
}

/** The same model at one commit instead of where a branch is now. */
function atCommit(model: ModelSettings, commit: string): ModelSettings {
  return { ...model, source: model.source.replace(/@.*$/, ""), revision: commit };
}

/** What config.json of an earlier start says, if there was one. */
async function recorded(
  folder: string,
): Promise<{
  kernels?: Tuning;
  model_commit?: string;
  settings?: { model?: { source?: string; revision?: string } };
}> {
  const text = await Deno.readTextFile(join(folder, "config.json")).catch(() => "{}");
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {}; // RunFolder.open says what is wrong with it
  }
}

/** Seconds per stage from the run's events, over all its resumptions. */
async function stageSeconds(folder: RunFolder): Promise<Record<string, number>> {
  const seconds: Record<string, number> = { identify: 0, mask: 0, update: 0, evaluate: 0, controls: 0 };
  const lines = (await Deno.readTextFile(`${folder.path}/events.jsonl`)).trim().split("\n");
  for (const line of lines) {
    let event: { type: string; stage?: string; seconds?: number };
    try {
      event = JSON.parse(line);
    } catch {
      continue; // a line that was being appended when the machine or process went down
    }
    if (event.type === "stage") seconds[event.stage!] = (seconds[event.stage!] ?? 0) + event.seconds!;
  }
  seconds.total = Object.values(seconds).reduce((a, b) => a + b, 0);
  return Object.fromEntries(
    Object.entries(seconds).map(([stage, value]) => [stage, Number(value.toFixed(2))]),
  );
}
