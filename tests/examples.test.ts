/** The scripts and the notebook of fixtures/examples run, and what they print says what they claim. */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { taskPermissions } from "./cli/command_line.ts";
import { temporaryFolder } from "./model/model_fixture.ts";

const folder = fileURLToPath(new URL("../fixtures/examples", import.meta.url));

/** What a script prints, a line each; it runs in the examples' folder with the permissions of tasks without network. */
async function printed(path: string): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...taskPermissions("verify"), path],
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

const example = (name: string) => printed(join(folder, `${name}.ts`));
const percents = (line: string) => [...line.matchAll(/(-?[\d.]+) %/g)].map(([, value]) => Number(value));

const claims: Readonly<Record<string, (lines: string[]) => void>> = {
  // The answer is there after the last layer, and is no reading of the embedding.
  logit_lens(lines) {
    assertEquals(lines.length, 5);
    assertMatch(lines[0]!, /^embedding +" ="/);
    assertMatch(lines.at(-1)!, /^layer 3 +" 7" /);
    assert(percents(lines.at(-1)!)[0]! > 50);
  },
  // Early layers hold the number where it stands, the last one the answer where it is given.
  causal_tracing(lines) {
    const rows = lines.slice(1).map(percents);
    assertEquals(rows.at(-1)!.at(-1), 100);
    const early = rows.map(([first]) => first!);
    assert(Math.max(...early) > 25 && early.at(-1)! < 10, lines.join("\n"));
    for (const row of rows.slice(0, -1)) assertEquals(Math.abs(row.at(-1)!), 0);
  },
  steering(lines) {
    assertEquals(lines[0], "strength 0: 3 + 4 = 7");
    assertEquals(lines.at(-1), "strength 1: 3 + 4 = 9");
  },
  own_scorer(lines) {
    const [number, working] = lines.map((line) => percents(line)[0]!);
    assert(number! > 30 && working! > 0 && working! <= number!, lines.join("\n"));
  },
  own_pairs_to_mask(lines) {
    const [, selected, total] = lines[0]!.match(/^(\d+) of (\d+) components after 40 steps/)!;
    assert(Number(selected) > 0 && Number(selected) < Number(total) / 4, lines[0]);
    assertEquals(lines.length, 6);
  },
  amplify(lines) {
    assertMatch(lines.join("\n"), /^circuit +\d+ of 1568 components .*pivotal tokens$/m);
    assertMatch(lines.join("\n"), /^accuracy +[\d.]+ %/m);
    assert(lines.some((line) => line.startsWith("verdict")));
  },
  hot_swap(lines) {
    const said = lines.map((line) => line.replace(/ in [\d.]+ ms/, ""));
    assertEquals(said, ["eight: 3 + 4 = 8", "nine: 3 + 4 = 9", "eight: 3 + 4 = 8"]);
  },
  // First order says more than chance about the largest ones.
  attribution(lines) {
    const pairs = lines.map((line) =>
      line.match(/estimated +(-?[\d.]+), measured +(-?[\d.]+)/)!.slice(1).map(Number)
    );
    assertEquals(pairs.length, 8);
    const agreeing = pairs.filter(([estimate, measured]) => Math.sign(estimate!) === Math.sign(measured!));
    assert(agreeing.length >= 6, lines.join("\n"));
  },
};

for (const [name, check] of Object.entries(claims)) {
  Deno.test(`example ${name} shows what it claims`, async () => check(await example(name)));
}

Deno.test("the cells of the notebook run one after the other", async () => {
  const { cells } = JSON.parse(await Deno.readTextFile(join(folder, "notebook.ipynb"))) as {
    cells: { cell_type: string; source: string[] }[];
  };
  const code = cells.filter(({ cell_type }) => cell_type === "code").map(({ source }) => source.join(""));
  await using temporary = await temporaryFolder();
  const path = join(temporary.path, "notebook.ts");
  const mod = pathToFileURL(join(folder, "../../mod.ts")).href;
  await Deno.writeTextFile(path, code.join("\n").replace('"../../mod.ts"', JSON.stringify(mod)));
  const lines = await printed(path);
  assertMatch(lines.join("\n"), /3 \+ 4 = 7/);
  assertEquals(lines.filter((line) => line.startsWith("without layer ")).length, 4);
});

Deno.test("every example is listed, and tested", async () => {
  const readme = await Deno.readTextFile(join(folder, "README.md"));
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).filter((name) =>
    name !== "README.md"
  );
  for (const name of names) assert(readme.includes(`\`${name}\``), name);
  const scripts = names.filter((name) => name.endsWith(".ts") && name !== "own_scorer_rule.ts");
  assertEquals(scripts.map((name) => name.replace(".ts", "")).sort(), Object.keys(claims).sort());
});
