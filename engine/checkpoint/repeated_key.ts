/** Keys that stand twice in a JSON object, of which JSON.parse keeps the later one without a word. */

/** The first key that the outermost object of this text, which must be JSON, holds twice; undefined where there is none. */
export function repeatedKey(json: string): string | undefined {
  const keys = new Set<string>();
  let depth = 0, expectsKey = false;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (token !== "," && expectsKey) {
      const key: string = JSON.parse(token);
      if (keys.has(key)) return key;
      keys.add(key);
    }
    expectsKey = depth === 1 && (token === "{" || token === ",");
  }
  return undefined;
}
