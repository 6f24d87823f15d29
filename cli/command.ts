/** What every command shares: options and a configuration file, errors as exit codes, and interruption. */
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
import { exitCodeOf, exitCodes, messageOf } from "./exit_codes.ts";
import { optionName, readOptions } from "./options.ts";
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
    help: "print the result as one line of JSON, last",
    example: "",
  }),
  quiet: setting({ name: "quiet", type: toggle, default: false, help: "no progress", example: "" }),
};

/** A command that can be run, listed and completed. */
export interface CliCommand {
  readonly name: string;
  readonly summary: string;
  /** All settings, the common ones included. */
  readonly settings: SettingTree;
  /** Words besides options, in help's form, e.g. info|fuse PATCH. */
  readonly arguments?: string | undefined;
  /** Reads `argv` and runs; `usage` is how the user called it. Resolves to an exit code. */
  readonly run: (argv: readonly string[], usage: string) => Promise<number>;
}

/** Defines a command over a tree of settings; `run` gets their values and may return an exit code. */
export function defineCommand<const Tree extends SettingTree>(spec: {
  readonly name: string;
  readonly summary: string;
  readonly settings: Tree;
  readonly arguments?: string;
  readonly run: (
    values: Values<Tree> & Values<typeof commonSettings>,
    args: readonly string[],
  ) => Promise<number | void>;
}): CliCommand {
  const tree = { ...spec.settings, ...commonSettings };
  return {
    name: spec.name,
    summary: spec.summary,
    settings: tree,
    arguments: spec.arguments,
    async run(argv, usage) {
      const { source, args } = readOptions({ ...spec, settings: tree, usage }, argv);
      const file = readSettings({ config: commonSettings.config }, [source]).config;
      const sources = file === undefined
        ? [source]
        : [source, await readSettingsFile(file, tree, source.call)];
      return await spec.run(readSettings(tree, sources), args) ?? exitCodes.done.code;
    },
  };
}

/** Runs a command on `argv` and ends the process with its exit code. `usage` is how the user called it. */
export async function runCommand(
  command: CliCommand,
  argv: readonly string[] = Deno.args,
  usage = `deno task ${command.name}`,
): Promise<never> {
  Deno.addSignalListener("SIGINT", () => {
    console.error("\nInterrupted; the same command resumes.");
    Deno.exit(exitCodes.interrupted.code);
  });
  enterCallersFolder();
  try {
    Deno.exit(await command.run(argv, usage));
  } catch (error) {
    const code = exitCodeOf(error);
    if (!(error instanceof CommanderError)) {
      const options = new Map(
        settingsOf(command.settings).map(({ setting }) => [setting.name, optionName(setting)]),
      );
      const message = messageOf(error, (name) => options.get(name));
      console.error(`error: ${message}`);
      if (argv.includes("--json")) console.log(JSON.stringify({ error: message, exit_code: code }));
    }
    Deno.exit(code);
  }
}
