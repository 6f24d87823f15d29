/** What help says: an example of every command, its own options, the words; and that commands shown in documents can be called. */
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { CommanderError } from "npm:commander@15.1.0";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { commandExamples } from "../../cli/command_examples.ts";
import { commandNames, loadCommand, loadCommands } from "../../cli/commands.ts";
import { terms } from "../../cli/terms.ts";
import { settingsOf } from "../../engine/run/settings/setting.ts";
import denoConfig from "../../deno.json" with { type: "json" };
import { run } from "./command_line.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const commands = await loadCommands();

/** What a command's --help prints. */
async function helpOf(name: string): Promise<string> {
  const { write } = process.stdout;
  let said = "";
  process.stdout.write = (text: string | Uint8Array) => {
    said += text;
    return true;
  };
  try {
    const command = await loadCommand(name);
    await assertRejects(() => command.parse(["--help"], `circuit-amp ${name}`), CommanderError);
  } finally {
    process.stdout.write = write;
  }
  return said;
}

/** The words of a command line as a shell would part them. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"']+)+/g)].map(([word]) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single)
  );
}

Deno.test("every command's help ends with examples, and each of them can be called", async () => {
  assertEquals(Object.keys(commandExamples).sort(), [...commandNames].sort());
  for (const { name, examples, parse } of commands) {
    const help = await helpOf(name);
    assertGreater(examples.length, 0, name);
    for (const { line } of examples) {
      assertStringIncludes(help, `  ${`circuit-amp ${name} ${line}`.trimEnd()}\n`);
      await parse(words(line), name);
    }
    assertStringIncludes(help, "help terms");
  }
});

Deno.test("identify's help shows the options that matter to it alone, and it takes amplify's", async () => {
  const help = await helpOf("identify");
  for (const shown of ["--limit", "--select", "--mask-epochs", "--objective", "--ability", "--show"]) {
    assertStringIncludes(help, `  ${shown}`);
  }
  for (
    const hidden of ["--rate", "--optimizer", "--steps", "--rounds", "--controls", "--draws", "--patience"]
  ) {
    assert(!help.includes(`  ${hidden} `), hidden);
  }
  const identify = await loadCommand("identify");
  await identify.parse(["--rate", "0.01", "--controls", "none"], "identify");
  assertStringIncludes(help, "Options of amplify");
  // Defaults by optimizer, in numbers.
  assertStringIncludes((await helpOf("amplify")).replace(/\s+/g, " "), "adamw 0.0005 (preference)");
});

Deno.test("help explains the words, also through the task, and helps with a command", async () => {
  for (const word of ["pivot", "mask", "component", "control", "patch", "circuit"]) {
    assertGreater(terms[word]!.length, 40, word);
  }
  const said = await run("main", ["help", "terms"], {}, ["--allow-read", "--allow-env"]);
  assertEquals([said.code, said.stderr], [0, ""]);
  for (const [word, meaning] of Object.entries(terms)) {
    assertStringIncludes(said.stdout, `${word.padEnd(12)}  ${meaning}\n`);
  }
  assert(/ cli\/main\.ts$/.test(denoConfig.tasks["circuit-amp"].command));
  const doctor = await run("main", ["help", "doctor"], {}, ["--allow-read", "--allow-env"]);
  assertStringIncludes(doctor.stdout, "Usage: circuit-amp doctor");
  assertEquals((await run("main", ["help", "nothing"], {}, ["--allow-read", "--allow-env"])).code, 2);
});

Deno.test("commands that documents show are tasks, and their options are options", async () => {
  let checked = 0;
  for await (const path of documents(root)) {
    const text = await Deno.readTextFile(path);
    for (const [, shown] of text.matchAll(/\b(?:deno task|circuit-amp) ((?:--quiet )?[^`\n]*)/g)) {
      const [name, ...rest] = words(shown!.split(/ [#|;&>] |\s+#|…/)[0]!.replace(/^--quiet /, ""));
      if (name === undefined || !/^[a-z][a-z:-]*$/.test(name)) continue;
      const inner = name === "circuit-amp" ? rest[0]! : name;
      const where = `${relative(root, path)}: ${shown}`;
      const known = inner in denoConfig.tasks || commandNames.includes(inner) || inner === "help";
      // "circuit-amp" is a name in prose, too.
      if (!known && !text.includes(`deno task ${inner}`)) continue;
      assert(known, `${where}: no task`);
      if (!commandNames.includes(inner)) continue;
      const options = new Set(
        settingsOf((await loadCommand(inner)).settings)
          .flatMap(({ setting }) => [`--${setting.name}`, `--no-${setting.name}`]).concat(
            "--help",
            "--version",
          ),
      );
      for (const word of rest.filter((word) => word.startsWith("--"))) {
        assert(options.has(word.replace(/[=.,:)]+.*$/, "")), `${where}: ${word}`);
        checked++;
      }
    }
  }
  assertGreater(checked, 60);
});

/** Every document of ours. */
async function* documents(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.startsWith(".") || ["node_modules", "runs", "coverage", "shared"].includes(name)) continue;
    if (isDirectory) yield* documents(join(folder, name));
    else if (/\.(md|ipynb)$/.test(name)) yield join(folder, name);
  }
}
