/** Two processes in one folder: the second is refused, until the first has ended, however that was. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../engine/errors.ts";
import { FolderLock, lockFile } from "../engine/folder_lock.ts";
import { temporaryFolder } from "./model/model_fixture.ts";

const files = async (folder: string) => (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);

Deno.test("a locked folder is refused with its owner's name, and free again once the lock is disposed", async () => {
  await using folder = await temporaryFolder();
  {
    using _lock = await FolderLock.take(folder.path);
    const error = await assertRejects(() => FolderLock.take(folder.path), InputError, folder.path);
    assertStringIncludes(error.message, `process ${Deno.pid} on ${Deno.hostname()} since 20`);
    assertEquals(error.settings, ["out"]);
  }
  assertEquals(await files(folder.path), []);
  using _again = await FolderLock.take(folder.path);
});

Deno.test("what a killed process leaves bars nobody", async () => {
  await using folder = await temporaryFolder();
  const holder = fileURLToPath(new URL("folder_lock_holder.ts", import.meta.url));
  await using child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-check",
      "--allow-read",
      "--allow-write",
      "--allow-sys",
      holder,
      folder.path,
    ],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  assertStringIncludes(new TextDecoder().decode((await reader.read()).value), "locked");
  await assertRejects(() => FolderLock.take(folder.path), InputError, `process ${child.pid} `);
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  assertEquals(await files(folder.path), [lockFile]);
  using _lock = await FolderLock.take(folder.path);
});

Deno.test("a lock file that says anything at all, but is not locked, bars nobody", async () => {
  await using folder = await temporaryFolder();
  for (const text of ["", "not JSON", JSON.stringify({ pid: Deno.pid, host: "elsewhere", started: "now" })]) {
    await Deno.writeTextFile(join(folder.path, lockFile), text);
    using _lock = await FolderLock.take(folder.path);
  }
});

Deno.test("of many who want a folder at once one has it at a time", async () => {
  await using folder = await temporaryFolder();
  let inside = 0;
  const work = async () => {
    for (let turn = 0; turn < 20; turn++) {
      try {
        using _lock = await FolderLock.take(folder.path);
        assertEquals(++inside, 1);
        await new Promise((resolve) => setTimeout(resolve, Math.random()));
        inside--;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random()));
      }
    }
  };
  await Promise.all([work(), work(), work()]);
});
