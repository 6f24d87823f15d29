/**
 * Text on its way to the terminal. Names of tensors, paths, templates and completions come from files that anyone may have
 * made, and control characters in them would move the cursor, recolour or rename the window; they are shown by their codes.
 * Results go to stdout and all else to stderr; with --json stdout holds JSON alone.
 */
import { styleText } from "node:util";

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

let output = { json: false, quiet: false };

/** Says where results go: with `json` their text goes to stderr, or nowhere with `quiet`. */
export function setOutput(choice: { readonly json: boolean; readonly quiet: boolean }) {
  output = choice;
}

type Stream = typeof Deno.stdout | typeof Deno.stderr;

let liveLine = false;

/** Says whether the terminal's last line is being redrawn, which whatever else is printed then takes the place of. */
export function setLiveLine(live: boolean) {
  liveLine = live;
}

function clearLiveLine() {
  if (liveLine) Deno.stderr.writeSync(new TextEncoder().encode("\r\x1b[K"));
}

/** Prints a result; on a terminal what follows a label hangs beside it, unless lines are not to be broken. */
export function print(text: string, { breaks = true }: { readonly breaks?: boolean } = {}) {
  if (output.json && output.quiet) return;
  clearLiveLine();
  const stream = output.json ? Deno.stderr : Deno.stdout;
  const write = output.json ? console.error : console.log;
  write(breaks && stream.isTerminal() ? hanging(printable(text), columns()) : printable(text));
}

/** Prints a piece of a result as it comes; it is never broken. */
export function printPart(text: string) {
  if (text === "" || output.json && output.quiet) return;
  clearLiveLine();
  const stream = output.json ? Deno.stderr : Deno.stdout;
  const bytes = new TextEncoder().encode(printable(text));
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // whoever read has seen enough, as with print
  }
}

/** Prints text that is to be copied or read by programs: never broken, and on stdout whatever the output is. */
export function printVerbatim(text: string) {
  clearLiveLine();
  console.log(printable(text));
}

/** Prints a value as a line of JSON on stdout. */
export function printJson(value: unknown) {
  printVerbatim(JSON.stringify(value));
}

/** Prints what is no result, on stderr; notes only where it is not to be quiet. */
export function printAside(text: string) {
  if (output.quiet && text.startsWith("note:")) return;
  clearLiveLine();
  const shown = Deno.stderr.isTerminal() ? hanging(printable(text), columns()) : printable(text);
  const [, word] = shown.match(/^(error|note):/) ?? [];
  if (!word) return console.error(shown);
  const label = coloured(`${word}:`, word === "error" ? "red" : "yellow", Deno.stderr);
  console.error(label + shown.slice(word.length + 1));
}

/** Columns of the terminal, 80 where there is none. */
export function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** `text` in a colour where the stream is a terminal that shows colours and NO_COLOR is not set. */
export function coloured(text: string, colour: "red" | "yellow" | "cyan", stream: Stream): string {
  if (!stream.isTerminal() || Deno.noColor || Deno.env.get("TERM") === "dumb") return text;
  return styleText(colour, text, { validateStream: false });
}

/** A label, and the gap between it and what it says. */
const labelled = /^(?:\S+(?: \S+)*)? {2,}(?=\S)/;
/** Widest indentation of what hangs. */
const widestHang = 24;

/** Lines longer than `width` broken between words, the rest of each under its beginning: behind the label, where it has one. */
export function hanging(text: string, width: number): string {
  return text.split("\n").map((line) => hangingLine(line, width)).join("\n");
}

function hangingLine(line: string, width: number): string {
  const own = line.match(labelled)?.[0].length ?? 0;
  const indent = own <= Math.min(widestHang, width / 2) ? own : 0;
  const lines: string[] = [];
  let rest = line;
  while (rest.length > width) {
    const space = rest.lastIndexOf(" ", width);
    if (space <= indent) break; // one word, such as a path, is longer than the terminal is wide
    lines.push(rest.slice(0, space).trimEnd());
    rest = " ".repeat(indent) + rest.slice(space + 1).trimStart();
  }
  return [...lines, rest].join("\n");
}
