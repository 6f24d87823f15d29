/**
 * shards/ of a run folder: what each shard publishes once, whole and checked, and the journals of attempts at it.
 * Schedulers may start a shard twice, or again; whichever attempt is first publishes, and any other must have come to the same.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { writingProblem } from "../files.ts";
import { type Completions, journalLine, readJournal } from "../run/journal.ts";
import { arrayOption, indexExpression } from "./index_expression.ts";

/** Folder of what shards leave. */
export const shardFolder = "shards";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const headerSchema = z.looseObject({
  /** The plan's hash. */
  plan: hash,
  shard: z.int().nonnegative(),
  shards: z.int().positive(),
  /** How many lines follow. */
  completions: z.int().nonnegative(),
  /** SHA-256 of those lines. */
  sha256: hash,
  /** On what they were made. */
  adapter: z.string(),
  device: z.string(),
  host: z.string(),
});

/** First line of a part. */
export type PartHeader = z.infer<typeof headerSchema>;

/** A part that was read. */
export interface Part {
  readonly header: PartHeader;
  readonly completions: Completions;
}

/** Name of the part of a shard. */
export function partFile(shard: number): string {
  return join(shardFolder, `part-${String(shard).padStart(5, "0")}.jsonl`);
}

/** A part as text: its header, then its completions in the order of their keys. */
export function partText(
  header: Omit<PartHeader, "completions" | "sha256">,
  completions: Completions,
): { text: string; sha256: string } {
  const keys = [...completions.keys()].sort();
  const body = keys.map((key) => journalLine(key, completions.get(key)!)).join("");
  const sha256 = createHash("sha256").update(body).digest("hex");
  const first = JSON.stringify({ ...header, completions: keys.length, sha256 });
  return { text: `${first}\n${body}`, sha256 };
}

/** The part of a shard; undefined where there is none, a sentence where it is not whole. */
export async function readPart(run: string, shard: number): Promise<Part | string | undefined> {
  const name = partFile(shard);
  let text: string;
  try {
    text = await Deno.readTextFile(join(run, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const end = text.indexOf("\n") + 1;
  const header = headerSchema.safeParse(parsed(text.slice(0, end))).data;
  if (!header || header.shard !== shard) return `"${name}" has no header of shard ${shard}`;
  if (createHash("sha256").update(text.slice(end)).digest("hex") !== header.sha256) {
    return `"${name}" is not what was published`;
  }
  const { items } = await readJournal(join(run, name), new TextEncoder().encode(text.slice(0, end)).length);
  return { header, completions: items };
}

/**
 * Publishes a part: written under a name of its own, synced, and linked to its place, which fails where there is one already.
 * Returns whether it was the first; a later one must be the same.
 * @throws {InputError} where the part that is there holds other completions, or the disk refuses.
 */
export async function publishPart(
  run: string,
  shard: number,
  { text, sha256 }: { text: string; sha256: string },
): Promise<boolean> {
  const first = await publish(join(run, partFile(shard)), text);
  if (first) return true;
  const there = await readPart(run, shard);
  if (typeof there === "object" && there.header.sha256 === sha256) return false;
  if (typeof there !== "object") return await publish(join(run, partFile(shard)), text, true);
  throw new InputError(
    `Shard ${shard} was published with other completions on ${there.header.adapter}; run all shards on one kind of GPU, and plan again in another folder.`,
    "run",
  );
}

/** Puts a whole file in its place unless one is there, or in any case where `replace` is set. Returns whether it did. */
export async function publish(path: string, text: string, replace = false): Promise<boolean> {
  const own = `${path}.${attemptName()}.part`;
  try {
    {
      using file = await Deno.open(own, { write: true, createNew: true });
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    }
    if (replace) await Deno.rename(own, path);
    else await linkNew(own, path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw writingProblem(path, error);
  } finally {
    await Deno.remove(own).catch(() => {});
  }
}

/** Gives a file a second name, where nothing may be yet; on file systems without links it is moved there. */
async function linkNew(own: string, path: string) {
  try {
    await Deno.link(own, path);
  } catch (error) {
    const { code } = error as { code?: string };
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code ?? "")) throw error;
    const taken = await Deno.stat(path).then(() => true, () => false);
    if (taken) throw new Deno.errors.AlreadyExists(path);
    await Deno.rename(own, path);
  }
}

/** Creates the folder of shards. */
export async function makeShardFolder(run: string) {
  const path = join(run, shardFolder);
  await Deno.mkdir(path, { recursive: true }).catch((error) => {
    throw writingProblem(path, error);
  });
}

/** Removes everything that shards have left. */
export async function removeShards(run: string) {
  await Deno.remove(join(run, shardFolder), { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** Name of a new journal of an attempt at a shard. */
export function attemptFile(shard: number, plan: string): string {
  return join(shardFolder, `${attemptPrefix(shard, plan)}${attemptName()}.journal.jsonl`);
}

/** Journals that attempts at a shard have left, or are writing. */
export async function attemptFiles(run: string, shard: number, plan: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(join(run, shardFolder)))).map(({ name }) => name);
  return names.filter((name) =>
    name.startsWith(attemptPrefix(shard, plan)) && name.endsWith(".journal.jsonl")
  ).sort().map((name) => join(run, shardFolder, name));
}

function attemptPrefix(shard: number, plan: string): string {
  return `shard-${String(shard).padStart(5, "0")}.${plan.slice(0, 8)}.`;
}

/** A name that no other attempt has, wherever it runs. */
function attemptName(): string {
  return `${Deno.pid}-${crypto.randomUUID().slice(0, 13)}`;
}

/**
 * All parts of a plan.
 * @throws {InputError} naming the shards that are missing or spoilt as an array expression, or a part of another plan.
 */
export async function readParts(run: string, plan: string, shards: number): Promise<Part[]> {
  const parts: Part[] = [];
  const missing: number[] = [];
  const spoilt: string[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const part = await readPart(run, shard);
    if (typeof part === "object") parts.push(part);
    else missing.push(shard);
    if (typeof part === "string") spoilt.push(part);
  }
  const foreign = parts.find(({ header }) => header.plan !== plan);
  if (foreign) {
    throw new InputError(
      `"${
        join(run, partFile(foreign.header.shard))
      }" is of another plan than run.json; plan again in another folder.`,
      "run",
    );
  }
  if (missing.length === 0) return parts;
  const which = missing.length === 1 ? "Shard" : "Shards";
  const why = spoilt.length > 0 ? ` (${spoilt.join("; ")})` : "";
  const expression = indexExpression(missing);
  throw new InputError(
    `${which} ${expression} of 0-${shards - 1} in "${run}" ${
      missing.length === 1 ? "is" : "are"
    } missing${why}; run them again: ${arrayOption(missing)}.`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
