/** JSON files that are not what they should be are refused as what they are. */
import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../engine/errors.ts";
import { readJsonObject } from "../engine/json_objects.ts";
import { temporaryFolder } from "./model/model_fixture.ts";

/** Demands that reading a file which `make` made is refused with this sentence. */
async function assertRefused(make: (path: string) => Promise<void>, sentence: string) {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "config.json");
  await make(path);
  const { message } = await assertRejects(() => readJsonObject(path), InputError);
  assertEquals(message, sentence.replace("PATH", path));
}

Deno.test("a file that is not there is undefined, below a file too", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "config.json");
  assertEquals(await readJsonObject(path), undefined);
  await Deno.writeTextFile(path, "{}");
  assertEquals(await readJsonObject(join(path, "config.json")), undefined);
});

Deno.test("a folder in place of a JSON file is refused", () =>
  assertRefused(
    (path) => Deno.mkdir(path),
    '"PATH" is a folder where a file is needed; remove it or put the file there.',
  ));

Deno.test("a link to nothing in place of a JSON file is refused, not taken for no file", () =>
  assertRefused(
    (path) => Deno.symlink("../../blobs/9f", path),
    'File "PATH" is a link to "../../blobs/9f", which does not exist; download it again or remove it.',
  ));

const texts: [string, string, string][] = [
  ["an empty text", "\n", 'File "PATH" is empty; download it again.'],
  ["broken JSON", '{"a":', 'File "PATH" is not valid JSON; download it again or mend it.'],
  ["a list", "[1]", 'File "PATH" holds [1] where a JSON object is needed; download it again.'],
  [
    "a Git LFS pointer",
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    'File "PATH" is a Git LFS pointer, which stands for the contents in a clone without Git LFS, ' +
    'where JSON is needed; run "git lfs pull" there or download it again.',
  ],
  [
    "a web page",
    "<!doctype html><title>Sign in</title>",
    'File "PATH" is a web page, as sites answer with when a download needs a login or a licence to be ' +
    "accepted, where JSON is needed; log in or accept it there and download it again.",
  ],
];

for (const [what, text, sentence] of texts) {
  Deno.test(`${what} in place of a JSON object is refused`, () =>
    assertRefused((path) => Deno.writeTextFile(path, text), sentence));
}
