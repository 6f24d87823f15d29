/** Keys of our JSON: words joined by underscores, as in the fields' own files (config.json, adapter_config.json). */

/** A key of values in code as it is written in files. */
export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A value with all its keys so, for objects whose keys are ours and no names of data. */
export function withSnakeCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSnakeCaseKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inside]) => [snakeCase(key), withSnakeCaseKeys(inside)]),
  );
}
