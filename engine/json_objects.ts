/** JSON files that hold one object. */
import { InputError } from "./errors.ts";
import { mistakenContents } from "./file_contents.ts";
import { linkTarget } from "./files.ts";
import { readWholeText, unreadable } from "./whole_file.ts";

/** The largest file of settings that is read; the largest published tokenizers take a third of it. */
const mostBytes = 128 * 2 ** 20;

/** How deep JSON may nest: whoever walks through it takes a step on the stack for each level. */
const mostLevels = 100;

/**
 * The text of a file, or undefined where there is none.
 * @throws {InputError} for a folder, a link to nothing, a device or pipe, or a file that is too large or may not be read.
 */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readWholeText(path, mostBytes);
  } catch (error) {
    if (error instanceof InputError) throw error;
    const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    const target = missing ? await linkTarget(path) : undefined;
    if (target !== undefined) {
      throw new InputError(
        `File "${path}" is a link to "${target}", which does not exist; download it again or remove it.`,
      );
    }
    if (missing) return undefined;
    if (error instanceof Deno.errors.IsADirectory) {
      throw new InputError(`"${path}" is a folder where a file is needed; remove it or put the file there.`);
    }
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
      throw new InputError(`File "${path}" may not be read; change its permissions.`);
    }
    throw unreadable(path, error);
  }
}

/**
 * Reads a JSON file that holds one object, or returns undefined where there is no such file.
 * @throws {InputError} when it is not JSON or holds anything else, saying what it is instead where that can be told.
 */
export async function readJsonObject(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    if (error instanceof TooDeep) {
      throw new InputError(
        `File "${path}" ${error.message}, as no file of its kind does; download it again.`,
      );
    }
    const mistaken = mistakenContents(new TextEncoder().encode(text.slice(0, 512)));
    throw new InputError(
      mistaken
        ? `File "${path}" is ${mistaken.is}, where JSON is needed; ${mistaken.remedy}.`
        : text.trim() === ""
        ? `File "${path}" is empty; download it again.`
        : `File "${path}" is not valid JSON; download it again or mend it.`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError(
      `File "${path}" holds ${describe(value)} where a JSON object is needed; download it again.`,
    );
  }
  return value as Record<string, unknown>;
}

/** JSON that nests deeper than whoever walks through it can follow. */
class TooDeep extends SyntaxError {
  override readonly message = `nests more than ${mostLevels} levels deep`;
}

/** JSON.parse for what comes from files. Throws SyntaxError also for what nests too deeply. */
export function parseJson(text: string, reviver?: Parameters<typeof JSON.parse>[1]): unknown {
  const value = JSON.parse(text, reviver);
  if (levels(text) > mostLevels) throw new TooDeep();
  return value;
}

/** How deep the objects and lists of a text, which must be JSON, lie inside each other. */
function levels(json: string): number {
  let [depth, deepest] = [0, 0];
  let isText = false;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (isText) {
      if (code === backslash) i++;
      else if (code === quote) isText = false;
    } else if (code === quote) isText = true;
    else if (code === bracket || code === brace) deepest = Math.max(deepest, ++depth);
    else if (code === bracket + 2 || code === brace + 2) depth--;
  }
  return deepest;
}

// A closing bracket or brace has the code of the opening one and two more.
const [quote, backslash, bracket, brace] = ['"', "\\", "[", "{"].map((one) => one.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
];

/** A value as JSON, cut short so that a message stays readable. */
export function describe(value: unknown): string {
  let json: string;
  try {
    json = JSON.stringify(value) ?? "nothing";
  } catch {
    return "something that nests too deeply"; // for the stack
  }
  return json.length > 60 ? `${json.slice(0, 60)}…` : json;
}
