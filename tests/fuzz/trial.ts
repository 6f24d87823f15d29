/** One mutant: its files are put in place, read by the engine's own readers, and what came of it is judged. */
import { dirname, join } from "node:path";
import { messageOf } from "../../cli/exit_codes.ts";
import { printableLine } from "../../cli/terminal.ts";
import { InputError } from "../../engine/errors.ts";
import type { Bytes, Dice } from "./mutation.ts";

/** What reading gives, by parts; equal texts mean the same. */
export type Meaning = Readonly<Record<string, string>>;

/** A mutant of some files. */
export interface Mutant {
  readonly what: string;
  /** New contents by path in the folder; null for a file that is gone, a text for a link to there. */
  readonly files: Readonly<Record<string, Bytes | null | { readonly link: string }>>;
  /** "same": must be read as before; "refused": must not be read. By default either will do. */
  readonly expected?: "same" | "refused";
  /** Parts whose meaning may be another, because the mutant says something else there. By default none. */
  readonly may?: (part: string, value: string | undefined) => boolean;
}

/** Files of one kind and how they are read. */
export interface Subject {
  readonly name: string;
  /** Fills an empty folder with good files. */
  readonly prepare: (folder: string) => Promise<void>;
  /** Reads them with what programs use. */
  readonly read: (folder: string) => Promise<Meaning>;
  readonly mutate: (dice: Dice, files: ReadonlyMap<string, Bytes>) => Mutant;
}

/** A subject in its folder. */
export class Bench {
  private constructor(
    readonly subject: Subject,
    private readonly folder: string,
    private readonly files: ReadonlyMap<string, Bytes>,
    private readonly good: Meaning,
  ) {}

  static async open(subject: Subject, root: string): Promise<Bench> {
    const folder = join(root, subject.name, "folder");
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(join(root, subject.name, "secret"), secret);
    await subject.prepare(folder);
    const files = new Map<string, Bytes>();
    await collect(folder, "", files);
    return new Bench(subject, folder, files, await subject.read(folder));
  }

  /** What is wrong with how a mutant was taken, undefined where nothing is. */
  async try(dice: Dice): Promise<{ readonly mutant: Mutant; readonly wrong?: string }> {
    const mutant = this.subject.mutate(dice, this.files);
    for (const [name, content] of Object.entries(mutant.files)) await this.put(name, content);
    const started = performance.now();
    try {
      const wrong = await this.judge(mutant);
      const seconds = (performance.now() - started) / 1000;
      return {
        mutant,
        ...(wrong ? { wrong } : seconds > mostSeconds && { wrong: `it took ${seconds.toFixed(1)} s` }),
      };
    } finally {
      await this.restore(Object.keys(mutant.files));
    }
  }

  private async judge({ expected, may }: Mutant): Promise<string | undefined> {
    let meaning: Meaning;
    try {
      meaning = await this.subject.read(this.folder);
    } catch (error) {
      const fault = faultOf(error);
      if (fault) return fault;
      return expected === "same"
        ? `refused, though it says the same: ${(error as Error).message}`
        : undefined;
    }
    if (expected === "refused") return "read, though nobody can know what it means";
    for (const part of new Set([...Object.keys(this.good), ...Object.keys(meaning)])) {
      if (meaning[part]?.includes(secret)) return `"${part}" holds what lies outside of the folder`;
      if (meaning[part] === this.good[part] || (expected !== "same" && may?.(part, meaning[part]))) continue;
      return `"${part}" silently is ${meaning[part]?.slice(0, 200)} instead of ${
        this.good[part]?.slice(0, 200)
      }`;
    }
  }

  private async put(name: string, content: Mutant["files"][string]) {
    const path = join(this.folder, name);
    await Deno.remove(path).catch(() => {});
    if (content === null) return;
    await Deno.mkdir(dirname(path), { recursive: true });
    if ("link" in content) await Deno.symlink(content.link, path);
    else await Deno.writeFile(path, content);
  }

  /** Puts everything back, whatever reading wrote too. */
  private async restore(touched: readonly string[]) {
    const now = new Map<string, Bytes>();
    await collect(this.folder, "", now);
    for (const name of new Set([...touched, ...now.keys()])) {
      const good = this.files.get(name);
      const [a, b] = [good, now.get(name)];
      if (!touched.includes(name) && a && b && a.length === b.length && a.every((byte, i) => byte === b[i])) {
        continue;
      }
      await this.put(name, good ?? null);
      // A folder that a mutant brought goes with what was in it.
      const folder = dirname(name);
      const isForeign = folder !== "." && ![...this.files.keys()].some((own) => dirname(own) === folder);
      if (isForeign) await Deno.remove(join(this.folder, folder), { recursive: true }).catch(() => {});
    }
  }
}

/** What must never be seen. */
const secret = "the-secret-that-lies-outside";

/** Seconds that one mutant may take. */
const mostSeconds = 10;

async function collect(folder: string, prefix: string, into: Map<string, Bytes>) {
  for await (const { name, isDirectory, isFile } of Deno.readDir(join(folder, prefix))) {
    const path = join(prefix, name);
    if (isDirectory) await collect(folder, path, into);
    else into.set(path, isFile ? await Deno.readFile(join(folder, path)) : new Uint8Array(0));
  }
}

/** Why an error is no good refusal: another than InputError, no sentence, or one that shows what it must not. */
function faultOf(error: unknown): string | undefined {
  if (!(error instanceof InputError)) {
    return `no sentence but ${error instanceof Error ? error.stack : Deno.inspect(error)}`;
  }
  const said = printableLine(messageOf(error, () => undefined));
  if (said.includes(secret)) return `its message holds what lies outside: ${said}`;
  if (!/^[A-Z"/].*\.$/s.test(said)) return `no sentence: ${said}`;
  if (said.length > 1200) return `a sentence of ${said.length} characters: ${said.slice(0, 300)}`;
  if (/\[object |\bat file:|undefined\b.*\bundefined/.test(said)) {
    return `a sentence that says nothing: ${said}`;
  }
}
