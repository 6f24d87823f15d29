/** Settings as options of a command line: read by commander, explained by --help. */
import { Command, CommanderError, Option } from "npm:commander@15.1.0";
import { InputError } from "../engine/errors.ts";
import {
  type Setting,
  settingsOf,
  type SettingSource,
  type SettingTree,
} from "../engine/run/settings/setting.ts";
import type { CommandExample } from "./command_examples.ts";
import denoConfig from "../deno.json" with { type: "json" };

/** Settings that a command takes for others' sake. */
export interface HiddenSettings {
  readonly names: ReadonlySet<string>;
  readonly why: string;
}

/** A command as its user names it. */
export interface CommandLine {
  /** Words before the options, e.g. circuit-amp amplify. */
  readonly usage: string;
  readonly summary: string;
  readonly settings: SettingTree;
  /** Words besides options, where the command takes some. */
  readonly arguments?: string | undefined;
  /** What it is called like. */
  readonly examples?: readonly CommandExample[];
  /** Names of settings that it takes but that help does not show, and why. */
  readonly hidden?: HiddenSettings | undefined;
}

/** How a setting is given: --name, or --no-name where it is on by default. */
export function optionName({ name, default: usual }: Setting<unknown>): string {
  return usual === true ? `--no-${name}` : `--${name}`;
}

function oppositeName({ name, default: usual }: Setting<unknown>): string {
  return usual === true ? `--${name}` : `--no-${name}`;
}

/** The option with its placeholder, as in help texts. */
export function optionForm(setting: Setting<unknown>): string {
  const { placeholder } = setting.type;
  return placeholder === "" ? optionName(setting) : `${optionName(setting)} <${placeholder}>`;
}

/** What a setting does, whether it may be repeated, and what holds without it. */
export function optionHelp({ help, type, default: usual, otherwise }: Setting<unknown>): string {
  const said = usual === true ? `do not ${help}` : help;
  return `${said}${type.many ? ", repeatable" : ""}${defaultText(usual, otherwise)}`;
}

function defaultText(usual: unknown, otherwise: string | undefined): string {
  if (otherwise !== undefined) return ` (default: ${otherwise})`;
  if (usual === undefined || typeof usual === "boolean") return "";
  return ` (default ${Array.isArray(usual) ? usual.join(",") || "none" : usual})`;
}

/** Reads a command line. Throws InputError for options there are not, CommanderError with exit code 0 after --help. */
export function readOptions(
  { usage, summary, settings, arguments: words, examples = [], hidden }: CommandLine,
  argv: readonly string[],
): { source: SettingSource; args: string[] } {
  const placed = settingsOf(settings).map(({ setting }) => setting);
  const command = new Command(usage)
    .description(summary)
    .usage(`[options]${words ? ` ${words}` : ""}`)
    .version(denoConfig.version)
    .allowExcessArguments(words !== undefined)
    .showHelpAfterError(false)
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
    .addHelpText("after", helpTail(usage, examples, hidden));
  const options = placed.map((setting) => {
    const option = new Option(optionForm(setting), optionHelp(setting));
    if (setting.type.many) option.argParser((text: string, all: string[] = []) => [...all, text]);
    if (hidden?.names.has(setting.name)) option.hideHelp();
    command.addOption(option);
    // What a file switches on, a command line can switch off, and the other way round.
    if (setting.type.placeholder === "") command.addOption(new Option(oppositeName(setting)).hideHelp());
    return { setting, key: option.attributeName() };
  });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error;
    const text = error.message.replace(/^error: /, "").replaceAll("\n", " ").replace(/\.?(\)?)\.?$/, "$1");
    throw new InputError(`${text[0]!.toUpperCase()}${text.slice(1)}; see ${usage} --help.`);
  }
  const given = new Map<string, unknown>();
  for (const { setting, key } of options) {
    if (command.getOptionValueSource(key) !== "cli") continue;
    given.set(
      setting.name,
      setting.type.escapes ? unescaped(command.getOptionValue(key)) : command.getOptionValue(key),
    );
  }
  const names = new Map(placed.map((setting) => [setting.name, optionName(setting)]));
  return { source: { given, call: (name) => names.get(name)! }, args: command.args };
}

function helpTail(usage: string, examples: readonly CommandExample[], hidden?: HiddenSettings): string {
  const lines = examples.flatMap(({ line, does }) => [`  ${`${usage} ${line}`.trimEnd()}`, `      ${does}`]);
  return [
    ...(hidden ? ["", hidden.why] : []),
    ...(lines.length > 0 ? ["", "Examples:", ...lines] : []),
    "",
    "The words: circuit-amp help terms (deno task circuit-amp help terms).",
  ].join("\n");
}

/** A shell passes \n on as two characters. */
function unescaped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unescaped);
  return typeof value === "string" ? value.replaceAll("\\n", "\n") : value;
}
