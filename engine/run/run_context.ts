/** What the stages of a run share. */
import type { Split } from "../evaluation/split.ts";
import type { Scoring } from "../evaluation/scorers.ts";
import type { Task } from "../evaluation/tasks.ts";
import type { Model } from "../model/model.ts";
import type { Progress } from "../progress.ts";
import type { Completions, Journal } from "./journal.ts";
import type { JournaledStage, RunFolder } from "./run_folder.ts";
import type { RunSettings } from "./settings/run.ts";

/** See file comment. */
export interface RunContext {
  readonly model: Model;
  readonly settings: RunSettings;
  readonly folder: RunFolder;
  readonly split: Split;
  /** How the main task is judged. */
  readonly scoring: Scoring;
  readonly abilities: readonly Task[];
  /** Completions that were made elsewhere, by stage and key: `identify/greedy 0`. */
  readonly completions?: Completions | undefined;
  readonly progress: Progress;
  /** Told in a sentence what a user should know although all goes on. */
  readonly notice: (sentence: string) => void;
}

/** A stage's journal, with what was made of it elsewhere. */
export function openJournal({ folder, completions }: RunContext, stage: JournaledStage): Promise<Journal> {
  const place = `${stage}/`;
  const own = [...completions ?? []].flatMap(([key, ids]) =>
    key.startsWith(place) ? [[key.slice(place.length), ids] as const] : []
  );
  return folder.journal(stage, new Map(own));
}

/** Runs a stage and records how long it took. */
export async function timed<T>({ folder }: RunContext, stage: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  await folder.event("stage", { stage, seconds: (performance.now() - start) / 1000 });
  return result;
}
