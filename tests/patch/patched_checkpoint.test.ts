/** Fused and applied checkpoints: what stays byte for byte, what they compute, and the way back. */
import { join } from "node:path";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { Fusion } from "../../engine/patch/fusion.ts";
import { applyPatch, baseFingerprint, patchSha256, readPatch, writePatch } from "../../engine/patch/patch.ts";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { roundToType } from "../../engine/checkpoint/rounding.ts";
import {
  Checkpoint,
  type FloatType,
  SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from "../../engine/checkpoint/checkpoint.ts";
import { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "../../engine/patch/patched_checkpoint.ts";
import { alterSafetensors, copyOf, embeddedModel, golden, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { assertSameFolder, filesUnder, foreign, madePatch, splitBytes } from "./patched_fixture.ts";

/** One file of F16, shards of BF16 with an index, one file of F32. */
const models = async () => ({
  "one file of F16": { dir: embeddedModel, dtype: "F16" },
  "shards of BF16": { dir: (await golden("gemma2-bf16-sharded")).dir, dtype: "BF16" },
  "one file of F32": { dir: (await golden("llama-tiny")).dir, dtype: "F32" },
} as const);

for (const [what, { dir, dtype }] of Object.entries(await models())) {
  Deno.test(`fusing into ${what} changes the bytes of the patch's rows and no other`, async () => {
    await using folder = await temporaryFolder();
    const patch = await madePatch(dir, 0.01);
    const report = await fuseCheckpoint(dir, patch, join(folder.path, "fused"));
    assertEquals([report.dtype, report.rounding], [dtype, "nearest"]);
    // Files of golden folders that hold gradients under the weights' names would be taken for stale weights.
    const gradients: readonly string[] = report.left_out;
    const results = "greedy_cases.json,loss.jsonl,loss.svg,pretrain.json";
    assert(["", "full_grads.safetensors", results].includes(gradients.join()), gradients.join());
    const before = await splitBytes(dir, patch);
    const after = await splitBytes(join(folder.path, "fused"), patch);
    assertEquals([...after.keys()], [...before.keys()]);
    let changed = 0;
    for (const [file, { rest, changed: old }] of before) {
      assertEquals(after.get(file)!.rest, rest, file);
      after.get(file)!.changed.forEach((byte, i) => changed += Number(byte !== old[i]));
    }
    assert(changed > 100);
    const names = (await filesUnder(dir)).filter((name) => !gradients.includes(name) && name !== "README.md");
    assertEquals(await filesUnder(join(folder.path, "fused")), [...names, "README.md"].sort());
    for (const name of names.filter((name) => !before.has(name))) { // config, tokenizer, data, and the shards' index
      assertEquals(
        await Deno.readFile(join(folder.path, "fused", name)),
        await Deno.readFile(join(dir, name)),
        name,
      );
    }
  });

  Deno.test(`the rows fused into ${what} are base + delta, rounded`, async () => {
    await using folder = await temporaryFolder();
    const patch = await madePatch(dir, 0.01);
    for (const rounding of ["nearest", "stochastic"] as const) {
      const target = join(folder.path, rounding);
      const report = await fuseCheckpoint(dir, patch, target, rounding, 5);
      using base = await Checkpoint.open(dir);
      using fused = await Checkpoint.open(target);
      let [values, kept] = [0, 0];
      for (const { name, rows, columns, delta } of patch.tensors) {
        const [old, now] = [await base.readFloat32(name), await fused.readFloat32(name)];
        rows.forEach((row, r) => {
          for (let c = 0; c < columns; c++) {
            const [was, change, is] = [
              old[row * columns + c]!,
              delta[r * columns + c]!,
              now[row * columns + c]!,
            ];
            const sum = Math.fround(was + change);
            if (rounding === "nearest") {
              assertEquals(is, roundToType(Float32Array.of(sum), dtype, "nearest", Math.random)[0]! + 0);
            } else assertLess(Math.abs(is - sum), Math.abs(sum) * 2 ** -7 + 1e-7);
            if (change === 0) continue;
            values++;
            if (is !== was) kept++;
          }
        });
      }
      assertAlmostEquals(report.survives.values_percent, 100 * kept / values, 1e-9);
      assertEquals(report.matrices.reduce((sum, matrix) => sum + matrix.values, 0), values);
      assert(dtype === "F32" || kept < values, "nothing was lost");
    }
  });

  Deno.test(`a patch applied to ${what} is F32 base + delta, and reverting gives back every byte`, async () => {
    await using folder = await temporaryFolder();
    const patch = await madePatch(dir, 0.01);
    const [applied, reverted] = [join(folder.path, "applied"), join(folder.path, "reverted")];
    const left = await patchCheckpoint(dir, patch, applied);
    {
      using base = await Checkpoint.open(dir);
      using copy = await Checkpoint.open(applied);
      for (const name of base.names()) {
        const tensor = patch.tensors.find((tensor) => tensor.name === name);
        assertEquals(copy.tensor(name)!.dtype, tensor ? "F32" : base.tensor(name)!.dtype, name);
        const expected = await base.readFloat32(name);
        tensor?.rows.forEach((row, r) => {
          for (let c = 0; c < tensor.columns; c++) {
            expected[row * tensor.columns + c]! += tensor.delta[r * tensor.columns + c]!;
          }
        });
        assertEquals(await copy.readFloat32(name), expected, name);
      }
      const size = (checkpoint: Checkpoint) =>
        checkpoint.names().map((name) => checkpoint.tensor(name)!).reduce(
          (sum, info) => sum + info.byteEnd - info.byteStart,
          0,
        );
      const index = join(applied, "model.safetensors.index.json");
      const stated = await Deno.readTextFile(index).then(
        (text) => JSON.parse(text).metadata.total_size,
        () => size(copy),
      );
      assertEquals(stated, size(copy));
    }
    await revertCheckpoint(applied, reverted);
    for (const name of left) await Deno.copyFile(join(dir, name), join(reverted, name));
    await assertSameFolder(reverted, dir);
  });
}

Deno.test("a fused folder says what it is: model card, metadata and type, and keeps no results of the base", async () => {
  await using folder = await temporaryFolder();
  await using source = await copyOf((await golden("llama-tiny")).dir);
  const at = (name: string) => join(source.path, name);
  await Deno.writeTextFile(
    at("README.md"),
    "---\nlicense: mit\nmodel-index: [{name: x}]\n---\n\nAccuracy 90 %\n",
  );
  await Deno.writeTextFile(at("trainer_state.json"), "{}");
  const config = (await Deno.readTextFile(at("config.json"))).replace(
    /^\{/,
    '{"torch_dtype": "bfloat16",  "quoted_dtype": "bfloat16",',
  ).replace(/,\s*"(torch_)?dtype": "float32"/, "");
  await Deno.writeTextFile(at("config.json"), config);
  const patch = await madePatch(source.path, 0.01);
  const fused = join(folder.path, "fused");
  const card = { model: "org/base", commit: "abc", step: 7 };
  const { left_out } = await fuseCheckpoint(source.path, patch, fused, "stochastic", 3, card);
  assert(left_out.includes("trainer_state.json"), left_out.join());
  const read = (name: string) => Deno.readTextFile(join(fused, name));
  const readme = await read("README.md");
  assert(readme.startsWith("---\nlicense: mit\nbase_model: org/base\ntags:\n  - circuit-amp\n---\n"), readme);
  assert(readme.includes("commit `abc`") && readme.includes("step 7") && !readme.includes("90 %"), readme);
  assertEquals(
    await read("config.json"),
    config.replace('torch_dtype": "bfloat16"', 'torch_dtype": "float32"'),
  );
  using file = await SafetensorsFile.open(join(fused, "model.safetensors"));
  assertEquals(file.metadata.circuit_amp_patch_sha256, patchSha256(patch));
  assertEquals([file.metadata.circuit_amp_step, file.metadata.circuit_amp_rounding], ["7", "none"]); // F32
  const [applied, reverted] = ["applied", "reverted"].map((name) => join(folder.path, name));
  await patchCheckpoint(source.path, patch, applied!);
  assert((await Deno.readTextFile(join(applied!, "config.json"))).includes('"torch_dtype": "float32"'));
  await revertCheckpoint(applied!, reverted!);
  await Deno.copyFile(at("full_grads.safetensors"), join(reverted!, "full_grads.safetensors")).catch(
    () => {},
  );
  await assertSameFolder(reverted!, source.path);
  // What was fused before is not said of what is fused now.
  const again = await madePatch(fused, 0.001);
  await fuseCheckpoint(fused, again, join(folder.path, "again"));
  using second = await SafetensorsFile.open(join(folder.path, "again", "model.safetensors"));
  assertEquals([second.metadata.circuit_amp_patch_sha256, second.metadata.circuit_amp_step], [
    patchSha256(again),
    undefined,
  ]);
});

Deno.test("a patch applied to shards in a subfolder is taken back byte for byte", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("gemma2-bf16-sharded");
  const [model, applied, reverted] = ["model", "applied", "reverted"].map((name) => join(folder.path, name));
  await Deno.mkdir(join(model!, "shards"), { recursive: true });
  await Deno.copyFile(join(dir, "config.json"), join(model!, "config.json"));
  const index = JSON.parse(await Deno.readTextFile(join(dir, "model.safetensors.index.json")));
  for (const [tensor, shard] of Object.entries<string>(index.weight_map)) {
    await Deno.copyFile(join(dir, shard), join(model!, "shards", shard));
    index.weight_map[tensor] = `shards/${shard}`;
  }
  await Deno.writeTextFile(join(model!, "model.safetensors.index.json"), JSON.stringify(index));
  const patch = await madePatch(model!, 0.01);
  assertEquals(await patchCheckpoint(model!, patch, applied!), []);
  {
    using copy = await Checkpoint.open(applied!);
    for (const { name } of patch.tensors) assertEquals(copy.tensor(name)!.dtype, "F32");
  }
  await revertCheckpoint(applied!, reverted!);
  await assertSameFolder(reverted!, model!);
});

for (const [name, storage] of [["gemma2-bf16-sharded", "checkpoint"], ["llama-tiny", "auto"]] as const) {
  gpuTest(`the fused ${name} loads and computes what the model with rounded rows does`, async ({ gpu }) => {
    await using folder = await temporaryFolder();
    const { dir } = await golden(name);
    const patch = await madePatch(dir, 0.02);
    const ids = [1, 5, 9, 2, 7];
    for (const rounding of ["nearest", "stochastic"] as const) {
      const target = join(folder.path, rounding);
      await fuseCheckpoint(dir, patch, target, rounding, 3);
      using model = await Model.load(gpu, dir, { storage });
      const { logits: base } = await model.run(ids);
      await applyPatch(model, patch);
      const { logits: exact } = await model.run(ids);
      using checkpoint = await Checkpoint.open(dir);
      const fusion = new Fusion(checkpoint, patch, rounding, 3);
      await applyPatch(model, patch, fusion.rows);
      const { logits: rounded } = await model.run(ids);
      using loaded = await Model.load(gpu, target, { storage });
      const { logits } = await loaded.run(ids);
      const distance = (one: Float32Array, other: Float32Array) =>
        Math.max(...one.map((value, i) => Math.abs(value - other[i]!)));
      const largest = Math.max(...logits.map(Math.abs));
      assertLess(distance(logits, rounded), 1e-5 * largest);
      assertNotEquals(rounded, base);
      if (fusion.rounds) assert(distance(rounded, exact) > 1e-4 * largest, "rounding made no difference");
    }
  });
}

Deno.test("stochastic rounding gives the same file for the same seed, another for another", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("gemma2-bf16-sharded");
  const patch = await madePatch(dir, 0.001);
  await writePatch(folder.path, patch, {});
  const read = await readPatch(folder.path);
  const fuse = async (name: string, seed: number) => {
    await fuseCheckpoint(dir, name === "read" ? read : patch, join(folder.path, name), "stochastic", seed);
    return [...(await splitBytes(join(folder.path, name), patch)).values()].map(({ changed }) => changed);
  };
  const once = await fuse("once", 1);
  assertEquals(await fuse("read", 1), once);
  assertNotEquals(await fuse("other", 2), once);
});

Deno.test("what cannot be fused is refused in one sentence and leaves no folder's worth of files", async () => {
  await using folder = await temporaryFolder();
  const target = join(folder.path, "fused");
  const { dir } = await golden("llama-tiny");
  const patch = await madePatch(dir, 0.01);
  const refused = async (model: string, other: typeof patch, ...parts: string[]) => {
    for (const write of [fuseCheckpoint, patchCheckpoint]) {
      const { message } = await assertRejects(() => write(model, other, target), InputError);
      for (const part of parts) assert(message.includes(part), message);
      assert(!message.includes("\n"), message);
      assert(!await Deno.stat(target).then(() => true, () => false), "something was written");
    }
  };
  await refused(dir, foreign(patch), "made for other weights");
  await refused((await golden("gemma2-tiny")).dir, patch, "does not fit");
  await refused(join(folder.path, "none"), patch, "does not exist");
  const [first, ...others] = patch.tensors;
  for (const rows of [first!.rows.map((row) => row + 32), first!.rows.toReversed()]) {
    await refused(dir, { ...patch, tensors: [{ ...first!, rows }, ...others] }, "does not fit", first!.name);
  }
  const huge = { ...first!, delta: first!.delta.map((_, i) => i === 7 ? 7e4 : 0) };
  await assertRejects(
    async () => fuseCheckpoint(embeddedModel, { ...await madePatch(embeddedModel, 70000) }, target),
    InputError,
    "F16 cannot hold",
  );
  assert(!await Deno.stat(target).then(() => true, () => false), "something was written");
  await fuseCheckpoint(dir, { ...patch, tensors: [huge, ...others] }, target); // F32 holds it
});

Deno.test("a folder that was not applied to, or whose original rows are damaged, cannot be reverted", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("gemma2-bf16-sharded");
  const patch = await madePatch(dir, 0.01);
  const fused = join(folder.path, "fused");
  await fuseCheckpoint(dir, patch, fused);
  const target = join(folder.path, "reverted");
  await assertRejects(() => revertCheckpoint(fused, target), InputError, "no patched model");
  const applied = join(folder.path, "applied");
  await patchCheckpoint(dir, patch, applied);
  const originals = join(applied, "original_rows.safetensors");
  await alterSafetensors(originals, (header) => header.replace(".base", ".bsae"));
  await assertRejects(() => revertCheckpoint(applied, target), InputError, "damaged");
  await alterSafetensors(originals, (header) => header.replace('"dtypes"', '"sepytd"'));
  await assertRejects(() => revertCheckpoint(applied, target), InputError, "damaged");
});

Deno.test("tensor order and metadata of a file survive a change of type in the middle of it", async () => {
  await using folder = await temporaryFolder();
  const [source, applied, reverted] = ["source", "applied", "reverted"].map((name) =>
    join(folder.path, name)
  );
  await Deno.mkdir(source!);
  await Deno.writeTextFile(join(source!, "config.json"), "{}");
  const random = Array.from({ length: 12 }, (_, i) => 0x3c00 + 7 * i);
  const half = (): TensorToWrite => ({ dtype: "F16", shape: [3, 4], data: Uint16Array.from(random) });
  const q = "model.layers.0.self_attn.q_proj.weight";
  const [v, up] = [q.replace("q_proj", "v_proj"), "model.layers.0.mlp.up_proj.weight"];
  await writeSafetensors(join(source!, "model.safetensors"), {
    z: half(),
    [q]: half(),
    a: half(),
    [up]: half(),
    [v]: half(),
  }, {
    format: "pt",
    made: "hier – здесь",
  });
  const patch = await madePatchOf(source!, q);
  await patchCheckpoint(source!, patch, applied!);
  {
    using checkpoint = await Checkpoint.open(applied!);
    assertEquals(checkpoint.names(), ["z", q, "a", up, v]);
    assertEquals(
      checkpoint.names().map((name) => checkpoint.tensor(name)!.dtype),
      ["F16", "F32", "F16", "F16", "F16"] as FloatType[],
    );
  }
  const text = await Deno.readTextFile(join(applied!, "model.safetensors"));
  assert(text.includes('"made":"hier – здесь"'));
  await revertCheckpoint(applied!, reverted!);
  await assertSameFolder(reverted!, source!);
});

/** Only the tensors of `madePatch` on one matrix of a model of [3, 4] matrices. */
async function madePatchOf(model: string, name: string) {
  using checkpoint = await Checkpoint.open(model);
  const base = (await checkpoint.readFloat32(name)).slice(4, 8);
  const tensor = { name, rows: Int32Array.of(1), delta: Float32Array.of(1e-6, 0.5, 0, -1), columns: 4 };
  return { tensors: [tensor], base_sha256: baseFingerprint({ tensors: [tensor] }, () => base) };
}

Deno.test("base rows are hashed by sorted names, however the patch lists its matrices; old files keep their order", async () => {
  const patch = await madePatch((await golden("llama-tiny")).dir, 0.01);
  const reversed = { ...patch, tensors: patch.tensors.toReversed() };
  const base = ({ rows }: { rows: Int32Array }) => new Float32Array(rows.length).fill(rows[0]! + 1);
  const named = ({ name, rows }: { name: string; rows: Int32Array }) => base({ rows }).fill(name.length);
  assertEquals(baseFingerprint(patch, named), baseFingerprint(reversed, named));
  const old = { format: "circuit-amp-patch-1" } as const;
  assertNotEquals(
    baseFingerprint({ ...patch, ...old }, named),
    baseFingerprint({ ...reversed, ...old }, named),
  );
});
