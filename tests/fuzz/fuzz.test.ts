/** A quick form of `deno task fuzz`: some mutants of every kind of file, from a fixed seed; and that it finds what is wrong. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { temporaryFolder } from "../model/model_fixture.ts";
import { fuzz, type Wrong } from "./fuzz.ts";
import { Dice, encode } from "./mutation.ts";
import { subjects } from "./subjects.ts";
import { Bench, type Subject } from "./trial.ts";

for (const { name } of subjects) {
  Deno.test(`mutants of ${name} are read as what they mean, or refused in one sentence`, async () => {
    const wrongs: Wrong[] = [];
    await fuzz({ count: 60, seed: 1, only: name }, (wrong) => wrongs.push(wrong));
    assertEquals(wrongs, []);
  });
}

/** A subject of one file, and what a mutant of it comes to. */
async function verdict(
  read: Subject["read"],
  content: string,
  rest: object = {},
): Promise<string | undefined> {
  await using folder = await temporaryFolder();
  const bench = await Bench.open({
    name: "made",
    prepare: (folder) => Deno.writeTextFile(join(folder, "file"), "good"),
    read,
    mutate: () => ({ what: "x", files: { file: encode(content) }, ...rest }),
  }, folder.path);
  return (await bench.try(new Dice("x"))).wrong;
}

const text = async (folder: string) => ({ text: await Deno.readTextFile(join(folder, "file")) });

Deno.test("the fuzzer sees crashes, silent differences, needless refusals and escapes", async () => {
  const crashing = async (folder: string) => {
    const { text: content } = await text(folder);
    if (content !== "good") throw new TypeError("a crash");
    return { text: content };
  };
  assertStringIncludes(await verdict(crashing, "bad") ?? "", "TypeError: a crash");
  assertStringIncludes(await verdict(text, "bad") ?? "", '"text" silently is bad instead of good');
  assertEquals(await verdict(text, "bad", { may: (part: string) => part === "text" }), undefined);
  assertStringIncludes(
    await verdict(text, "bad", { may: () => true, expected: "refused" }) ?? "",
    "nobody can know",
  );
  assertStringIncludes(
    await verdict(text, "the-secret-that-lies-outside", { may: () => true }) ?? "",
    "outside",
  );
  assertEquals(await verdict(text, "good", { expected: "same" }), undefined);
});

Deno.test("the same seed makes the same mutant", () => {
  const draws = (seed: string) => {
    const dice = new Dice(seed);
    return Array.from({ length: 8 }, () => dice.below(1000));
  };
  assertEquals(draws("1"), draws("1"));
  assert(String(draws("1")) !== String(draws("2")));
});

Deno.test("the command ends on its count, and refuses what it does not know", async () => {
  const run = async (...args: string[]) => {
    const file = fileURLToPath(new URL("fuzz.ts", import.meta.url));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-all", file, ...args],
      env: { NO_COLOR: "1" },
    }).output();
    return { code, out: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
  };
  assertEquals(await run("--count", "18", "--seed", "5"), {
    code: 0,
    out: "18 tried, 18 recovered or refused, 0 wrong\n",
    error: "",
  });
  for (const args of [["--count", "0"], ["--seed", "x"], ["--subject", "none"], ["--unknown"]]) {
    const { code, error } = await run(...args);
    assertEquals(code, 2);
    assertMatch(error, /^error: Give --count N.*\.\n$/);
  }
});
