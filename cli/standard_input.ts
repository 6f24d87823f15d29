/** Prompts from standard input. */
import process from "node:process";
import { createInterface } from "node:readline";
import { InputError } from "../engine/errors.ts";
import { exitCodes } from "./exit_codes.ts";

/**
 * All of standard input as text, without the line end that ends it.
 * @throws {InputError} for what is not UTF-8.
 */
export async function readStandardInput(): Promise<string> {
  const bytes = new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new InputError("What came on standard input is not UTF-8 text; convert it first.");
  }
}

/** Lines of standard input, without empty ones, as they come; on a terminal they are asked for on stderr. Ctrl-C interrupts. */
export async function* standardInputLines(): AsyncGenerator<string> {
  const isTerminal = Deno.stdin.isTerminal();
  const lines = createInterface({
    input: process.stdin,
    ...(isTerminal && { output: process.stderr, prompt: "> " }),
    terminal: isTerminal,
  });
  lines.on("SIGINT", () => Deno.exit(exitCodes.interrupted.code));
  const ask = () => isTerminal && lines.prompt();
  ask();
  for await (const line of lines) {
    if (line.trim() !== "") yield line;
    ask();
  }
}
