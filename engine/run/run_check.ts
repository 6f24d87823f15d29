/** What is wrong with a run folder, without a GPU and without changing anything. */
import { join } from "node:path";
import { resolveModel } from "../checkpoint/hub.ts";
import { InputError } from "../errors.ts";
import { lockOwner } from "../folder_lock.ts";
import { changedInput, fingerprintInputs } from "./inputs.ts";
import { type FileState, Manifest, stateTexts } from "./manifest.ts";
import type { RunConfig } from "./records.ts";
import { checkRun, leftovers, readConfig } from "./run_folder.ts";
import { readSettingsFile } from "./settings/file.ts";
import { runDefinitions, type RunSettings } from "./settings/run.ts";
import { readSettings, setting } from "./settings/setting.ts";
import { text } from "./settings/value_types.ts";

/** The run folder to look at. */
export const runSetting = setting({
  name: "run",
  type: text("DIR"),
  otherwise: "no run is looked at",
  help:
    "run folder to check, without a GPU: its files against its manifest, and whether its inputs are what they were",
  example: "runs/mine",
});

/** What a run folder holds and what is wrong with it. */
export interface RunReport {
  /** The folder. */
  readonly run: string;
  /** Whether summary.json is there and good. */
  readonly finished: boolean;
  /** The process that is at work in it, if one is. */
  readonly in_use?: string | undefined;
  /** By name, what the files that its manifest lists are. */
  readonly files: Readonly<Record<string, FileState>>;
  /** What is not as it should be, a sentence each; none where the run can be used and resumed as it is. */
  readonly problems: readonly string[];
}

/**
 * Looks at a run folder, or at those of several seeds.
 * @throws {InputError} for a folder that holds no run.
 */
export async function inspectRun(folder: string): Promise<RunReport[]> {
  const folders = await isFile(join(folder, "config.json")) ? [folder] : await runsInside(folder);
  if (folders.length === 0) {
    throw new InputError(`"${folder}" holds no run (no config.json); name a run folder.`, "run");
  }
  return await Promise.all(folders.map(inspect));
}

async function inspect(run: string): Promise<RunReport> {
  const problems: string[] = [];
  /** What `look` finds; a complaint is a problem. */
  const complaints = async <T>(look: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(error.message);
    }
  };
  const in_use = await lockOwner(run);
  const config = await complaints(() => readConfig(join(run, "config.json")));
  const checked = config && await complaints(() => checkRun(run));
  const states = checked?.states ??
    await Manifest.read(run).then((manifest) => manifest?.check(), () => undefined);
  for (const [name, state] of states ?? []) {
    if (state === "intact" || name === "config.json") continue; // of which checkRun complained
    problems.push(`"${join(run, name)}" ${stateTexts[state]}${checked ? "; resuming makes it again" : ""}.`);
  }
  if (config && checked) {
    const changed = await complaints(() => changedSince(run, config));
    if (changed) problems.push(`The ${changed} changed since the run began, so it cannot be resumed.`);
  }
  if (in_use === undefined) {
    for (const name of await leftovers(run)) {
      problems.push(`"${join(run, name)}" was left by a process that was killed; resuming sweeps it.`);
    }
  }
  const files = Object.fromEntries(states ?? []);
  return {
    run,
    finished: files["summary.json"] === "intact",
    ...(in_use !== undefined && { in_use }),
    files,
    problems,
  };
}

/** Which input is not what the run began with, in words. Throws InputError for one that is not there any more. */
async function changedSince(run: string, { inputs, model_commit }: RunConfig): Promise<string | undefined> {
  const source = await readSettingsFile(join(run, "config.json"), runDefinitions);
  const settings = readSettings(runDefinitions, [source]) as RunSettings;
  const { source: model } = settings.model;
  const { folder } =
    await (model_commit === undefined
      ? resolveModel(model, { offline: true })
      : resolveModel(model.replace(/@.*$/, ""), { offline: true, revision: model_commit }));
  const now = await fingerprintInputs(settings, folder).catch((error) => {
    throw new InputError(
      `What the run was made from is not all there (${(error as Error).message.replace(/[.\s]+$/, "")}).`,
    );
  });
  return changedInput(inputs, now, settings);
}

async function runsInside(folder: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  const runs = names.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(folder, name)).sort();
  const hold = await Promise.all(runs.map((run) => isFile(join(run, "config.json"))));
  return runs.filter((_, i) => hold[i]);
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false);
}

/** A report as lines of text. */
export function describeRun({ run, finished, in_use, files, problems }: RunReport): string {
  const states = Object.values(files);
  const intact = states.filter((state) => state === "intact").length;
  const lines = [
    `run       ${run}, ${finished ? "finished" : "not finished"}${
      in_use === undefined ? "" : `, in use by ${in_use}`
    }`,
    `files     ${intact} of ${states.length} are as they were written`,
    ...problems.map((problem) => `problem   ${problem}`),
  ];
  return lines.join("\n");
}
