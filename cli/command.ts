/** What every command shares: options and a configuration file, errors as exit codes, and interruption. */
import "./quiet_vulkan.ts";
import { CommanderError } from "npm:commander@15.1.0";
import { readSettingsFile } from "../engine/run/settings/file.ts";
import {
  readSettings,
  setting,
  settingsOf,
  type SettingTree,
  type Values,
} from "../engine/run/settings/setting.ts";
import { text, toggle } from "../engine/run/settings/value_types.ts";
import { type CommandExample, commandExamples } from "./command_examples.ts";
import { exitCodeOf, exitCodes, messageOf } from "./exit_codes.ts";
import { type HiddenSettings, optionName, readOptions } from "./options.ts";
import { endOnSignals } from "./interruption.ts";
import { printableLine, printAside, printJson, setOutput } from "./terminal.ts";
import { enterCallersFolder } from "./working_folder.ts";

/** Settings that every command takes. */
export const commonSettings = {
  config: setting({
    name: "config",
    type: text("FILE"),
    otherwise: "none",
    help:
      "YAML or JSON file with settings by name or in groups, or a run's config.json; the command line wins",
    example: "settings.yaml",
  }),
  json: setting({
    name: "json",
    type: toggle,
    default: false,
    help: "print the result on stdout as one line of JSON and nothing else; the text goes to stderr",
    example: "",
  }),
  quiet: setting({
    name: "quiet",
    type: toggle,
    default: false,
    help: "print results only: no progress, no notes",
    example: "",
  }),
  trace: setting({
    name: "trace",
    type: toggle,
    default: false,
    help: "say where an error came from, for a report of a defect",
    example: "",
  }),
};

/** Those that a command is told of. */
const { trace: _, ...ofRun } = commonSettings;

/** A command that can be run, listed and completed. */
export interface CliCommand {
  readonly name: string;
  /** What it does: a sentence, and more where one does not say it all. */
  readonly summary: string;
  /** All settings, the common ones included. */
  readonly settings: SettingTree;
  /** Those that a configuration file may hold. */
  readonly fileSettings: SettingTree;
  /** Words besides options, in help's form, e.g. info|fuse PATCH. */
  readonly arguments?: string | undefined;
  /** What it is called like. */
  readonly examples: readonly CommandExample[];
  /** What it takes but its help does not show. */
  readonly hidden?: HiddenSettings | undefined;
  /** Whether an interrupted command goes on where it was when it is called again. */
  readonly resumes: boolean;
  /** Whether SIGTERM, by which schedulers warn, ends it with the exit code that asks to be started again. */
  readonly retries: boolean;
  /** The values that `argv` and its configuration file give, and the words besides; `usage` is how the user called it. */
  readonly parse: (argv: readonly string[], usage: string) => Promise<ParsedCommand>;
}

/** A command line that was read. */
export interface ParsedCommand {
  readonly values: Readonly<Record<string, unknown>>;
  readonly args: readonly string[];
  /** Whether stdout is to hold the result, or an error, as a line of JSON and nothing else. */
  readonly json: boolean;
  /** Whether nothing but results is to be printed. */
  readonly quiet: boolean;
  /** Whether an error is to be followed by where it came from. */
  readonly trace: boolean;
  /** Runs the command; resolves to an exit code. */
  readonly run: () => Promise<number>;
}

/** Defines a command over a tree of settings; `run` gets their values and may return an exit code. */
export function defineCommand<const Tree extends SettingTree>(spec: {
  readonly name: string;
  readonly summary: string;
  readonly settings: Tree;
  readonly arguments?: string;
  readonly hidden?: HiddenSettings;
  readonly resumes?: boolean;
  readonly retries?: boolean;
  readonly run: (
    values: Values<Tree> & Values<typeof ofRun>,
    args: readonly string[],
  ) => Promise<number | void>;
}): CliCommand {
  const { config, ...others } = commonSettings;
  const fileTree = { ...spec.settings, ...others };
  const examples = commandExamples[spec.name] ?? [];
  const tree = { ...spec.settings, ...commonSettings };
  return {
    name: spec.name,
    summary: spec.summary,
    settings: tree,
    fileSettings: fileTree,
    arguments: spec.arguments,
    examples,
    hidden: spec.hidden,
    resumes: spec.resumes ?? false,
    retries: spec.retries ?? false,
    async parse(argv, usage) {
      const { source, args } = readOptions({ ...spec, settings: tree, usage, examples }, argv);
      const { config: file } = readSettings({ config }, [source]);
      const sources = file === undefined
        ? [source]
        : [source, await readSettingsFile(file, fileTree, source.call)];
      const values = readSettings({ ...spec.settings, ...ofRun }, sources);
      const { json, quiet, trace } = readSettings(commonSettings, sources);
      return {
        values,
        args,
        json,
        quiet,
        trace,
        run: async () => await spec.run(values, args) ?? exitCodes.done.code,
      };
    },
  };
}

/** The first sentence of a command's summary, for lists. */
export function headline({ summary }: CliCommand): string {
  return summary.split(/(?<=\.) /)[0]!;
}

/** Runs a command on `argv` and ends the process with its exit code. `usage` is how the user called it. */
export async function runCommand(
  command: CliCommand,
  argv: readonly string[] = Deno.args,
  usage = `deno task ${command.name}`,
): Promise<never> {
  endOnSignals({
    SIGINT: {
      said: command.resumes ? "Interrupted; the same command resumes." : "Interrupted.",
      code: exitCodes.interrupted.code,
    },
    ...(command.retries && Deno.build.os !== "windows" && {
      SIGTERM: { said: "Stopped; the same command goes on.", code: exitCodes.retry.code },
    }),
  });
  let [json, trace] = [argv.includes("--json"), argv.includes("--trace")];
  const fail = (error: unknown): never => {
    const code = exitCodeOf(error, command.retries);
    if (!(error instanceof CommanderError)) {
      const options = new Map(
        settingsOf(command.settings).map(({ setting }) => [setting.name, optionName(setting)]),
      );
      const message = messageOf(error, (name) => options.get(name));
      printAside(`error: ${printableLine(message)}`);
      if (trace) printAside(error instanceof Error ? error.stack ?? error.message : Deno.inspect(error));
      if (json) printJson({ error: message, exit_code: code });
    }
    Deno.exit(code);
  };
  // What is thrown where nobody waits for it would end the process with a stack trace.
  globalThis.addEventListener("error", (event) => fail(event.error));
  globalThis.addEventListener("unhandledrejection", (event) => fail(event.reason));
  try {
    enterCallersFolder();
    const parsed = await command.parse(argv, usage);
    ({ json, trace } = parsed);
    setOutput(parsed);
    Deno.exit(await parsed.run());
  } catch (error) {
    return fail(error);
  }
}
