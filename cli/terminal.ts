/**
 * Text on its way to the terminal. Names of tensors, paths, templates and completions come from files that anyone may have
 * made, and control characters in them would move the cursor, recolour or rename the window; they are shown by their codes.
 */

/** Line ends and tabs are text; all other control characters, and those that reverse the order of what follows, are not. */
const unprintable = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** `text` with control characters written as \u001b, which JSON reads back as they were. */
export function printable(text: string): string {
  return text.replace(unprintable, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The same on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll("\n", "\\n");
}

/** Prints a result, on stdout. */
export function print(text: string) {
  console.log(printable(text));
}

/** Prints what is no result, on stderr. */
export function printAside(text: string) {
  console.error(printable(text));
}
