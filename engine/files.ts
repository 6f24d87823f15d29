/** Writing files and folders so that a reader never sees half of one. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "./errors.ts";

/**
 * Does what writes `path`.
 * @throws {InputError} for what the file system refuses: there is no space or permission, or the folder is gone.
 */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw writingProblem(path, error);
  }
}

/** What the file system refuses when `path` is written, as a sentence; any other error as it is. */
export function writingProblem(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof InputError) return error;
  const { code } = error as { code?: unknown };
  if (
    code === "ENOSPC" || code === "EDQUOT" ||
    /no space left|not enough space|quota exceeded/i.test(error.message)
  ) {
    return new InputError(
      `There is no space left for "${path}"; free some and start the same command again, or choose another disk.`,
      "out",
    );
  }
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new InputError(`"${path}" cannot be written: its folder is gone; start the same command again.`);
  }
  if (typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code)) return error;
  const why = error.message.replace(/ \(os error.*$/s, "");
  return new InputError(
    `"${path}" cannot be written (${why}); make it writable or choose another folder.`,
    "out",
  );
}

/**
 * Writes text or bytes to a temporary name, syncs, and renames it to `path`.
 * @throws {InputError} for what the file system refuses.
 */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array<ArrayBuffer>,
): Promise<void> {
  const temporary = `${path}.part`;
  try {
    {
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw writingProblem(path, error);
  }
}

/** SHA-256 of a file in hexadecimal, read in pieces. */
export async function sha256OfFile(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const piece = new Uint8Array(2 ** 20);
  for (let read; (read = await file.read(piece)) !== null;) hash.update(piece.subarray(0, read));
  return hash.digest("hex");
}

/** `value` as indented JSON, written atomically. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeAtomically(path, JSON.stringify(value, null, 2) + "\n");
}

/** What the names of files begin with that are there for a moment, to see whether a folder can be written. */
export const writableProbe = ".writable-";

/** Creates a folder and makes sure that files can be written in it; throws InputError. */
export async function requireWritable(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    const probe = await Deno.makeTempFile({ dir: folder, prefix: writableProbe });
    await Deno.remove(probe).catch((error) => {
      // Another process may have swept it.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/ \(os error.*$/s, "") : String(error);
    throw new InputError(
      `Output folder "${folder}" is not writable (${why}); choose another.`,
      "out",
    );
  }
}

/** Where a symbolic link leads, as it is written; undefined for anything that is none. */
export async function linkTarget(path: string): Promise<string | undefined> {
  return await Deno.readLink(path).catch(() => undefined);
}

const unfinished = ".unfinished";

/**
 * Fills a new or empty folder: `fill` writes into a hidden folder inside it, everything is moved up when it is done, and
 * `last` comes last. What an interrupted attempt left in the hidden folder is discarded. Throws InputError when the
 * folder holds anything else, cannot be written or has no space left.
 */
export async function writeFolder(target: string, last: string, fill: (folder: string) => Promise<void>) {
  await requireWritable(target);
  for await (const { name } of Deno.readDir(target)) {
    if (name === unfinished) continue;
    throw new InputError(`Output folder "${target}" holds "${name}"; choose a new or empty one.`, "out");
  }
  const folder = join(target, unfinished);
  const discard = () => Deno.remove(folder, { recursive: true }).catch(() => {});
  await discard();
  try {
    await Deno.mkdir(folder);
    await fill(folder);
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    for (const name of names.sort((a, b) => Number(a === last) - Number(b === last))) {
      await Deno.rename(join(folder, name), join(target, name));
    }
    await Deno.remove(folder);
  } catch (error) {
    await discard();
    throw writingProblem(target, error);
  }
}
