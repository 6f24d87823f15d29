/** The package as others import it: by address, from any folder, without a permission but to read. */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { temporaryFolder } from "./model/model_fixture.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { exports: entries } = JSON.parse(await Deno.readTextFile(join(root, "deno.json"))) as {
  exports: Record<string, string>;
};
const addressOf = (entry: string) => new URL(entries[entry]!, pathToFileURL(`${root}/`)).href;

/** Runs deno in a folder; what it wrote. */
async function deno(cwd: string, ...args: string[]) {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert(success, err);
  return { out: out!, err: err! };
}

Deno.test("a script in another folder type-checks against every entry and runs with permission to read", async () => {
  await using folder = await temporaryFolder();
  const script = join(folder.path, "script.ts");
  const model = join(root, "fixtures", "gemma2-mini");
  await Deno.writeTextFile(
    script,
    `
import { generate, Gpu, Model } from "${addressOf(".")}";
import { Plan } from "${addressOf("./gpu")}";
import { isCorrectNumber } from "${addressOf("./evaluation")}";
import { learningRate } from "${addressOf("./pretrain")}";
import { listBenchmarks } from "${addressOf("./benchmark")}";

using gpu = await Gpu.open();
using model = await Model.load(gpu, ${JSON.stringify(model)});
using plan = new Plan(gpu, "nothing");
const ids = model.tokenizer.encode("Q: Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?\\nA:");
const [tokens] = await generate(model, [{ ids }], { maxNewTokens: 48 });
const text = model.tokenizer.decode(tokens!, { skipSpecialTokens: true });
const listed = listBenchmarks(gpu, { quick: true, out: "none" }).length > 0;
console.log(text, isCorrectNumber(text, "#### 41"), learningRate(1, 2) > 0, plan.label, listed);
`,
  );
  await deno(folder.path, "check", "--quiet", script);
  const { out } = await deno(folder.path, "run", "--quiet", "--no-prompt", "--allow-read", script);
  assertEquals(out.trim(), "24 + 17 = 41. The answer is 41. true true nothing true");
});

Deno.test("a cell that imports by address needs no files of its own", async () => {
  await using folder = await temporaryFolder();
  const cell = `const { finalNumber } = await import("${
    addressOf("./evaluation")
  }"); console.log(finalNumber("so 1,234."));`;
  assertEquals((await deno(folder.path, "eval", "--quiet", cell)).out.trim(), "1234");
});

Deno.test("importing the package or its evaluation draws and trains nothing, and loads nothing that does", async () => {
  const graph = async (entry: string) =>
    (await deno(root, "info", "--json", fileURLToPath(addressOf(entry)))).out;
  for (const entry of [".", "./gpu", "./evaluation"]) {
    const modules = (JSON.parse(await graph(entry)) as {
      modules: { specifier: string; dependencies?: { specifier: string; isDynamic?: boolean }[] }[];
    }).modules;
    const loaded = modules.flatMap(({ dependencies = [] }) =>
      dependencies.filter(({ isDynamic }) => !isDynamic)
    );
    assertEquals(loaded.filter(({ specifier }) => specifier.startsWith("npm:vega")), [], entry);
  }
});

Deno.test("whatever a public signature mentions is public and documented", async () => {
  const files = Object.values(entries).map((entry) => join(root, entry));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", "--quiet", ...files],
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
});

Deno.test("what would be published is whole, and holds neither tests nor fixtures", async () => {
  const { err } = await deno(root, "publish", "--dry-run", "--allow-dirty", "--no-check");
  assertStringIncludes(err, "mod.ts");
  assertEquals(
    [...err.matchAll(/file:\S*?\/((?:tests|fixtures|\.github|\.ci)\/\S*)/g)].map(([, path]) => path),
    [],
  );
});
