/** circuit-amp COMMAND: every command under one name. */
import { commandNames, loadCommand } from "./commands.ts";
import { headline, runCommand } from "./command.ts";
import { exitCodes } from "./exit_codes.ts";
import denoConfig from "../deno.json" with { type: "json" };
import { print, printAside } from "./terminal.ts";
import { terms } from "./terms.ts";

const [first = "--help", ...rest] = Deno.args;
const known = (name: string | undefined) => commandNames.some((known) => known === name);
// help COMMAND is COMMAND --help.
const [name, ...argv] = first === "help" && known(rest[0]) ? [rest[0]!, "--help"] : [first, ...rest];

if (known(name)) {
  await runCommand(await loadCommand(name), argv, `circuit-amp ${name}`);
}
if (name === "--version" || name === "-V") {
  print(denoConfig.version);
  Deno.exit(exitCodes.done.code);
}
if (name === "help" && argv[0] === "terms") {
  for (const [word, meaning] of Object.entries(terms)) print(`${word.padEnd(12)}  ${meaning}`);
  Deno.exit(exitCodes.done.code);
}
const help = ["--help", "-h", "help"].includes(name) && argv.length === 0;
if (!help) printAside(`error: "${Deno.args.join(" ")}" is no command; there are ${commandNames.join(", ")}.`);
else {
  print("Usage: circuit-amp COMMAND [options]\n");
  for (const known of commandNames) print(`  ${known.padEnd(12)}${headline(await loadCommand(known))}`);
  print(
    "\ncircuit-amp COMMAND --help explains its options, circuit-amp help terms the words they use.\n\nExit codes:",
  );
  for (const { code, meaning } of Object.values(exitCodes)) {
    print(`  ${String(code).padEnd(12)}${meaning}`);
  }
}
Deno.exit(help ? exitCodes.done.code : exitCodes.wrongInput.code);
