/** A run folder: settings, events and results. Files appear whole or not at all; the same settings resume. */
import { join } from "node:path";
import type { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { requireWritable, writeAtomically, writeJson } from "../files.ts";
import { FolderLock } from "../folder_lock.ts";
import { curvesFile } from "./tensorboard.ts";
import { parseRecord, type RunConfig, runConfigSchema } from "./records.ts";

/** See file comment. Locked for other processes until it is disposed. */
export class RunFolder implements Disposable {
  private constructor(
    readonly path: string,
    /** What an earlier start recorded, if this one goes on with it. */
    readonly before: RunConfig | undefined,
    private readonly settings: Settings,
    private readonly lock: FolderLock,
  ) {}

  /**
   * Opens or creates `path` for a run with these settings, as config.json holds them; nothing is written yet.
   * @throws {InputError} for a folder that cannot be written or is in use, or, unless `fresh` is set, one that holds a run with
   * other settings or a damaged one.
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
    const folder = new RunFolder(path, before, settings, lock);
    if (!before && !fresh) await folder.requireEmpty();
    stack.move();
    return folder;
  }

  /** Whether this goes on with an earlier start. */
  get resumed(): boolean {
    return this.before !== undefined;
  }

  /** Begins the run, or goes on with it: records with what. What a run that is started over has left is removed. */
  async begin(environment: Omit<RunConfig, "settings">) {
    const { settings } = this;
    if (!this.before) {
      await this.clear();
      await this.writeJson("config.json", { settings, ...environment });
    }
    const { inputs: _, ...rest } = environment;
    await this.event(this.before ? "resumed" : "started", rest);
  }

  [Symbol.dispose]() {
    this.lock[Symbol.dispose]();
  }

  /** Reads a JSON file of the run, undefined when it is not there yet. Throws InputError for one that is damaged. */
  async read<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const path = join(this.path, name);
    const value = await readJson(path);
    return value === undefined ? undefined : parseRecord(path, schema, value);
  }

  /** Whether a file of the run is there. */
  async has(name: string): Promise<boolean> {
    return await Deno.stat(join(this.path, name)).then(({ isFile }) => isFile, () => false);
  }

  /** Writes a JSON file atomically. */
  async writeJson(name: string, value: unknown) {
    await writeJson(join(this.path, name), value);
  }

  /** Takes a copy of a file of another run. */
  async take(path: string, name: string) {
    await writeAtomically(join(this.path, name), await Deno.readFile(path));
  }

  /** Writes one JSON object a line, atomically. */
  async writeLines(name: string, rows: readonly unknown[]) {
    await writeAtomically(join(this.path, name), rows.map((row) => JSON.stringify(row) + "\n").join(""));
  }

  /** Appends to events.jsonl. */
  async event(type: string, data: Record<string, unknown> = {}) {
    const line = JSON.stringify({ time: new Date().toISOString(), type, ...data }) + "\n";
    await Deno.writeTextFile(join(this.path, "events.jsonl"), line, { append: true });
  }

  /** Files of the names that a run gives its own are somebody's, or results of who knows what settings. */
  private async requireEmpty() {
    for (const name of runFiles) {
      if (!await this.has(name)) continue;
      throw new InputError(
        `"${this.path}" holds "${name}" but no config.json that says of which run; use another folder or start over.`,
        "out",
        "fresh",
      );
    }
  }

  private async clear() {
    for (const name of runFiles) {
      await Deno.remove(join(this.path, name)).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }
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

/** Everything a run writes; starting over removes these and nothing else. */
const runFiles = [
  "config.json",
  "events.jsonl",
  "traces.jsonl",
  "localization.json",
  "energies.safetensors",
  "mask.safetensors",
  "mask.json",
  curvesFile,
  "selection.json",
  "update.json",
  "patch.safetensors",
  "patch.json",
  "evaluations.json",
  "summary.json",
  "report.html",
];

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new InputError(`"${path}" cannot be read (${reason(error)}).`);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`"${path}" is damaged (it is not JSON); start over.`, "fresh");
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/[.:\s]+$/, "") : String(error);
}
