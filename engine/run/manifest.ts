/** manifest.json of a run folder: the SHA-256 of every file that stages leave, and of what each was made from. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { parseJson } from "../json_objects.ts";
import { sha256OfFile, writeJson } from "../files.ts";
import { readWholeText } from "../whole_file.ts";

/** The manifest's own name. */
export const manifestFile = "manifest.json";

/** Stages by the names under which a run's events know them. */
const stageNames = ["start", "identify", "mask", "update", "evaluate", "summary"] as const;

/** What leaves a file, and the files that it is made from; those that a run lacks, such as a patch, count as nothing. */
interface Origin {
  readonly stage: (typeof stageNames)[number];
  readonly from: readonly string[];
}

/** The files that the stages leave, in the order in which they are made. config.json stands for settings, data and weights. */
const origins = {
  "config.json": { stage: "start", from: [] },
  "traces.jsonl": { stage: "identify", from: ["config.json"] },
  "localization.json": { stage: "identify", from: ["traces.jsonl"] },
  "pivots.jsonl": { stage: "identify", from: ["localization.json"] },
  "energies.safetensors": { stage: "mask", from: ["localization.json"] },
  "mask.safetensors": { stage: "mask", from: ["localization.json", "energies.safetensors"] },
  "mask.json": { stage: "mask", from: ["mask.safetensors"] },
  "selection.json": { stage: "mask", from: ["mask.json"] },
  "patch.safetensors": { stage: "update", from: ["mask.json"] },
  "patch.json": { stage: "update", from: ["patch.safetensors"] },
  "update.json": { stage: "update", from: ["mask.json", "patch.json"] },
  "answers_base.jsonl": { stage: "evaluate", from: ["update.json"] },
  "answers_amplified.jsonl": { stage: "evaluate", from: ["update.json"] },
  "evaluations.json": {
    stage: "evaluate",
    from: ["update.json", "answers_base.jsonl", "answers_amplified.jsonl"],
  },
  "summary.json": { stage: "summary", from: ["selection.json", "evaluations.json", "pivots.jsonl"] },
} as const satisfies Readonly<Record<string, Origin>>;

/** A file that a manifest lists. */
export type ListedName = keyof typeof origins;

/** Names of the files that a manifest lists, in the order in which they are made. */
export const listedFiles = Object.keys(origins) as ListedName[];

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const manifestSchema = z.strictObject({
  files: z.partialRecord(
    z.enum(listedFiles),
    z.strictObject({
      sha256: hash,
      stage: z.enum(stageNames),
      made_from: z.record(z.string(), hash),
      replaces: hash.nullable().optional(),
    }),
  ),
});

/** An entry of a manifest. */
export interface ListedFile {
  readonly sha256: string;
  /** The stage that left it. */
  readonly stage: Origin["stage"];
  /** SHA-256 of the files it was made from, by name. */
  readonly made_from: Readonly<Record<string, string>>;
  /**
   * What was under its name until it was put there, null for nothing: a file is listed before it is put in its place, so a
   * process that was killed in between leaves the one before.
   */
  readonly replaces?: string | null | undefined;
}

/** Whether a file is what was written, and if not how it differs: `outdated` is what was made from one that is not intact. */
export type FileState = "intact" | "changed" | "missing" | "unlisted" | "outdated";

/** See file comment. */
export class Manifest {
  private constructor(
    private readonly folder: string,
    private readonly files: Map<ListedName, ListedFile>,
  ) {}

  /** A manifest that lists nothing yet; nothing is written. */
  static empty(folder: string): Manifest {
    return new Manifest(folder, new Map());
  }

  /**
   * The manifest of a run folder, undefined where there is none.
   * @throws {InputError} for one that is damaged.
   */
  static async read(folder: string): Promise<Manifest | undefined> {
    const path = join(folder, manifestFile);
    let text: string;
    try {
      text = await readWholeText(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new InputError(`"${path}" cannot be read (${(error as Error).message.replace(/[.:\s]+$/, "")}).`);
    }
    let value: unknown;
    try {
      value = parseJson(text);
    } catch {
      value = undefined;
    }
    const parsed = manifestSchema.safeParse(value);
    if (!parsed.success) throw new InputError(`"${path}" is damaged; start over.`, "fresh");
    const listed = Object.entries(parsed.data.files).filter((entry): entry is [ListedName, ListedFile] =>
      entry[1] !== undefined
    );
    return new Manifest(folder, new Map(listed));
  }

  /** The entry of a file. */
  get(name: ListedName): ListedFile | undefined {
    return this.files.get(name);
  }

  /** Lists a file that is about to be put in its place. */
  async list(name: ListedName, sha256: string) {
    const { stage, from } = origins[name];
    const made_from = Object.fromEntries(
      from.flatMap((source) => {
        const entry = this.files.get(source);
        return entry ? [[source, entry.sha256]] : [];
      }),
    );
    const replaces = this.files.get(name)?.sha256 ?? null;
    this.files.set(name, { sha256, stage, made_from, replaces });
    await this.write();
    // It is said to be in its place with whatever is listed next.
    this.files.set(name, { sha256, stage, made_from });
  }

  /** Forgets files; they should be gone already. */
  async drop(names: readonly ListedName[]) {
    for (const name of names) this.files.delete(name);
    await this.write();
  }

  /** The state of every file that is listed or there, in the order in which they are made. */
  async check(): Promise<Map<ListedName, FileState>> {
    const states = new Map<ListedName, FileState>();
    for (const name of listedFiles) {
      const state = await this.checkFile(name);
      if (state) states.set(name, state);
    }
    for (const name of listedFiles) {
      if (states.get(name) !== "intact") continue;
      const sources = Object.entries(this.files.get(name)!.made_from);
      const fits = ([source, sha256]: [string, string]) =>
        states.get(source as ListedName) === "intact" &&
        this.files.get(source as ListedName)!.sha256 === sha256;
      if (!sources.every(fits)) states.set(name, "outdated");
    }
    return states;
  }

  /** The state of one file whatever it was made from; undefined where there is none and none should be. */
  private async checkFile(name: ListedName): Promise<Exclude<FileState, "outdated"> | undefined> {
    const entry = this.files.get(name);
    const actual = await hashOf(join(this.folder, name));
    if (!entry) return actual === null ? undefined : "unlisted";
    if (actual === entry.sha256) return "intact";
    if (actual === entry.replaces) {
      if (actual === null) this.files.delete(name);
      else this.files.set(name, { ...entry, sha256: actual! });
      return actual === null ? undefined : "intact";
    }
    return actual === null ? "missing" : "changed";
  }

  private async write() {
    const files = Object.fromEntries(listedFiles.flatMap((name) => {
      const entry = this.files.get(name);
      return entry ? [[name, entry]] : [];
    }));
    await writeJson(join(this.folder, manifestFile), { files });
  }
}

/** SHA-256 of a file; null where there is none, undefined where it cannot be read. */
async function hashOf(path: string): Promise<string | null | undefined> {
  try {
    if ((await Deno.stat(path)).isFile) return await sha256OfFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
  }
}

/** What is said of a file in a state. */
export const stateTexts: Readonly<Record<FileState, string>> = {
  intact: "is as it was written",
  changed: "is not what was written",
  missing: "is missing",
  unlisted: `is not in ${manifestFile}`,
  outdated: "was made from one of these",
};
