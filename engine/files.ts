/** Writing files and folders so that a reader never sees half of one. */
import { join } from "node:path";
import { InputError } from "./errors.ts";

/** Writes text or bytes to a temporary name, syncs, and renames it to `path`. */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array<ArrayBuffer>,
): Promise<void> {
  {
    using file = await Deno.open(`${path}.part`, { write: true, create: true, truncate: true });
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  }
  await Deno.rename(`${path}.part`, path);
}

/** `value` as indented JSON, written atomically. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeAtomically(path, JSON.stringify(value, null, 2) + "\n");
}

/** Creates a folder and makes sure that files can be written in it; throws InputError. */
export async function requireWritable(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".writable-" }));
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/[.:\s]+$/, "") : String(error);
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
    if (error instanceof Error && /no space left|not enough space|quota exceeded/i.test(error.message)) {
      throw new InputError(
        `There is no space left for "${target}"; free some or choose another disk.`,
        "out",
      );
    }
    throw error;
  }
}
