/** Reading whole files: only what is a file, and of a size that memory holds. A device such as /dev/zero has no end. */
import { InputError } from "./errors.ts";

/** Most bytes of a text: what a string can hold. */
const mostTextBytes = 2 ** 29 - 24;
/** Most bytes of anything else. */
const mostBytes = 2 ** 31;

/**
 * The bytes of a file.
 * @throws {InputError} for a device or pipe, and for what is too large; what the system refuses is thrown as it is.
 */
export async function readWhole(path: string, most: number = mostBytes): Promise<Uint8Array<ArrayBuffer>> {
  const { isFile, isDirectory, size } = await Deno.stat(path);
  if (!isFile && !isDirectory) throw new InputError(`"${path}" is a device or pipe; give a file.`);
  if (size > most) {
    throw new InputError(
      `"${path}" has ${Math.ceil(size / 2 ** 20)} MiB, and at most ${
        Math.floor(most / 2 ** 20)
      } are read; divide it.`,
    );
  }
  return await Deno.readFile(path);
}

/** The text of a file, in UTF-8. Throws like readWhole. */
export async function readWholeText(path: string, most: number = mostTextBytes): Promise<string> {
  const bytes = await readWhole(path, most);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** What a user is told of a file that the system will not have read, in one sentence. */
export function unreadable(path: string, error: unknown): InputError {
  const why = error instanceof Error ? error.message : String(error);
  const short = why.replace(/: \w+ '.*$/s, "").replace(/\s+/g, " ").replace(/[.:\s]+$/, "");
  return new InputError(`File "${path}" cannot be read (${short}); check the path and the file.`);
}
