/** The options of every command as Markdown tables: the generated part of cli/README.md. */
import { snakeCase } from "../engine/json_keys.ts";
import { settingsOf } from "../engine/run/settings/setting.ts";
import { type CliCommand, commonSettings } from "./command.ts";
import type { CommandExample } from "./command_examples.ts";
import { exitCodes } from "./exit_codes.ts";
import { optionForm, optionHelp } from "./options.ts";

/** Lines between which the generated part stands. */
export const markers = [
  "<!-- options: generated from the definitions -->",
  "<!-- end of options -->",
] as const;

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", "\\n");

/** A file with its generated part made anew. Throws an error where the markers are missing. */
export function withOptionTables(text: string, commands: readonly CliCommand[]): string {
  const [start, end] = [text.indexOf(markers[0]), text.indexOf(markers[1])];
  if (start < 0 || end < start) throw new Error(`The file lacks the lines ${markers.join(" and ")}.`);
  return `${text.slice(0, start)}${markers[0]}\n\n${optionTables(commands)}\n\n${text.slice(end)}`;
}

/** A table of the options of each command, those that all take in one of their own, and the exit codes. */
export function optionTables(commands: readonly CliCommand[]): string {
  const common = new Set(settingsOf(commonSettings).map(({ setting }) => setting.name));
  const table = (title: string, about: string, placed: ReturnType<typeof settingsOf>, command?: CliCommand) =>
    [
      `### ${title}`,
      "",
      about,
      ...(command?.hidden ? ["", command.hidden.why] : []),
      ...(command
        ? ["", "```sh", ...command.examples.map((one) => exampleLine(command.name, one)), "```"]
        : []),
      "",
      "| option | in a file | what it does |",
      "|---|---|---|",
      ...placed.map(({ setting, path }) =>
        `| \`${cell(optionForm(setting))}\` | \`${path.map(snakeCase).join(".")}\` | ${
          cell(optionHelp(setting))
        } |`
      ),
    ].join("\n");
  return [
    ...commands.map((command) =>
      table(
        `${command.name}${command.arguments ? ` ${command.arguments}` : ""}`,
        command.summary,
        settingsOf(command.settings).filter(({ setting }) =>
          !common.has(setting.name) && !command.hidden?.names.has(setting.name)
        ),
        command,
      )
    ),
    table("Every command", "Besides these, `--help` and `--version`.", settingsOf(commonSettings)),
    [
      "### Exit codes",
      "",
      "| code | meaning |",
      "|---|---|",
      ...Object.values(exitCodes).map(({ code, meaning }) => `| ${code} | ${meaning} |`),
    ].join("\n"),
  ].join("\n\n");
}

function exampleLine(name: string, { line, does }: CommandExample): string {
  return `${`deno task ${name} ${line}`.trimEnd()}   # ${does}`;
}

if (import.meta.main) {
  const readme = new URL("README.md", import.meta.url);
  const { loadCommands } = await import("./commands.ts");
  await Deno.writeTextFile(readme, withOptionTables(await Deno.readTextFile(readme), await loadCommands()));
}
