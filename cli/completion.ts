/** completion: a script that teaches a shell the commands and their options. */
import { InputError } from "../engine/errors.ts";
import { defineCommand, runCommand } from "./command.ts";
import { completionScript, shells } from "./completion_script.ts";
import { printJson, printVerbatim } from "./terminal.ts";

export const completion = defineCommand({
  name: "completion",
  summary: "Prints a script that completes circuit-amp's commands and options in a shell.",
  arguments: shells.join("|"),
  settings: {},
  async run({ json }, [name, ...rest]) {
    const shell = shells.find((known) => known === name);
    if (!shell || rest.length > 0) throw new InputError(`Give one of ${shells.join(", ")}.`);
    const { loadCommands } = await import("./commands.ts");
    const script = completionScript(shell, await loadCommands()).trimEnd();
    if (json) printJson({ shell, script });
    else printVerbatim(script);
  },
});

if (import.meta.main) await runCommand(completion);
