/** Files that are read whole: devices and pipes have no end, and some files are too large for memory. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../engine/errors.ts";
import { loadProblems } from "../engine/evaluation/data.ts";
import { readJsonObject } from "../engine/json_objects.ts";
import { readWhole, readWholeText } from "../engine/whole_file.ts";
import { temporaryFolder } from "./model/model_fixture.ts";

const devices = Deno.build.os !== "windows";

Deno.test("a file is read as it is, mark of byte order and all", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "text");
  await Deno.writeTextFile(path, "\uFEFFä\n");
  assertEquals(await readWholeText(path), await Deno.readTextFile(path));
  assertEquals(await readWhole(path), await Deno.readFile(path));
  await assertRejects(() => readWhole(join(folder.path, "none")), Deno.errors.NotFound);
});

Deno.test({
  name: "a device is refused in one sentence wherever data or JSON is read",
  ignore: !devices,
  async fn() {
    for (const read of [readWhole, readWholeText, loadProblems, readJsonObject]) {
      const { message } = await assertRejects(() => read("/dev/zero"), InputError, '"/dev/zero"');
      assert(/device[^\n]*\.$/.test(message), message);
    }
  },
});

Deno.test("a text that no string can hold is refused before it is read", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "sparse");
  await Deno.writeTextFile(path, "");
  await Deno.truncate(path, 2 ** 30);
  await assertRejects(() => readWholeText(path), InputError, "1024 MiB, and at most 511 are read");
});
