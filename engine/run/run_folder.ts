/**
 * A run folder: settings, events and results. Files appear whole or not at all, and are used only as they were written; the
 * same settings resume.
 */
import { join } from "node:path";
import type { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { requireWritable, sha256OfFile, writableProbe, writeAtomically, writing } from "../files.ts";
import { FolderLock } from "../folder_lock.ts";
import { parseJson } from "../json_objects.ts";
import { type Completions, Journal } from "./journal.ts";
import {
  type FileState,
  listedFiles,
  type ListedName,
  Manifest,
  manifestFile,
  stateTexts,
} from "./manifest.ts";
import { curvesFile } from "./tensorboard.ts";
import { removeTrainingStates, TrainingState } from "./training_state.ts";
import { parseRecord, type RunConfig, runConfigSchema } from "./records.ts";
import { readWholeText } from "../whole_file.ts";

/** See file comment. Locked for other processes until it is disposed. */
export class RunFolder implements Disposable {
  private constructor(
    readonly path: string,
    /** What an earlier start recorded, if this one goes on with it. */
    readonly before: RunConfig | undefined,
    private readonly settings: Settings,
    private readonly lock: FolderLock,
    private readonly manifest: Manifest,
    /** Files that are not what an earlier start wrote; they go when this one begins. */
    private readonly spoilt: ReadonlyMap<ListedName, FileState>,
  ) {}

  /**
   * Opens or creates `path` for a run with these settings, as config.json holds them; nothing is written yet.
   * @throws {InputError} for a folder that cannot be written or is in use, or, unless `fresh` is set, one that holds a run with
   * other settings, or one whose config.json or manifest is missing or damaged.
   */
  static async open(path: string, settings: Settings, fresh = false): Promise<RunFolder> {
    await requireWritable(path);
    using stack = new DisposableStack();
    const lock = stack.use(await FolderLock.take(path));
    const before = fresh ? undefined : await readConfig(join(path, "config.json"));
    const difference = before && firstDifference(before.settings, settings);
    if (difference) {
      throw new InputError(
        `"${path}" holds a run with ${difference}; use another folder or start over.`,
        "out",
        "fresh",
      );
    }
    const { manifest, spoilt } = before ? await checkRun(path) : unspoilt(path);
    const folder = new RunFolder(path, before, settings, lock, manifest, spoilt);
    if (!before && !fresh) await folder.requireEmpty();
    stack.move();
    return folder;
  }

  /** Whether this goes on with an earlier start. */
  get resumed(): boolean {
    return this.before !== undefined;
  }

  /**
   * Begins the run, or goes on with it: records with what. What a run that is started over has left is removed, and what is
   * left of one that goes on where it is not what was written, which `notice` is told.
   */
  async begin(environment: Omit<RunConfig, "settings">, notice?: (sentence: string) => void) {
    const { settings } = this;
    await writing(this.path, () => this.sweep());
    if (!this.before) {
      await writing(this.path, () => this.clear());
      await this.writeJson("config.json", { settings, ...environment });
    }
    await this.endLine("events.jsonl");
    const { inputs: _, ...rest } = environment;
    await this.event(this.before ? "resumed" : "started", rest);
    if (this.spoilt.size === 0) return;
    notice?.(describeSpoilt(this.path, this.spoilt));
    await this.event("made again", { files: Object.fromEntries(this.spoilt) });
    await writing(this.path, () => this.removeJournals()); // what a later stage began on them
    // From the last one made to the first, so that none is ever left whose origin is gone.
    for (const name of [...this.spoilt.keys()].reverse()) {
      await writing(join(this.path, name), () => removeIfThere(join(this.path, name)));
    }
    await this.manifest.drop([...this.spoilt.keys()]);
  }

  [Symbol.dispose]() {
    this.lock[Symbol.dispose]();
  }

  /**
   * Reads a JSON file of the run, undefined when it is not there yet.
   * @throws {InputError} for one that is damaged.
   */
  async read<T>(name: ListedName, schema: z.ZodType<T>): Promise<T | undefined> {
    const path = await this.intact(name);
    return path === undefined ? undefined : parseRecord(path, schema, await readJson(path));
  }

  /** Whether a file of the run is there. */
  async has(name: string): Promise<boolean> {
    return await Deno.stat(join(this.path, name)).then(({ isFile }) => isFile, () => false);
  }

  /**
   * The path of a file of the run, undefined when it is not there yet.
   * @throws {InputError} when it is not what was written.
   */
  async intact(name: ListedName): Promise<string | undefined> {
    const entry = this.manifest.get(name);
    if (!entry) return undefined;
    const path = join(this.path, name);
    const actual = await sha256OfFile(path).catch(() => undefined);
    if (actual === entry.sha256) return path;
    throw new InputError(
      `"${path}" was ${actual ? "changed" : "removed"} while the run was at work; start it again.`,
    );
  }

  /** Writes a JSON file atomically. */
  async writeJson(name: ListedName, value: unknown) {
    await this.put(name, (path) => writeAtomically(path, JSON.stringify(value, null, 2) + "\n"));
  }

  /** Takes a copy of a file of another run. */
  async take(path: string, name: ListedName) {
    await this.put(name, async (own) => await writeAtomically(own, await Deno.readFile(path)));
  }

  /** Writes one JSON object a line, atomically. */
  async writeLines(name: ListedName, rows: readonly unknown[]) {
    const text = rows.map((row) => JSON.stringify(row) + "\n").join("");
    await this.put(name, (path) => writeAtomically(path, text));
  }

  /** Puts a file in its place that `write` leaves at the path it is given. */
  async put(name: ListedName, write: (path: string) => Promise<void>) {
    await this.putAll([name], (folder) => write(join(folder, name)));
  }

  /** Puts files in their places, in this order, that `write` leaves in the folder it is given. */
  async putAll(names: readonly ListedName[], write: (folder: string) => Promise<void>) {
    await this.lock.require();
    const folder = join(this.path, unfinished);
    const inPlace = (error: unknown) => {
      if (!(error instanceof InputError)) throw error;
      // Nobody has to know where files are before they are in their places.
      throw new InputError(error.message.replaceAll(folder, this.path), ...error.settings);
    };
    await writing(join(this.path, names.at(-1)!), async () => {
      await using _ = await temporaryFolder(folder);
      await write(folder).catch(inPlace);
      for (const name of names) {
        await this.manifest.list(name, await sha256OfFile(join(folder, name)));
        await Deno.rename(join(folder, name), join(this.path, name));
      }
    });
  }

  /** The journal of a stage, which the stage removes once its own files are there; `known` is what is known besides. */
  async journal(stage: JournaledStage, known?: Completions): Promise<Journal> {
    await this.lock.require();
    return await Journal.open(join(this.path, journalFile(stage)), known);
  }

  /** Where a training keeps what an interrupted one goes on from. */
  trainingState(name: string): TrainingState {
    return new TrainingState(this.path, name, () => this.lock.require());
  }

  /** Removes journals and snapshots of stages that are done: whoever ended between a stage's file and these left them. */
  async removeJournals() {
    await removeTrainingStates(this.path);
    for (const stage of journaledStages) await removeIfThere(join(this.path, journalFile(stage)));
  }

  /** Appends to events.jsonl. */
  async event(type: string, data: Record<string, unknown> = {}) {
    const line = JSON.stringify({ time: new Date().toISOString(), type, ...data }) + "\n";
    await this.append("events.jsonl", line);
  }

  /** Appends to a file that no manifest lists. */
  private async append(name: string, text: string) {
    const path = join(this.path, name);
    await writing(path, () => Deno.writeTextFile(path, text, { append: true }));
  }

  /** Files of the names that a run gives its own are somebody's, or results of who knows what settings. */
  private async requireEmpty() {
    for (const name of runFiles) {
      if (name === manifestFile || !await this.has(name)) continue; // a start that was killed at once leaves one
      throw new InputError(
        `"${this.path}" holds "${name}" but no config.json that says of which run; use another folder or start over.`,
        "out",
        "fresh",
      );
    }
  }

  /** From the last one made to the first, so that what a killed start leaves is a run that can go on. */
  private async clear() {
    for (const name of runFiles.toReversed()) await removeIfThere(join(this.path, name));
    await removeTrainingStates(this.path);
  }

  /** Removes what killed processes were writing. */
  private async sweep() {
    for (const name of await leftovers(this.path)) {
      await Deno.remove(join(this.path, name), { recursive: true }).catch(ignoreMissing);
    }
  }

  /** Ends a line that a killed process was appending, so that the next one stands alone. */
  private async endLine(name: string) {
    const text = await Deno.readFile(join(this.path, name)).catch(ignoreMissing);
    if (!text?.length || text.at(-1) === 10) return;
    await this.append(name, "\n");
  }
}

/** Where files are written before they are put in their places. */
const unfinished = ".unfinished";

/** What killed processes were writing into a run folder. */
export async function leftovers(path: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name);
  return names.filter((name) =>
    name === unfinished || name === `${manifestFile}.part` || name.startsWith(writableProbe)
  );
}

/** A new folder that is removed with all that is left in it. Not made with those above it, which must be there. */
async function temporaryFolder(path: string): Promise<AsyncDisposable> {
  await Deno.mkdir(path);
  return { [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }).catch(() => {}) };
}

/**
 * The manifest of a run folder that holds a config.json, and the files that are not what it says.
 * @throws {InputError} where it or config.json is not what was written: then nothing can be told of the other files.
 */
export async function checkRun(
  path: string,
): Promise<{ manifest: Manifest; states: Map<ListedName, FileState>; spoilt: Map<ListedName, FileState> }> {
  const manifest = await Manifest.read(path);
  if (!manifest) {
    throw new InputError(
      `"${path}" holds a run without ${manifestFile}, so nothing says whether its files are whole; use another folder or start over.`,
      "out",
      "fresh",
    );
  }
  const states = await manifest.check();
  if (states.get("config.json") !== "intact") {
    throw new InputError(`"${join(path, "config.json")}" is not what the run wrote; start over.`, "fresh");
  }
  return { manifest, states, spoilt: new Map([...states].filter(([, state]) => state !== "intact")) };
}

function unspoilt(path: string) {
  return { manifest: Manifest.empty(path), spoilt: new Map<ListedName, FileState>() };
}

/** What is not as it was written, and what becomes of it, in a sentence. */
export function describeSpoilt(path: string, spoilt: ReadonlyMap<string, FileState>): string {
  const [outdated, bad] = [true, false].map((made) =>
    [...spoilt].filter(([, state]) => (state === "outdated") === made)
  );
  const what = bad!.map(([name, state]) => `"${name}" ${stateTexts[state]}`).join(", ");
  const after = outdated!.map(([name]) => name).join(", ");
  return `In "${path}" ${what}: made again${after && `, with what was made from it: ${after}`}.`;
}

async function removeIfThere(path: string) {
  await Deno.remove(path).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** config.json of an earlier start, undefined where there was none. */
export async function readConfig(path: string): Promise<RunConfig | undefined> {
  const value = await readJson(path);
  if (value === undefined) return undefined;
  const old = isMap(value) && isMap(value.versions) ? value.versions["circuit-amp"] : undefined;
  if (old !== undefined) {
    throw new InputError(
      `"${path}" is of version ${old}, whose runs this version cannot resume; use another folder or start over.`,
      "out",
      "fresh",
    );
  }
  return parseRecord(path, runConfigSchema, value);
}

/** Where settings first differ, in words; undefined where they do not. */
export function firstDifference(before: Settings, now: Settings, above = ""): string | undefined {
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [old, new_] = [before[key], now[key]];
    const inside = isMap(old) && isMap(new_) ? firstDifference(old, new_, `${above}${key}.`) : undefined;
    if (inside) return inside;
    const texts = [old, new_].map((value) => JSON.stringify(value));
    if (texts[0] === texts[1] || (isMap(old) && isMap(new_))) continue;
    // Shots are too long to be shown.
    if (texts.some((text) => text !== undefined && text.length > 120)) return `other ${above}${key}`;
    return `${above}${key} ${texts[0] ?? "unset"} instead of ${texts[1] ?? "unset"}`;
  }
}

type Settings = Readonly<Record<string, unknown>>;

function isMap(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Stages that keep what they generate in a journal until they are done. */
const journaledStages = ["identify", "update", "evaluations"] as const;
export type JournaledStage = typeof journaledStages[number];

function journalFile(stage: JournaledStage): string {
  return `${stage}.journal.jsonl`;
}

/** Everything a run writes, the manifest before anything else; starting over removes these and nothing else. */
const runFiles = [
  manifestFile,
  ...listedFiles,
  ...journaledStages.map(journalFile),
  "events.jsonl",
  curvesFile,
  "report.html",
];

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readWholeText(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new InputError(`"${path}" cannot be read (${reason(error)}).`);
  }
  try {
    return parseJson(text);
  } catch {
    throw new InputError(`"${path}" is damaged (it is not JSON); start over.`, "fresh");
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/[.:\s]+$/, "") : String(error);
}
