/** Errors that nobody foresaw, wherever they are thrown, and control characters in what is printed. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { printable, printableLine } from "../../cli/terminal.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { assertRefused, onlyLine, run } from "./command_line.ts";

/** Runs a command whose work is `body`, as `amplify` would be. */
async function commandThat(body: string, ...args: string[]) {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "command.ts");
  const module = (name: string) => JSON.stringify(import.meta.resolve(`../../cli/${name}.ts`));
  await Deno.writeTextFile(
    file,
    `import { defineCommand, runCommand } from ${module("command")};
     import { print } from ${module("terminal")};
     await runCommand(defineCommand({ name: "amplify", summary: "x", settings: {}, async run() { ${body} } }));`,
  );
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-check", "--allow-read", "--allow-env", file, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

for (
  const [where, body] of [
    ["in a command", "undefined.x;"],
    ["in a timer", "setTimeout(() => undefined.x); await new Promise((done) => setTimeout(done, 2000));"],
    [
      "in a promise that nobody awaits",
      "Promise.reject(new TypeError('x')); await new Promise((done) => setTimeout(done, 2000));",
    ],
    ["out of the stack", "const deeper = () => deeper() + 1; deeper();"],
    ["for want of memory", "new Float64Array(2 ** 50);"],
    ["as no error at all", "throw { strange: true };"],
  ] as const
) {
  Deno.test(`what is thrown ${where} is told in one sentence, with --trace also from where`, async () => {
    const outcome = await commandThat(body, "--json");
    assertRefused(outcome, 1, "Unexpected ", "defect", "report", "--trace");
    assertEquals(onlyLine(outcome).exit_code, 1);
    const traced = await commandThat(body, "--trace");
    assertEquals(traced.code, 1);
    assert(traced.stderr.split("\n").length > 2, traced.stderr);
  });
}

Deno.test("what the system refuses is told in one sentence with exit code 2", async () => {
  assertRefused(await commandThat(`await Deno.stat("x".repeat(5000));`), 2, "File name too long");
  assertRefused(await commandThat(`await Deno.writeTextFile("x", "");`), 2, "write access");
});

Deno.test("paths of 5,000 characters are refused in a short sentence", async () => {
  const path = "x".repeat(5000);
  for (
    const [name, ...args] of [
      ["generate", "--question", "x", "--model", path],
      ["generate", "--question", "x", "--patch", path],
      ["evaluate", "--data", path],
      ["patch", "info", path],
      ["compare", path],
    ] as const
  ) {
    const outcome = await run(name, args);
    assertRefused(outcome, 2);
    assert(outcome.stderr.length < 700, outcome.stderr);
  }
});

Deno.test("numbers too large for any memory are refused by their range", async () => {
  assertRefused(
    await run("generate", ["--question", "x", "--samples", "1000000000"]),
    2,
    "--samples",
    "10000",
  );
  assertRefused(await run("amplify", ["--seeds", "0-99999999999"]), 2, "--seeds", "at most 1000 seeds");
  assertRefused(await run("pretrain", ["--batch", "100000000000"]), 2, "--batch");
  assertRefused(await run("doctor", ["--examples", "1e15"]), 2, "--examples");
});

Deno.test("control characters are printed by their codes, in errors and in results", async () => {
  assertEquals(printable("a\x1b[2J\tb\nc\x9bd\r\u202e"), "a\\u001b[2J\tb\nc\\u009bd\\u000d\\u202e");
  assertEquals(printableLine("a\nb"), "a\\nb");
  const json = JSON.stringify({ text: "\x9b1m \x7f" });
  assertEquals(JSON.parse(printable(json)), JSON.parse(json));
  const refused = await run("generate", ["--question", "x", "--model", "a\x1b]0;b\x07\nerror: c"]);
  assertRefused(refused, 2, "a\\u001b]0;b\\u0007\\nerror: c");
  const { code, stdout } = await commandThat(`print("answer \\x1b[31mred");`);
  assertEquals([code, stdout], [0, "answer \\u001b[31mred\n"]);
  const thrown = await commandThat(`throw new Error("\\x1b[2J");`, "--trace");
  assertMatch(thrown.stderr, /\\u001b\[2J/);
  assert(!thrown.stderr.includes("\x1b"), thrown.stderr);
});

Deno.test("commands print through terminal.ts alone", async () => {
  // Setting up comes before anything of a user's is read; the other makes tables for the README.
  const others = ["terminal.ts", "setup.ts", "option_tables.ts"];
  for await (const { name } of Deno.readDir(new URL("../../cli", import.meta.url))) {
    if (!name.endsWith(".ts") || others.includes(name)) continue;
    const text = await Deno.readTextFile(new URL(`../../cli/${name}`, import.meta.url));
    assert(!/console\.(log|error|warn|info)\(/.test(text), name);
  }
});
