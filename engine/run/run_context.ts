/** What the stages of a run share. */
import type { Split } from "../evaluation/split.ts";
import type { Task } from "../evaluation/tasks.ts";
import type { Model } from "../model/model.ts";
import type { Progress } from "../progress.ts";
import type { RunFolder } from "./run_folder.ts";
import type { RunSettings } from "./settings/run.ts";

/** See file comment. */
export interface RunContext {
  readonly model: Model;
  readonly settings: RunSettings;
  readonly folder: RunFolder;
  readonly split: Split;
  readonly abilities: readonly Task[];
  readonly progress: Progress;
  /** Told in a sentence what a user should know although all goes on. */
  readonly notice: (sentence: string) => void;
}

/** Runs a stage and records how long it took. */
export async function timed<T>({ folder }: RunContext, stage: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  await folder.event("stage", { stage, seconds: (performance.now() - start) / 1000 });
  return result;
}
