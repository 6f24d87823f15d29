/** schema: the JSON Schema of configuration files, by which editors complete and check them. */
import { InputError } from "../engine/errors.ts";
import { settingsSchema } from "../engine/run/settings/schema.ts";
import { defineCommand, runCommand } from "./command.ts";
import { printVerbatim } from "./terminal.ts";

export const schema = defineCommand({
  name: "schema",
  summary: "Prints the JSON Schema of a command's configuration file (default: amplify's).",
  arguments: "[COMMAND]",
  settings: {},
  async run(_, [name = "amplify", ...rest]) {
    const { commandNames, loadCommand } = await import("./commands.ts");
    if (!commandNames.includes(name) || rest.length > 0) {
      throw new InputError(
        `"${[name, ...rest].join(" ")}" is no command; there are ${commandNames.join(", ")}.`,
      );
    }
    const { fileSettings } = await loadCommand(name);
    printVerbatim(JSON.stringify(settingsSchema(fileSettings, `Settings of ${name}`), null, 2));
  },
});

if (import.meta.main) await runCommand(schema);
