/** What is made from the definitions besides the parser: README tables, completion; and that errors name settings there are. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { loadCommands } from "../../cli/commands.ts";
import { completionScript, shells } from "../../cli/completion_script.ts";
import { exitCodeOf, exitCodes, messageOf } from "../../cli/exit_codes.ts";
import { withOptionTables } from "../../cli/option_tables.ts";
import { DeviceError, InputError, NoAdapterError } from "../../engine/errors.ts";
import { settingsOf } from "../../engine/run/settings/setting.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const commands = await loadCommands();

Deno.test("the tables of cli/README.md are those of the definitions", async () => {
  const text = await Deno.readTextFile(join(root, "cli/README.md"));
  assertEquals(text, withOptionTables(text, commands), "run deno run -P=local cli/option_tables.ts");
});

Deno.test("completion scripts know every command, option and choice", () => {
  for (const shell of shells) {
    const script = completionScript(shell, commands);
    for (const { name, settings } of commands) {
      assertStringIncludes(script, name);
      for (const { setting } of settingsOf(settings)) {
        assertStringIncludes(
          script,
          shell === "fish" ? ` -l ${setting.default === true ? "no-" : ""}${setting.name}` : setting.name,
        );
        for (const choice of setting.type.choices ?? []) assertStringIncludes(script, choice);
      }
    }
  }
});

Deno.test("bash completes commands, options, choices and words", async () => {
  const script = completionScript("bash", commands);
  const complete = async (...words: string[]) => {
    const given = words.map((word) => `'${word}'`).join(" ");
    const { stdout } = await new Deno.Command("bash", {
      args: [
        "-c",
        `${script}\nCOMP_WORDS=(circuit-amp ${given}); COMP_CWORD=${words.length}; _circuit_amp; echo "\${COMPREPLY[*]}"`,
      ],
      cwd: join(root, "fixtures", "prompts"),
    }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  assertEquals(await complete("ver"), "verify");
  assertEquals(await complete("evaluate", "--spl"), "--split");
  assertEquals(await complete("evaluate", "--split", "t"), "train test");
  assertEquals(await complete("patch", "f"), "fuse");
  assertEquals(await complete("evaluate", "--data", "work"), "worked_examples.jsonl");
  assertEquals(await complete("evaluate", "--seed", ""), "");
});

Deno.test("each error ends with its exit code, and a sentence of the engine gains the options that mend it", () => {
  const optionOf = (name: string) => name === "rate" ? "--rate" : undefined;
  assertEquals(exitCodeOf(new InputError("x")), exitCodes.wrongInput.code);
  assertEquals(exitCodeOf(new NoAdapterError("x")), exitCodes.noAdapter.code);
  assertEquals(exitCodeOf(new DeviceError("x")), exitCodes.failed.code);
  assertEquals(exitCodeOf(new TypeError("x")), exitCodes.failed.code);
  assertEquals(Object.values(exitCodes).map(({ code }) => code), [0, 1, 2, 3, 75, 130]);
  const sentence = "The update diverged; use a smaller rate.";
  assertEquals(messageOf(new InputError(sentence), optionOf), sentence);
  assertEquals(
    messageOf(new InputError(sentence, "rate", "elsewhere"), optionOf),
    "The update diverged; use a smaller rate (--rate).",
  );
  assertEquals(
    messageOf(new TypeError("x is\n undefined."), optionOf),
    "Unexpected TypeError (x is undefined), which is a defect of this program; please report it with your command " +
      "line and what it says with --trace.",
  );
  const name = "é".repeat(5000);
  const long = messageOf(new InputError(`File "${name}" isn't there; don't look for it.`), optionOf);
  assert(long.length < 200 && long.endsWith(`é" isn't there; don't look for it.`), long);
});

Deno.test("settings that the engine's errors name are settings of some command, and its sentences name no option", async () => {
  const known = new Set(
    commands.flatMap(({ settings }) => settingsOf(settings).map(({ setting }) => setting.name)),
  );
  let named = 0;
  for await (const path of sources(join(root, "engine"))) {
    const text = await Deno.readTextFile(path);
    for (const call of callsOf(text, "new InputError(")) {
      const names = call.match(/[`"'],?((?:\s*"[a-z-]+",?)+)\s*$/s)?.[1]?.matchAll(/"([a-z-]+)"/g) ?? [];
      for (const [, name] of names) {
        named++;
        assert(known.has(name!), `${path} names "${name}"`);
      }
      assert(!/ --(?!allow-)[a-z]/.test(call), `${path}: ${call}`);
    }
  }
  assertGreater(named, 20);
});

/** What stands between the parentheses of each call. */
function callsOf(text: string, start: string): string[] {
  return text.split(start).slice(1).map((rest) => {
    let depth = 1;
    let at = 0;
    while (depth > 0 && at < rest.length) depth += { "(": 1, ")": -1 }[rest[at++]!] ?? 0;
    return rest.slice(0, at - 1);
  });
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(join(folder, name));
    else if (name.endsWith(".ts")) yield join(folder, name);
  }
}
