/** Patches: written, read and applied they give the amplified model bit for bit; what is no patch of it is refused. */
import { join } from "node:path";
import { assert, assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { applyPatch, extractPatch, readPatch, writePatch } from "../../engine/patch/patch.ts";
import { SparseUpdate, type UpdateOptions } from "../../engine/circuit/update.ts";
import { InputError } from "../../engine/errors.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { Model } from "../../engine/model/model.ts";
import { readTensors, type TensorToWrite, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import {
  alterSafetensors,
  copyOf,
  golden,
  loadTwins,
  setElement,
  temporaryFolder,
  type Twins,
} from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { goldenSelection, plain } from "../circuit/update_fixture.ts";

/** Some steps of an update; the overlays stay. */
async function amplifySome(twins: Twins, options: Partial<UpdateOptions> = {}, steps = 3) {
  using update = new SparseUpdate(twins.model, goldenSelection(twins), twins.examples, {
    ...plain,
    ...options,
  });
  for (let step = 0; step < steps; step++) await update.step();
}

const logitsOf = async ({ model, examples }: Twins) => (await model.run(examples[0]!.prefix_ids)).logits;

for (const name of ["llama-tiny", "gemma2-bf16-sharded"]) {
  for (const storage of ["checkpoint", "f32"] as const) {
    gpuTest(
      `a patch of ${name} gives a freshly loaded model (${storage}) the amplified logits bit for bit`,
      async ({ gpu }) => {
        await using folder = await temporaryFolder();
        let amplified: Float32Array;
        {
          using twins = await loadTwins(gpu, name, { storage });
          const base = await logitsOf(twins);
          await amplifySome(twins);
          const patch = await extractPatch(twins.model);
          amplified = await logitsOf(twins);
          await writePatch(folder.path, patch, { step: 3 });
          twins.model.revert();
          assertEquals(await logitsOf(twins), base);
          assertNotEquals(amplified, base);
          assertEquals(await readPatch(folder.path), { ...patch, format: "circuit-amp-patch-2" });
        }
        using twins = await loadTwins(gpu, name, { storage });
        const base = await logitsOf(twins);
        await applyPatch(twins.model, await readPatch(join(folder.path, "patch.safetensors")));
        assertEquals(await logitsOf(twins), amplified);
        twins.model.revert();
        assertEquals(await logitsOf(twins), base);
      },
    );
  }
}

gpuTest("changes that bf16 could not hold survive in a patch", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  using twins = await loadTwins(gpu, "gemma2-bf16-sharded", { storage: "checkpoint" });
  const { model, golden: { weights } } = twins;
  const base = await logitsOf(twins);
  await amplifySome(twins, { rate: 1e-6, optimizer: "adamw" }, 1);
  const patch = await extractPatch(model);
  const amplified = await logitsOf(twins);
  let [moved, lost] = [0, 0];
  for (const { name, rows, delta, columns } of patch.tensors) {
    rows.forEach((row, r) =>
      delta.subarray(r * columns, (r + 1) * columns).forEach((change, i) => {
        if (change === 0) return;
        const value = weights.get(name)![row * columns + i]!;
        assertLess(Math.abs(change), 2e-6);
        moved++;
        if (toBf16(value + change) === value) lost++;
      })
    );
  }
  assert(lost > 0.99 * moved && moved > 1000, `${lost} of ${moved} changes vanish in bf16`);
  assertNotEquals(amplified, base);
  await writePatch(folder.path, patch, {});
  using fresh = await loadTwins(gpu, "gemma2-bf16-sharded", { storage: "checkpoint" });
  await applyPatch(fresh.model, await readPatch(folder.path));
  assertEquals(await logitsOf(fresh), amplified);
});

/** The nearest number whose float32 bits end in 16 zeros. */
function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(Uint32Array.of(rounded).buffer)[0]!;
}

gpuTest("patch.json says what the patch holds", async ({ gpu }) => {
  await using folder = await temporaryFolder();
  using twins = await loadTwins(gpu, "llama-tiny");
  await amplifySome(twins);
  const patch = await extractPatch(twins.model);
  await writePatch(folder.path, patch, { step: 3 });
  const card = JSON.parse(await Deno.readTextFile(join(folder.path, "patch.json")));
  assertEquals(card.step, 3);
  assertEquals(card.base_sha256, patch.base_sha256);
  assertEquals(card.rows, Object.fromEntries(patch.tensors.map(({ name, rows }) => [name, rows.length])));
  assertEquals(card.values, patch.tensors.reduce((sum, { delta }) => sum + delta.length, 0));
  assert(patch.tensors.every(({ name }) => /(q|k|v|up)_proj\.weight$/.test(name)));
});

/** A written patch of llama-tiny. */
async function writtenPatch(gpu: Gpu) {
  const folder = await temporaryFolder();
  using twins = await loadTwins(gpu, "llama-tiny");
  await amplifySome(twins, {}, 1);
  await writePatch(folder.path, await extractPatch(twins.model), {});
  return { ...folder, file: join(folder.path, "patch.safetensors") };
}

gpuTest("a patch for other weights is refused and leaves the model as it is", async ({ gpu }) => {
  await using patch = await writtenPatch(gpu);
  const read = await readPatch(patch.path);
  const { name, rows, columns } = read.tensors[0]!;
  await using copy = await copyOf((await golden("llama-tiny")).dir);
  await setElement(join(copy.path, "model.safetensors"), name, rows[0]! * columns + 3, 0.5);
  using other = await Model.load(gpu, copy.path);
  const { logits } = await other.run([1, 2, 3]);
  await assertRejects(() => applyPatch(other, read), InputError, "made for other weights");
  assertEquals((await other.run([1, 2, 3])).logits, logits);
  using stranger = await loadTwins(gpu, "gemma2-tiny"); // other shapes
  await assertRejects(() => applyPatch(stranger.model, read), InputError);
  using smaller = await loadTwins(gpu, "olmo2-tiny");
  await assertRejects(() => applyPatch(smaller.model, read), InputError);
});

gpuTest("files that are no patch, or a damaged one, are refused", async ({ gpu }) => {
  const { dir } = await golden("llama-tiny");
  await assertRejects(() => readPatch(join(dir, "model.safetensors")), InputError, "no patch");
  await assertRejects(() => readPatch(dir), InputError, "patch.safetensors");
  await assertRejects(() => readPatch(join(dir, "absent.safetensors")), InputError, "absent");
  await assertRejects(() => readPatch(join(dir, "config.json")), InputError, "config.json");
  {
    await using patch = await writtenPatch(gpu);
    await Deno.truncate(patch.file, (await Deno.stat(patch.file)).size - 8);
    await assertRejects(() => readPatch(patch.file), InputError, "truncated");
  }
  {
    await using patch = await writtenPatch(gpu);
    await alterSafetensors(patch.file, (header) => header.replace(".delta", ".dalte"));
    await assertRejects(() => readPatch(patch.file), InputError, "damaged");
  }
});

gpuTest("a patch whose rows or columns do not fit is refused", async ({ gpu }) => {
  await using patch = await writtenPatch(gpu);
  const metadata = { format: "circuit-amp-patch-2", base_sha256: (await readPatch(patch.path)).base_sha256 };
  const tensors = await readTensors(patch.file);
  const [name] = [...tensors.keys()].filter((key) => key.endsWith(".rows"));
  const delta = name!.replace(".rows", ".delta");
  const rewrite = async (key: string, shape: number[], data: Int32Array | Float32Array) => {
    const changed: Record<string, TensorToWrite> = {};
    for (const [key, tensor] of tensors) changed[key] = tensor as TensorToWrite;
    changed[key] = { ...changed[key]!, shape, data };
    await writeSafetensors(patch.file, changed, metadata);
    return readPatch(patch.file);
  };
  using twins = await loadTwins(gpu, "llama-tiny");
  const rows = tensors.get(name!)!.data as Int32Array;
  const { shape, data } = tensors.get(delta)!;
  for (const bad of [rows.map((row) => row + 64), rows.map((row) => -1 - row), rows.toReversed()]) {
    const read = await rewrite(name!, [rows.length], bad);
    await assertRejects(() => applyPatch(twins.model, read), InputError, "does not fit");
  }
  const narrow = await rewrite(delta, [shape[0]!, 16], data.slice(0, data.length / 2));
  await assertRejects(() => applyPatch(twins.model, narrow), InputError, "does not fit");
  await assertRejects(() => rewrite(delta, [shape[0]! - 1, 32], data.slice(32)), InputError, "damaged");
  const broken = () => rewrite(delta, [...shape], data.map((value, i) => i === 5 ? NaN : value));
  await assertRejects(broken, InputError, "NaN");
});

Deno.test("a patch whose file has another bit than it was written with is refused, and so is a card that is no card", async () => {
  await using folder = await temporaryFolder();
  const rows = Int32Array.of(1), delta = Float32Array.of(0.5, 0.25);
  const patch = { base_sha256: "0".repeat(64), tensors: [{ name: "m", rows, delta, columns: 2 }] };
  await writePatch(folder.path, patch, { step: 1 });
  assertEquals((await readPatch(folder.path)).tensors, patch.tensors);
  const file = join(folder.path, "patch.safetensors");
  const bytes = await Deno.readFile(file);
  bytes[bytes.length - 6]! ^= 1;
  await Deno.writeFile(file, bytes);
  await assertRejects(
    () => readPatch(folder.path),
    InputError,
    "is not what its patch.json was written with",
  );
  await Deno.writeTextFile(join(folder.path, "patch.json"), "{");
  await assertRejects(() => readPatch(folder.path), InputError, "patch.json");
});
