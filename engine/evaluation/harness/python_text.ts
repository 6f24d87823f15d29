/** Texts as Python treats them: what counts as space at their ends, and how lists of them are written. */

// str.isspace: unlike here, four separators and the next-line control count, and the byte order mark does not.
const space = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const [atStart, atEnd] = [new RegExp(`^${space}+`), new RegExp(`${space}+$`)];

/** Without spaces at both ends. */
export function strip(text: string): string {
  return stripEnd(text.replace(atStart, ""));
}

/** Without spaces at the end. */
export function stripEnd(text: string): string {
  return text.replace(atEnd, "");
}

/** A list of texts as Python writes it. */
export function pythonList(items: readonly string[]): string {
  return `[${items.map(pythonText).join(", ")}]`;
}

function pythonText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
  const escaped = [...text].map((c) => {
    const code = c.codePointAt(0)!;
    if (named[c]) return named[c];
    if (c === quote) return `\\${c}`;
    return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, "0")}` : c;
  }).join("");
  return quote + escaped + quote;
}
