/** circuit-amp COMMAND: one entry for all commands, and paths relative to the folder it is called from. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { commandNames } from "../../cli/commands.ts";
import { exitCodes } from "../../cli/exit_codes.ts";
import denoConfig from "../../deno.json" with { type: "json" };
import { temporaryFolder } from "../model/model_fixture.ts";
import { assertRefused, command, run, taskPermissions } from "./command_line.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const permissions = taskPermissions("amplify");
const main = (...args: string[]) => run("main", args, {}, permissions);

Deno.test("circuit-amp lists its commands and exit codes, and refuses others", async () => {
  const { code, stdout } = await main("--help");
  assertEquals([code, (await main()).stdout], [0, stdout]);
  for (const name of commandNames) assertStringIncludes(stdout, `  ${name} `);
  for (const { code, meaning } of Object.values(exitCodes)) {
    assertStringIncludes(stdout, `${code}`.padEnd(12) + meaning);
  }
  assertEquals((await main("--version")).stdout, `${denoConfig.version}\n`);
  assertRefused(await main("amplfy"), 2, '"amplfy" is no command', "amplify");
});

Deno.test("circuit-amp runs a command as its task does", async () => {
  const help = await main("evaluate", "--help");
  assertStringIncludes(help.stdout, "Usage: circuit-amp evaluate [options]");
  assertRefused(await main("evaluate", "--split", "exam"), 2, '--split "exam" is not one of');
  assertRefused(await main("evaluate", "--splt"), 2, "see circuit-amp evaluate --help");
  const schema = JSON.parse((await main("schema", "evaluate")).stdout);
  assert("split" in schema.properties && !("config" in schema.properties));
  assertRefused(await main("schema", "evaluat"), 2, '"evaluat" is no command');
  assertRefused(await main("completion", "tcsh"), 2, "bash, zsh, fish");
});

Deno.test("paths are relative to the caller's folder, also where a task has gone to the project's", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(join(folder.path, "problems.jsonl"), '{"question": "Who?", "answer": "me"}\n');
  const reach = (cwd: string, caller: string | undefined) =>
    command("evaluate", ["--data", "problems.jsonl"], caller ? { INIT_CWD: caller } : {}, permissions, cwd);
  const said = async (cwd: string, caller?: string) =>
    new TextDecoder().decode((await reach(cwd, caller).output()).stderr);
  assertStringIncludes(await said(root, folder.path), "Line 1"); // found, and its answer is no number
  assertStringIncludes(await said(folder.path), "Line 1");
  // An outer task's variable means nothing to a process that was started somewhere else.
  assertStringIncludes(await said(folder.path, root), "Line 1");
  assertStringIncludes(await said(root), "does not exist");
});
