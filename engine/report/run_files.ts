/** Files of a run folder as a report reads them: leniently where it needs little, in one sentence where it cannot. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { requireAsWritten } from "../as_written.ts";
import { InputError } from "../errors.ts";
import { parseJson, readJsonObject, readTextIfThere } from "../json_objects.ts";

/** A JSON file of a run folder, undefined where there is none. Throws InputError for one of another form. */
export async function readObject<T>(
  folder: string,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  const path = join(folder, name);
  const value = await readJsonObject(path);
  await requireAsWritten(folder, [name]);
  return value && check(path, schema, value);
}

/** The same of a file that holds a list. */
export async function readList<T>(
  folder: string,
  name: string,
  schema: z.ZodType<T>,
): Promise<T[] | undefined> {
  return await readText(folder, name, (path, text) => check(path, z.array(schema), parse(path, text)));
}

/** The same of a file with one JSON object a line. */
export async function readRows<T>(
  folder: string,
  name: string,
  schema: z.ZodType<T>,
): Promise<T[] | undefined> {
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  return await readText(
    folder,
    name,
    (path, text) => lines(text).map((line) => check(path, schema, parse(path, line))),
  );
}

async function readText<T>(
  folder: string,
  name: string,
  read: (path: string, text: string) => T,
): Promise<T | undefined> {
  const path = join(folder, name);
  const text = await readTextIfThere(path);
  await requireAsWritten(folder, [name]);
  return text === undefined ? undefined : read(path, text);
}

function parse(path: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new InputError(`"${path}" is damaged (it is not JSON); run amplify on its folder again.`, "fresh");
  }
}

function check<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(
    `"${path}" is not as this version writes it (${issue!.path.join(".")}: ${issue!.message}).`,
  );
}
