/** One shard of a planned run: what is generated of its items, published as a part. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { promptPrefix } from "../evaluation/prompt.ts";
import { scorersOf, type Scoring } from "../evaluation/scorers.ts";
import { evaluateTask, type Task } from "../evaluation/tasks.ts";
import { onceMoreIfLost } from "../gpu/fresh_device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { CompletionJournal } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { tune } from "../ops/tuning.ts";
import { setTuning, type Tuning } from "../ops/variants.ts";
import type { Progress } from "../progress.ts";
import { atCommit } from "../run/amplify_run.ts";
import { fingerprintInputs } from "../run/inputs.ts";
import { type Completions, Journal, readJournal, within } from "../run/journal.ts";
import { loadModel } from "../run/load_model.ts";
import { promptOptions } from "../run/prompt_settings.ts";
import type { RunSettings } from "../run/settings/run.ts";
import { loadData } from "../run/stages.ts";
import { noticeAdapter, type StartOptions } from "../run/start_options.ts";
import { traceProblems } from "../run/tracing.ts";
import { cardOf, claimCard } from "./card.ts";
import {
  type Item,
  itemsOf,
  itemsOfShard,
  plannedSettings,
  readPlan,
  requirePlanned,
  type RunPlan,
} from "./run_plan.ts";
import {
  attemptFile,
  attemptFiles,
  makeShardFolder,
  partText,
  publish,
  publishPart,
  readPart,
  shardFolder,
} from "./shard_files.ts";

/** Which of a plan's shards. */
export interface ShardChoice {
  readonly shard: number;
  /** How many there should be, where the caller says so. */
  readonly of?: number | undefined;
}

/** What became of a shard. */
export interface ShardOutcome {
  readonly shard: number;
  readonly shards: number;
  /** How many items it has. */
  readonly items: number;
  /** How many completions they came to, and the SHA-256 of these. */
  readonly completions: number;
  readonly sha256: string;
  /** Whether it was published before. */
  readonly already: boolean;
}

/**
 * Works on one shard of the run planned in `run` and publishes what it came to. Killed, it goes on from its last completion
 * when it is started again; started twice, the first to end publishes and the other finds the same.
 * @throws {InputError} for no such plan or shard, or data, model or version that are not the plan's.
 */
export async function workShard(
  gpu: Gpu,
  run: string,
  choice: ShardChoice,
  options: Pick<StartOptions, "offline" | "progress" | "notice"> = {},
): Promise<ShardOutcome> {
  const plan = await readPlan(run);
  const { shards } = plan;
  const { shard, of = shards } = choice;
  if (of !== shards || shard >= shards) {
    const wanted = of === shards ? `${shard}` : `${shard}/${of}`;
    throw new InputError(
      `The run in "${run}" is planned in ${shards} shards, 0 to ${shards - 1}, and has no shard ${wanted}.`,
      "shard",
    );
  }
  const outcome = { shard, shards, items: itemsOfShard(plan.items, shard, shards).length };
  await makeShardFolder(run);
  const there = await readPart(run, shard);
  if (typeof there === "object") {
    if (there.header.plan !== plan.sha256) {
      throw new InputError(
        `Shard ${shard} in "${run}" is of another plan; plan again in another folder.`,
        "run",
      );
    }
    const { completions, sha256 } = there.header;
    return { ...outcome, completions, sha256, already: true };
  }
  if (there) options.notice?.(`${there}; shard ${shard} is made again.`);
  const settings = await plannedSettings(run, plan);
  const { split, scoring, prompt, abilities } = await loadData(settings, options.notice);
  using _scorers = scorersOf([{ scoring }, ...abilities]);
  const items = itemsOf(split, abilities);
  if (JSON.stringify(items.map(({ id }) => id)) !== JSON.stringify(plan.items)) {
    throw new InputError(
      `The items of the run in "${run}" are not those that were planned; plan again.`,
      "run",
    );
  }
  const own = itemsOfShard(items, shard, shards);
  return await onceMoreIfLost(gpu, options.notice, async () => {
    noticeAdapter(gpu, options);
    const source = plan.model_commit ? atCommit(settings.model, plan.model_commit) : settings.model;
    using model = await loadModel(gpu, source, options);
    requirePlanned(run, plan, await fingerprintInputs(settings, model.directory), settings);
    setTuning(gpu, await sharedKernels(gpu, run, plan));
    const card = cardOf(gpu);
    using claim = await claimCard(run, card);
    if (claim.shared && !gpu.isSoftware) {
      options.notice?.(
        `Another shard on ${card.host} is at work on ${card.adapter}; if that is the same card, both wait for each other: give each job a card of its own.`,
      );
    }
    using journal = await Journal.open(
      join(run, attemptFile(shard, plan.sha256)),
      await earlierCompletions(run, shard, plan),
    );
    const { progress = () => {} } = options;
    const worker = { model, settings: { ...settings, prompt }, scoring };
    await generateAll({ ...worker, progress }, own, journal);
    const completions = await usedCompletions({ ...worker, progress: () => {} }, own, journal);
    const header = { plan: plan.sha256, shard, shards, ...card };
    const part = partText(header, completions);
    const first = await publishPart(run, shard, part);
    await journal.remove();
    for (const path of await attemptFiles(run, shard, plan.sha256)) await Deno.remove(path).catch(() => {});
    return { ...outcome, completions: completions.size, sha256: part.sha256, already: !first };
  });
}

interface Worker {
  readonly model: Model;
  readonly settings: RunSettings;
  readonly scoring: Scoring;
  readonly progress: Progress;
}

/** Generates all that the items need and the journal lacks, under the keys that the stages of a run ask for. */
async function generateAll(worker: Worker, items: readonly Item[], journal: CompletionJournal) {
  const { model, settings, scoring, progress } = worker;
  using sharedPrefix = promptPrefix(model, promptOptions(settings));
  const of = (kind: Item["kind"], ability?: Task) => {
    const chosen = items.filter((item) => item.kind === kind && item.ability === ability);
    return {
      problems: chosen.map(({ problem }) => problem),
      positions: chosen.map(({ position }) => position),
    };
  };
  const { problems, positions } = of("trace");
  const { seed } = settings;
  await traceProblems(worker, problems, {
    sharedPrefix,
    seed,
    positions,
    journal: within(journal, "identify"),
  });
  const evaluate = async (task: Omit<Task, "problems">, part: ReturnType<typeof of>, place: string) => {
    if (part.problems.length === 0) return;
    await evaluateTask(
      model,
      { ...task, problems: part.problems },
      {
        ...promptOptions(settings),
        sharedPrefix,
        positions: part.positions,
        journal: within(journal, place),
      },
      (done, total) => progress(`evaluate ${task.name}`, done, total),
    );
  };
  await evaluate({ name: "validation", scoring }, of("validation"), "update/step 0");
  await evaluate({ name: "test", scoring }, of("test"), "evaluations/base");
  for (const task of new Set(items.flatMap(({ ability }) => ability ?? []))) {
    await evaluate(task, of("ability", task), "evaluations/base/ability");
  }
}

/**
 * The completions that the items lead to and no others: what interrupted attempts generated besides hangs on where they were
 * interrupted. Found by going through everything again with nothing left to generate.
 */
async function usedCompletions(
  worker: Worker,
  items: readonly Item[],
  journal: Journal,
): Promise<Completions> {
  const used = new Map<string, readonly number[]>();
  await generateAll(worker, items, {
    get(key) {
      const ids = journal.get(key);
      if (ids) used.set(key, ids);
      return ids;
    },
    put(key) {
      throw new Error(`Completion "${key}" was not generated the first time.`);
    },
  });
  return used;
}

/** What attempts at a shard have left. */
async function earlierCompletions(run: string, shard: number, plan: RunPlan): Promise<Completions> {
  const all = new Map<string, readonly number[]>();
  for (const path of await attemptFiles(run, shard, plan.sha256)) {
    for (const [key, ids] of (await readJournal(path)).items) all.set(key, ids);
  }
  return all;
}

const kernelsFile = join(shardFolder, "kernels.json");
const kernelsSchema = z.object({
  adapter: z.string(),
  kernels: z.record(
    z.string(),
    z.object({
      kernel: z.enum(["register", "tiled", "split", "broadcast"]),
      WX: z.int(),
      WY: z.int(),
      TM: z.int(),
      TN: z.int(),
    }),
  ),
});

/** The choice of kernels of whichever shard made one first: shards that chose by themselves would add in other orders. */
async function sharedKernels(gpu: Gpu, run: string, plan: RunPlan): Promise<Tuning> {
  const there = await plannedKernels(run);
  if (there) return there;
  const kernels = plan.tune ? await tune(gpu) : {};
  const text = JSON.stringify({ adapter: gpu.adapterName, kernels }, null, 2) + "\n";
  await publish(join(run, kernelsFile), text);
  return await plannedKernels(run) ?? kernels;
}

/**
 * The choice of kernels that the shards of a run share; undefined before the first has made one.
 * @throws {InputError} for a file that is damaged.
 */
export async function plannedKernels(run: string): Promise<Tuning | undefined> {
  const path = join(run, kernelsFile);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  try {
    return kernelsSchema.parse(JSON.parse(text)).kernels;
  } catch {
    throw new InputError(`"${path}" is damaged; plan again in another folder.`, "run");
  }
}
