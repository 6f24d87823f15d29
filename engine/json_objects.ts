/** JSON files that hold one object. */
import { InputError } from "./errors.ts";

/**
 * Reads a JSON file that holds one object, or returns undefined where there is no such file.
 * Throws InputError when it is not JSON or holds anything else.
 */
export async function readJsonObject(path: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(`File "${path}" is not valid JSON; download it again or mend it.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError(
      `File "${path}" holds ${describe(value)} where a JSON object is needed; download it again.`,
    );
  }
  return value as Record<string, unknown>;
}

/** A value as JSON, cut short so that a message stays readable. */
export function describe(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length > 60 ? `${json.slice(0, 60)}…` : json;
}
