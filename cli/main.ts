/** circuit-amp COMMAND: every command under one name. */
import { commandNames, loadCommand } from "./commands.ts";
import { headline, runCommand } from "./command.ts";
import { exitCodes } from "./exit_codes.ts";
import denoConfig from "../deno.json" with { type: "json" };
import { print, printAside } from "./terminal.ts";

const [name = "--help", ...argv] = Deno.args;

if (commandNames.some((known) => known === name)) {
  await runCommand(await loadCommand(name), argv, `circuit-amp ${name}`);
}
if (name === "--version" || name === "-V") {
  print(denoConfig.version);
  Deno.exit(exitCodes.done.code);
}
const help = ["--help", "-h", "help"].includes(name);
if (!help) printAside(`error: "${name}" is no command; there are ${commandNames.join(", ")}.`);
else {
  print("Usage: circuit-amp COMMAND [options]\n");
  for (const known of commandNames) print(`  ${known.padEnd(12)}${headline(await loadCommand(known))}`);
  print("\ncircuit-amp COMMAND --help explains its options.\n\nExit codes:");
  for (const { code, meaning } of Object.values(exitCodes)) {
    print(`  ${String(code).padEnd(12)}${meaning}`);
  }
}
Deno.exit(help ? exitCodes.done.code : exitCodes.wrongInput.code);
