/** Tuning: every shape class with a choice is measured, the answer is kept, and products follow it. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { matmulTile, setTuning, tuningOf } from "../../engine/ops/variants.ts";
import { tune } from "../../engine/ops/tuning.ts";
import { gpuTest } from "./gpu_fixture.ts";

gpuTest("a tuning is measured once, stored, and followed by products", async ({ gpu }) => {
  const folder = await Deno.makeTempDir();
  try {
    const tuning = await tune(gpu, folder, 64);
    const classes = Object.keys(tuning);
    for (const name of ["nt rows 1", "nt rows 2-15", "nt rows 16-63", "nt rows 64+", "nn rows 64+"]) {
      assert(classes.includes(name), `${name} was not measured`);
    }
    assertEquals(matmulTile(gpu, "nt", 512, 512, true), tuning["nt rows 64+"]);
    const [file] = await Array.fromAsync(Deno.readDir(folder));
    const path = join(folder, file!.name);
    const stored = JSON.parse(await Deno.readTextFile(path));
    assertEquals(stored.tuning, tuning);
    // Another answer in the file is believed, so the second call cannot have measured.
    const other = { kernel: "register", WX: 16, WY: 8, TM: 4, TN: 4 } as const;
    await Deno.writeTextFile(path, JSON.stringify({ ...stored, tuning: { "nt rows 64+": other } }));
    assertEquals(await tune(gpu, folder, 64), { "nt rows 64+": other });
    assertEquals(matmulTile(gpu, "nt", 512, 512, true).kernel, "register");
    const stale = { key: `other ${stored.key}`, tuning: { "nt rows 64+": other } };
    await Deno.writeTextFile(path, JSON.stringify(stale)); // of other shaders, another adapter or processor
    assertEquals(Object.keys(await tune(gpu, folder, 64)), classes);
    await Deno.writeTextFile(path, "{damaged");
    assertEquals(Object.keys(await tune(gpu, folder, 64)), classes);
  } finally {
    setTuning(gpu, {});
    await Deno.remove(folder, { recursive: true });
  }
}, "parallel");

gpuTest("software Vulkan has nothing to choose and writes nothing", async ({ gpu }) => {
  const folder = await Deno.makeTempDir();
  assertEquals(await tune(gpu, folder, 64), {});
  assertEquals(tuningOf(gpu), {});
  assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  await Deno.remove(folder);
}, "serial");
