/** A run folder: settings, events and results. Files appear whole or not at all; the same settings resume. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { requireWritable, writeAtomically, writeJson } from "../files.ts";

/** See file comment. */
export class RunFolder {
  private constructor(readonly path: string, readonly resumed: boolean) {}

  /**
   * Opens or creates `path` for a run with these settings. A folder that holds a run with other settings is refused,
   * unless `fresh` is set, which removes that run's files. `environment` (versions, adapter) is recorded beside.
   */
  static async open(
    path: string,
    settings: Record<string, unknown>,
    environment: Record<string, unknown>,
    fresh: boolean,
  ): Promise<RunFolder> {
    await requireWritable(path);
    const config = await readJson(join(path, "config.json")) as
      | { settings?: Record<string, unknown> }
      | undefined;
    if (config && !fresh) {
      const difference = firstDifference(config.settings ?? {}, settings);
      if (difference) {
        throw new InputError(
          `"${path}" holds a run with ${difference}; use another folder or start over.`,
          "out",
          "fresh",
        );
      }
    }
    const folder = new RunFolder(path, Boolean(config) && !fresh);
    if (fresh) await folder.clear();
    if (!folder.resumed) await folder.writeJson("config.json", { settings, ...environment });
    await folder.event(folder.resumed ? "resumed" : "started", environment);
    return folder;
  }

  /** Reads a JSON file of the run, undefined when it is not there yet. */
  async readJson<T>(name: string): Promise<T | undefined> {
    return await readJson(join(this.path, name)) as T | undefined;
  }

  /** Whether a file of the run is there. */
  async has(name: string): Promise<boolean> {
    return await Deno.stat(join(this.path, name)).then(({ isFile }) => isFile, () => false);
  }

  /** Writes a JSON file atomically. */
  async writeJson(name: string, value: unknown) {
    await writeJson(join(this.path, name), value);
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

  private async clear() {
    for (const name of runFiles) {
      await Deno.remove(join(this.path, name)).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }
}

/** Where settings first differ, in words; undefined where they do not. */
function firstDifference(before: Settings, now: Settings, above = ""): string | undefined {
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
  "mask.safetensors",
  "mask.json",
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
    throw new InputError(`"${path}" is not JSON; remove it or start over.`, "fresh");
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/[.:\s]+$/, "") : String(error);
}
