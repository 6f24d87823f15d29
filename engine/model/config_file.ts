/** Objects of JSON files that describe a model, checked against schemas; whatever is wrong is said in one sentence. */
import type { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { describe } from "../json_objects.ts";

/** An object as it stands in a JSON file, and that file's path for messages. */
export interface JsonFile {
  readonly path: string;
  readonly object: Readonly<Record<string, unknown>>;
}

/** Applies a schema and turns its first complaint into an InputError. */
export function parse<T>(schema: z.ZodType<T>, file: JsonFile): T {
  const result = schema.safeParse(file.object);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  let value: unknown = file.object;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  throw refusal(file, issue.path.join("."), value, issue.message);
}

/** The error for a field of a file whose value, undefined for none, breaks a rule: what "it must be". */
export function refusal(file: JsonFile, field: string, value: unknown, rule: string): InputError {
  const found = value === undefined
    ? `is missing from file "${file.path}"`
    : `in file "${file.path}" is ${describe(value)}`;
  return new InputError(`Field "${field}" ${found}; it must be ${rule}.`);
}
