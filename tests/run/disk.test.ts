/** Disks that fill up, folders that go: one sentence, what was done stays, and the same command goes on. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { runIdentify } from "../../engine/run/amplify_run.ts";
import { checkRun } from "../../engine/run/run_folder.ts";
import { failWrites } from "../chaos/disk_faults.ts";
import { type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { tinyRun, writeSmallTask } from "./run_fixture.ts";

let work: TemporaryFolder;
const at = (name: string) => join(work.path, name);
const names = [
  "traces.jsonl",
  "localization.json",
  "energies.safetensors",
  "mask.safetensors",
  "selection.json",
];
const contents = async (name: string) =>
  await Promise.all(names.map(async (file) => (await Deno.readFile(join(at(name), file))).toHex()));

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeSmallTask(work.path, 3);
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

gpuTest(
  "a disk that fails anywhere is one sentence; what was written is whole, and the run goes on",
  async ({ gpu }) => {
    const run = (name: string) => runIdentify(gpu, tinyRun(work.path), { out: at(name), tune: false });
    const writes = await (async () => {
      using disk = failWrites("ENOSPC", 0);
      await run("whole");
      return disk.writes;
    })();
    const points = [1, 2, 3, Math.ceil(writes / 2), writes - 1, writes];
    for (const [i, point] of points.entries()) {
      const fault = (["ENOSPC", "EROFS", "EIO"] as const)[i % 3]!;
      const { message } = await (async () => {
        using _ = failWrites(fault, point);
        return await assertRejects(() => run("full"), InputError);
      })();
      assert(message.includes(fault === "ENOSPC" ? "no space left" : "cannot be written"), message);
      assert(/^[^\n]*\.$/.test(message) && message.includes(at("full")), message);
      const left = (await Array.fromAsync(Deno.readDir(at("full")))).map(({ name }) => name);
      assertEquals(
        left.filter((name) => name.startsWith(".") || /\.(part|lock)$/.test(name)),
        [],
        `write ${point}`,
      );
      if (left.includes("config.json")) assertEquals([...(await checkRun(at("full"))).spoilt], []);
      await run("full");
      assertEquals(await contents("full"), await contents("whole"));
      await Deno.remove(at("full"), { recursive: true });
    }
  },
);

gpuTest(
  "a folder that is removed mid-run is one sentence, and is not made anew without its beginning",
  async ({ gpu }) => {
    let removed = false;
    const progress = (stage: string) => {
      if (removed || stage !== "component mask") return;
      removed = true;
      Deno.removeSync(at("gone"), { recursive: true });
    };
    const run = () => runIdentify(gpu, tinyRun(work.path), { out: at("gone"), tune: false, progress });
    const { message } = await assertRejects(run, InputError, at("gone"));
    assert(/(was removed while it was in use|its folder is gone);[^\n]*\.$/.test(message), message);
    assertEquals(await Deno.stat(at("gone")).then(() => "there", () => "gone"), "gone");
    await run();
    assertEquals(await contents("gone"), await contents("whole"));
  },
);
