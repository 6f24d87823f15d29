/** run.json: what all shards of a run work from, frozen before the first of them starts. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { resolveModel } from "../checkpoint/hub.ts";
import { InputError } from "../errors.ts";
import type { Problem } from "../evaluation/data.ts";
import type { Split } from "../evaluation/split.ts";
import type { Task } from "../evaluation/tasks.ts";
import { requireWritable, writeJson } from "../files.ts";
import { downloadProgress } from "../run/load_model.ts";
import { changedInput, fingerprintInputs, type Inputs } from "../run/inputs.ts";
import { firstDifference } from "../run/run_folder.ts";
import { readSettingsFile } from "../run/settings/file.ts";
import { runDefinitions, type RunSettings, runSettings, runSettingsRecord } from "../run/settings/run.ts";
import { readSettings } from "../run/settings/setting.ts";
import { loadData } from "../run/stages.ts";
import type { StartOptions } from "../run/start_options.ts";
import { removeShards } from "./shard_files.ts";
import denoConfig from "../../deno.json" with { type: "json" };

/** Name of the plan in a run folder. */
export const planFile = "run.json";

/** What run.json holds. */
export interface RunPlan {
  readonly format: 1;
  /** How many parts the items are dealt into: shard s has the items s, s + shards, s + 2 shards … */
  readonly shards: number;
  /** All settings, resolved, as config.json of a run holds them. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Whether kernels are chosen by measurement. */
  readonly tune: boolean;
  readonly inputs: Inputs;
  /** The commit of a model from the hub. */
  readonly model_commit?: string | undefined;
  /** Of this program; other versions may compute other bits. */
  readonly versions: { readonly circuit_amp: string };
  /** What is to be done, in order: `trace`, `validation`, `test` or `ability NAME`, and the problem's template and instance. */
  readonly items: readonly string[];
  /** SHA-256 of all the above, by which parts know their plan. */
  readonly sha256: string;
}

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const planSchema: z.ZodType<RunPlan> = z.looseObject({
  format: z.literal(1),
  shards: z.int().positive(),
  settings: z.record(z.string(), z.unknown()),
  tune: z.boolean(),
  inputs: z.looseObject({
    data: hash,
    abilities: z.record(z.string(), hash),
    templates: hash.optional(),
    model: z.record(z.string(), hash),
  }),
  model_commit: z.string().optional(),
  versions: z.looseObject({ circuit_amp: z.string() }),
  items: z.array(z.string()),
  sha256: hash,
});

/** How a plan is made. */
export interface PlanOptions extends Pick<StartOptions, "tune" | "offline" | "progress" | "notice"> {
  /** Run folder, where run.json goes. */
  readonly out: string;
  /** How many parts. */
  readonly shards: number;
  /** Replace a plan that is there, with whatever shards have left. */
  readonly fresh?: boolean;
}

/**
 * Plans a run in shards; needs no GPU. The same plan again changes nothing.
 * @throws {InputError} for wrong data, no such model, a folder that holds a run, or, unless `fresh` is set, another plan.
 */
export async function planRun(settings: RunSettings, options: PlanOptions): Promise<RunPlan> {
  const { out, shards, tune = true } = options;
  const { split, abilities } = await loadData(settings, options.notice);
  const { source, revision } = settings.model;
  const { folder, commit } = await resolveModel(source, {
    revision,
    offline: options.offline,
    ...(options.progress && { onDownload: downloadProgress(options.progress) }),
  });
  const plan = sealed({
    format: 1,
    shards,
    settings: runSettingsRecord(settings),
    tune,
    inputs: await fingerprintInputs(settings, folder),
    ...(commit !== undefined && { model_commit: commit }),
    versions: { circuit_amp: denoConfig.version },
    items: itemsOf(split, abilities).map(({ id }) => id),
  });
  await requireWritable(out);
  if (await Deno.stat(join(out, "config.json")).then(() => true, () => false)) {
    throw new InputError(`"${out}" holds a run already; plan in another folder.`, "out");
  }
  const path = join(out, planFile);
  const before = options.fresh || !await exists(path) ? undefined : await readPlan(out);
  if (before?.sha256 === plan.sha256) return before;
  if (before) {
    const difference = firstDifference(before.settings, plan.settings) ??
      (before.shards === shards ? "other inputs" : `${before.shards} shards instead of ${shards}`);
    throw new InputError(
      `"${out}" holds a plan with ${difference}; use another folder or start over.`,
      "out",
      "fresh",
    );
  }
  await removeShards(out);
  await writeJson(path, plan);
  return plan;
}

/**
 * The plan in a run folder.
 * @throws {InputError} for one that is missing, damaged, or of another version of this program.
 */
export async function readPlan(run: string): Promise<RunPlan> {
  const path = join(run, planFile);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "is not there; plan the run first"
      : `cannot be read (${(error as Error).message.replace(/[.:\s]+$/, "")})`;
    throw new InputError(`"${path}" ${why}.`, "run");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const plan = planSchema.safeParse(value).data;
  if (!plan || sealed(plan).sha256 !== plan.sha256) {
    throw new InputError(`"${path}" is not what was planned; plan again in another folder.`, "run");
  }
  const { circuit_amp } = plan.versions;
  if (circuit_amp !== denoConfig.version) {
    throw new InputError(
      `"${path}" was planned by version ${circuit_amp} and this is ${denoConfig.version}; use the same for all of a run.`,
      "run",
    );
  }
  return plan;
}

/** The settings that a plan froze. */
export async function plannedSettings(run: string, plan: RunPlan): Promise<RunSettings> {
  const source = await readSettingsFile(join(run, planFile), runDefinitions);
  const settings = await runSettings(readSettings(runDefinitions, [source]));
  const difference = firstDifference(plan.settings, runSettingsRecord(settings));
  if (difference) throw new Error(`The plan's settings read back with ${difference}.`);
  return settings;
}

/** @throws {InputError} where the data or the model are not what they were when the run was planned. */
export function requirePlanned(run: string, plan: RunPlan, inputs: Inputs, settings: RunSettings) {
  const changed = changedInput(plan.inputs, inputs, settings);
  if (!changed) return;
  throw new InputError(
    `The ${changed} changed since the run in "${run}" was planned; plan again in another folder.`,
    "run",
  );
}

/** One thing to do. */
export interface Item {
  readonly id: string;
  /** What is done with the problem. */
  readonly kind: "trace" | "validation" | "test" | "ability";
  /** Which ability. */
  readonly ability?: Task;
  /** The problem's place among those of its kind, and the problem. */
  readonly position: number;
  readonly problem: Problem;
}

/** Everything of a run that hangs on the unchanged model and one problem alone, in order. */
export function itemsOf(split: Split, abilities: readonly Task[]): Item[] {
  const items = (kind: Item["kind"], problems: readonly Problem[], ability?: Task) =>
    problems.map((problem, position): Item => ({
      id: [kind, ...(ability ? [ability.name] : []), `${problem.templateId}/${problem.instanceId}`].join(" "),
      kind,
      ...(ability && { ability }),
      position,
      problem,
    }));
  return [
    ...items("trace", split.train),
    ...items("validation", split.validation),
    ...items("test", split.test),
    ...abilities.flatMap((task) => items("ability", task.problems, task)),
  ];
}

/** The items that a shard is dealt. */
export function itemsOfShard<T>(items: readonly T[], shard: number, shards: number): T[] {
  return items.filter((_, i) => i % shards === shard);
}

function sealed(plan: Omit<RunPlan, "sha256">): RunPlan {
  const { format, shards, settings, tune, inputs, model_commit, versions, items } = plan;
  const frozen = {
    format,
    shards,
    settings,
    tune,
    inputs,
    ...(model_commit !== undefined && { model_commit }),
    versions: { circuit_amp: versions.circuit_amp },
    items,
  };
  return { ...frozen, sha256: createHash("sha256").update(JSON.stringify(frozen)).digest("hex") };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
