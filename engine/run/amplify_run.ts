/** The whole path: identify, find the circuit, update it, evaluate honestly. */
import { basename, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import type { Selection } from "../circuit/components.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { InputError } from "../errors.ts";
import { scorersOf } from "../evaluation/scorers.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { setTuning, type Tuning } from "../ops/variants.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import { writeReport } from "../report/write_report.ts";
import { changedInput, fingerprintInputs, type Inputs } from "./inputs.ts";
import type { Completions } from "./journal.ts";
import { loadModel } from "./load_model.ts";
import { type RunConfig, type Summary, summarySchema } from "./records.ts";
import type { RunContext } from "./run_context.ts";
import { expectedStages } from "./run_stages.ts";
import { reuseStages } from "./reuse.ts";
import { RunFolder } from "./run_folder.ts";
import type { ModelSettings } from "./settings/model.ts";
import { runDefinitions, type RunSettings, runSettingsRecord } from "./settings/run.ts";
import { checkSettings } from "./settings/setting.ts";
import type { Circuit } from "./selection_stage.ts";
import { describeSelection } from "./selection_text.ts";
import { evaluateAll, loadData, localize, updateCircuit } from "./stages.ts";
import { writeCurves } from "./tensorboard.ts";
import { noticeAdapter, type StartOptions } from "./start_options.ts";
import { summarize } from "./summary.ts";
import { tune } from "../ops/tuning.ts";
import denoConfig from "../../deno.json" with { type: "json" };

/** How a run is started. */
export interface RunOptions extends StartOptions {
  /** Run folder. */
  readonly out: string;
  /** Start over instead of resuming what the folder holds. */
  readonly fresh?: boolean;
  /** Run folder whose stages are taken where everything they depend on is the same. */
  readonly from?: string | undefined;
}

/** How a run is started whose parts may have been computed elsewhere. */
export interface SharedRunOptions extends RunOptions {
  readonly settled?: SettledStart | undefined;
}

/** What a run is begun with that others have begun with already, and what they found. */
export interface SettledStart {
  /** See RunConfig. */
  readonly inputs: Inputs;
  /** See RunConfig. */
  readonly kernels: Tuning;
  /** See RunConfig. */
  readonly modelCommit: string | undefined;
  /** Completions by stage and key: `identify/greedy 0`. */
  readonly completions: Completions;
}

/** Where a run goes unless told otherwise: a name in runs/ that says what it is. */
export function runFolderPath(kind: string, { model, seed }: RunSettings): string {
  return join("runs", `${kind}-${basename(model.source)}-seed${seed}`);
}

/** Opens data, model and run folder. Wrong input is found before anything is computed. */
export async function openRun(
  gpu: Gpu,
  settings: RunSettings,
  options: SharedRunOptions,
): Promise<RunContext & Disposable> {
  const { shots: _, ...prompt } = settings.prompt; // whatever shots there are, they are resolved already
  checkSettings(runDefinitions, { ...settings, prompt });
  using stack = new DisposableStack();
  const { prompt: asked, ...data } = await loadData(settings, options.notice);
  stack.use(scorersOf([data, ...data.abilities]));
  const folder = stack.use(await RunFolder.open(options.out, runSettingsRecord(settings), options.fresh));
  // A resumed run goes on with the weights and kernels it began with, so that its numbers stay comparable.
  const { before } = folder;
  const { settled } = options;
  const commit = before?.model_commit ?? settled?.modelCommit;
  const source = commit ? atCommit(settings.model, commit) : settings.model;
  const model = stack.use(await loadModel(gpu, source, options));
  const inputs = await fingerprintInputs(settings, model.directory);
  const changed = settled && changedInput(settled.inputs, inputs, settings);
  if (changed) {
    throw new InputError(
      `The ${changed} changed since the run in "${options.out}" was planned; plan again in another folder.`,
      "run",
    );
  }
  if (before) goOn(before, inputs, { settings, gpu, options });
  noticeAdapter(gpu, options);
  const kernels = before?.kernels ?? settled?.kernels ?? (options.tune === false ? {} : await tune(gpu));
  setTuning(gpu, kernels);
  await folder.begin({
    inputs,
    kernels,
    versions,
    adapter: gpu.adapterName,
    ...(model.commit !== undefined && { model_commit: model.commit }),
  }, options.notice);
  if (options.from !== undefined && !await folder.has("localization.json")) {
    await reuseStages(
      folder,
      options.from,
      { settings: runSettingsRecord(settings), inputs },
      options.notice,
    );
  }
  const open = stack.move();
  const { progress = () => {}, notice = () => {} } = options;
  return {
    model,
    settings: { ...settings, prompt: asked },
    folder,
    ...data,
    completions: settled?.completions,
    progress,
    notice,
    [Symbol.dispose]: () => open.dispose(),
  };
}

const versions = { circuit_amp: denoConfig.version, deno: Deno.version.deno };

/** Goes on with a run: refuses other inputs than it began with, and says what else is not what it was. */
function goOn(
  before: RunConfig,
  inputs: Inputs,
  { settings, gpu, options }: { settings: RunSettings; gpu: Gpu; options: RunOptions },
) {
  const changed = changedInput(before.inputs, inputs, settings);
  if (changed) {
    throw new InputError(
      `The ${changed} changed since the run in "${options.out}" began; use another folder or start over.`,
      "out",
      "fresh",
    );
  }
  const now = { adapter: gpu.adapterName, version: versions.circuit_amp };
  const then = { adapter: before.adapter, version: before.versions.circuit_amp };
  for (const key of ["adapter", "version"] as const) {
    if (then[key] === now[key]) continue;
    options.notice?.(
      `The run in "${options.out}" began on ${key} ${then[key]} and goes on on ${
        now[key]
      }; numbers may differ in their last digits.`,
    );
  }
}

/**
 * Runs all stages, or what is left of them, and writes summary.json and report.html.
 *
 * @example The whole method on a few problems
 * ```ts
 * import { Gpu, runAmplify, runSettings } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const settings = await runSettings({
 *   traces: { limit: 16 },
 *   rounds: { validation: 24 },
 *   update: { steps: 1 },
 *   evaluation: { controls: [], abilities: {} },
 * });
 * const { accuracy } = await runAmplify(gpu, settings, { out: `${await Deno.makeTempDir()}/run` });
 * console.log(accuracy.base, accuracy.amplified);
 * ```
 */
export async function runAmplify(gpu: Gpu, settings: RunSettings, options: RunOptions): Promise<Summary> {
  return await runShared(gpu, settings, options);
}

/** As runAmplify, with what others have found already. */
export async function runShared(
  gpu: Gpu,
  settings: RunSettings,
  options: SharedRunOptions,
): Promise<Summary> {
  return await onOpenRun(gpu, settings, options, async (context) => {
    const { folder } = context;
    const finished = await folder.read("summary.json", summarySchema);
    if (finished) {
      if (!await folder.has("report.html")) await writeReport(folder.path);
      return finished;
    }
    options.expect?.(expectedStages(context));
    const { examples, circuit } = await localize(context);
    describeSelection(circuit.record).forEach(context.notice);
    const updated = await updateCircuit(context, circuit.selection, examples);
    const records = await evaluateAll(context, circuit, examples, updated);
    const summary = summarize(context, circuit, examples, updated, records, await stageSeconds(folder));
    await writeCurves(folder.path);
    await folder.removeJournals();
    await folder.writeJson("summary.json", summary);
    await writeReport(folder.path);
    await folder.event("finished");
    return summary;
  });
}

/**
 * Runs identify and the mask only; what `amplify` on the same folder takes up from.
 *
 * @example The circuit of a few problems
 * ```ts
 * import { Gpu, runIdentify, runSettings } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const settings = await runSettings({ preset: "paper", traces: { limit: 16 }, mask: { epochs: 1 } });
 * const { examples, selection } = await runIdentify(gpu, settings, { out: `${await Deno.makeTempDir()}/run` });
 * console.log(examples.length, selection.length);
 * ```
 */
export async function runIdentify(
  gpu: Gpu,
  settings: RunSettings,
  options: RunOptions,
): Promise<{ examples: LocalizationExample[]; selection: Selection; circuit: Circuit; config: ModelConfig }> {
  return await onOpenRun(gpu, settings, options, async (context) => {
    options.expect?.(expectedStages(context, "identify"));
    const { examples, circuit } = await localize(context);
    return { examples, selection: circuit.selection, circuit, config: context.model.config };
  });
}

/** Opens a run and works on it; where the device is lost, it is opened once more on a fresh one and goes on where it was. */
async function onOpenRun<T>(
  gpu: Gpu,
  settings: RunSettings,
  options: SharedRunOptions,
  work: (context: RunContext) => Promise<T>,
): Promise<T> {
  let begun = false;
  return await onceMoreIfLost(gpu, options.notice, async () => {
    using context = await openRun(gpu, settings, { ...options, fresh: options.fresh === true && !begun });
    begun = true;
    return await work(context);
  });
}

/** The same model at one commit instead of where a branch is now. */
export function atCommit(model: ModelSettings, commit: string): ModelSettings {
  return { ...model, source: model.source.replace(/@.*$/, ""), revision: commit };
}

/** Seconds per stage from the run's events, over all its resumptions. */
async function stageSeconds(folder: RunFolder): Promise<Record<string, number>> {
  const seconds: Record<string, number> = { identify: 0, mask: 0, update: 0, evaluate: 0, controls: 0 };
  const lines = (await Deno.readTextFile(`${folder.path}/events.jsonl`)).trim().split("\n");
  for (const line of lines) {
    const event = readStageEvent(line);
    if (event) seconds[event.stage] = (seconds[event.stage] ?? 0) + event.seconds;
  }
  seconds.total = Object.values(seconds).reduce((a, b) => a + b, 0);
  return Object.fromEntries(
    Object.entries(seconds).map(([stage, value]) => [stage, Number(value.toFixed(2))]),
  );
}

const stageEventSchema = z.object({ type: z.literal("stage"), stage: z.string(), seconds: z.number() });

/** A line of events.jsonl that says how long a stage took; undefined for any other. */
function readStageEvent(line: string): z.infer<typeof stageEventSchema> | undefined {
  try {
    return stageEventSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined; // it was being appended when the machine or process went down
  }
}
