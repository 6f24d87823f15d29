/** Writing files so that a reader never sees half of one. */
import { InputError } from "./errors.ts";

/** Writes text to a temporary name, syncs, and renames it to `path`. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  {
    using file = await Deno.open(`${path}.part`, { write: true, create: true, truncate: true });
    const bytes = new TextEncoder().encode(text);
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
      `Output folder "${folder}" is not writable (${why}); choose another with --out.`,
    );
  }
}
