import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { dirname, join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import { Checkpoint, readTensors, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";

const fixtures = new URL("../../fixtures/", import.meta.url).pathname;
const sharded = join(fixtures, "golden/gemma2-bf16-sharded");
const shards = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`);
const index = "model.safetensors.index.json";

/** Runs `test` in a folder that is removed afterwards. */
async function inTempDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Copies files of the sharded fixture, so that a test may leave out or damage some. */
async function copySharded(dir: string, ...names: string[]): Promise<void> {
  for (const name of names) await Deno.copyFile(join(sharded, name), join(dir, name));
}

function assertOneSentence(error: Error, message: string): void {
  assertEquals(error.message, message);
  assertMatch(error.message, /^[A-Z].*\.$/);
  assert(!/[.!?]\s/.test(error.message), "The message is one sentence");
}

async function assertRefused(dir: string, message: string): Promise<void> {
  assertOneSentence(await assertRejects(() => Checkpoint.open(dir), InputError), message);
}

Deno.test("a folder with one file opens with every tensor of that file", async () => {
  using checkpoint = await Checkpoint.open(join(fixtures, "gemma2-mini"));
  const info = checkpoint.require("model.embed_tokens.weight", [169, 128]);
  assertEquals(info.dtype, "F16");
  assertEquals(checkpoint.tensor("model.embed_tokens.weight"), info);
  assertEquals(checkpoint.tensor("nothing"), undefined);
  assertEquals(checkpoint.names().length, 4 * 11 + 2);
});

Deno.test("a folder of shards opens as one set of tensors in the order of its index", async () => {
  const { weight_map } = JSON.parse(await Deno.readTextFile(join(sharded, index)));
  using checkpoint = await Checkpoint.open(sharded);
  assertEquals(checkpoint.names(), Object.keys(weight_map));
  for (const shard of shards) {
    for (const [name, { shape, data }] of await readTensors(join(sharded, shard))) {
      assertEquals(checkpoint.require(name, shape).file, join(sharded, shard));
      assertEquals(await checkpoint.readFloat32(name), data);
    }
  }
});

Deno.test("stored bytes widen to the weights they stand for", async () => {
  using checkpoint = await Checkpoint.open(sharded);
  const info = checkpoint.require("model.embed_tokens.weight", [131, 40]);
  assertEquals(info.dtype, "BF16");
  const bits = new Uint16Array((await checkpoint.readRaw(info, 80, 40)).buffer);
  const upperHalves = new Uint16Array((await checkpoint.readFloat32(info.name)).slice(80, 120).buffer)
    .filter((_, i) => i % 2 === 1);
  assertEquals(upperHalves, bits);
});

Deno.test("a folder with both a single file and an index is read from the single file", () =>
  inTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, index), "{");
    const data = new Float32Array([1, 2]);
    await writeSafetensors(join(dir, "model.safetensors"), { w: { dtype: "F32", shape: [2], data } });
    using checkpoint = await Checkpoint.open(dir);
    assertEquals(await checkpoint.readFloat32("w"), data);
  }));

Deno.test("a closed checkpoint reads no more", async () => {
  const checkpoint = await Checkpoint.open(sharded);
  checkpoint.close();
  await assertRejects(() => checkpoint.readFloat32("model.norm.weight"));
});

Deno.test("a tensor of another checkpoint is not read", async () => {
  using one = await Checkpoint.open(sharded);
  using other = await Checkpoint.open(join(fixtures, "gemma2-mini"));
  const info = other.require("model.norm.weight", [128]);
  await assertRejects(() => one.readRaw(info, 0, 1), RangeError, "is not from model folder");
});

Deno.test("asking for a weight that is missing is refused", async () => {
  using checkpoint = await Checkpoint.open(sharded);
  const message = `Tensor "lm_head.weight" is missing from model folder "${sharded}"; ` +
    "check that config.json belongs to its weights.";
  assertOneSentence(assertThrows(() => checkpoint.require("lm_head.weight", [131, 40]), InputError), message);
  assertOneSentence(await assertRejects(() => checkpoint.readFloat32("lm_head.weight"), InputError), message);
});

Deno.test("asking for a weight in another shape is refused, naming both shapes", async () => {
  using checkpoint = await Checkpoint.open(sharded);
  for (const shape of [[40, 131], [131, 40, 1], [5240]]) {
    assertOneSentence(
      assertThrows(() => checkpoint.require("model.embed_tokens.weight", shape), InputError),
      `Tensor "model.embed_tokens.weight" in file "${sharded}/${
        shards[0]
      }" has shape [131, 40] where config.json ` +
        `makes it [${shape.join(", ")}]; check that config.json belongs to these weights.`,
    );
  }
});

Deno.test("asking for a weight that is stored as integers is refused", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "model.safetensors");
    await writeSafetensors(path, { ids: { dtype: "I32", shape: [1], data: new Int32Array(1) } });
    using checkpoint = await Checkpoint.open(dir);
    const message =
      `Tensor "ids" in file "${path}" is stored as I32, but only F32, F16 and BF16 can be used here; ` +
      "convert it to one of them.";
    assertOneSentence(assertThrows(() => checkpoint.require("ids", [1]), InputError), message);
    assertOneSentence(await assertRejects(() => checkpoint.readFloat32("ids"), InputError), message);
  }));

Deno.test("a missing model folder is refused", () =>
  inTempDir((dir) =>
    assertRefused(
      join(dir, "gone"),
      `Model folder "${dir}/gone" does not exist; pass one in Hugging Face layout.`,
    )
  ));

Deno.test("a file in the place of a model folder is refused", () =>
  inTempDir(async (dir) => {
    const path = join(dir, "model.safetensors");
    await Deno.writeTextFile(path, "");
    await assertRefused(path, `Model folder "${path}" is not a folder; pass one in Hugging Face layout.`);
  }));

Deno.test("a folder without weights is refused", () =>
  inTempDir((dir) =>
    assertRefused(
      dir,
      `Model folder "${dir}" holds neither model.safetensors nor ${index}; download the weights into it.`,
    )
  ));

Deno.test("a folder with nothing but pickled weights is refused", () =>
  inTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "pytorch_model.bin"), "");
    await assertRefused(
      dir,
      `Model folder "${dir}" holds pickled weights ("pytorch_model.bin"), but only safetensors are read; ` +
        "convert or download them in that format.",
    );
  }));

Deno.test("an index that names a missing shard is refused", () =>
  inTempDir(async (dir) => {
    await copySharded(dir, index, shards[0]!, shards[2]!);
    await assertRefused(
      dir,
      `Shard "${shards[1]}" named in "${dir}/${index}" is missing; download the whole model again.`,
    );
  }));

Deno.test("an index that puts a tensor into the wrong shard is refused", () =>
  inTempDir(async (dir) => {
    await copySharded(dir, shards[1]!);
    const weight_map = { "model.norm.weight": shards[1]! };
    await Deno.writeTextFile(join(dir, index), JSON.stringify({ weight_map }));
    await assertRefused(
      dir,
      `Tensor "model.norm.weight" is not in shard "${dir}/${
        shards[1]
      }" where ${index} puts it; download both again.`,
    );
  }));

Deno.test("an index without a usable weight map is refused", () =>
  inTempDir(async (dir) => {
    for (const wrong of [{}, { weight_map: ["a"] }, { weight_map: { a: 1 } }]) {
      await Deno.writeTextFile(join(dir, index), JSON.stringify(wrong));
      await assertRefused(
        dir,
        `File "${dir}/${index}" has no usable "weight_map" from tensors to shards; download it again.`,
      );
    }
  }));

Deno.test("an index that is not JSON is refused", () =>
  inTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, index), "{weights}");
    await assertRefused(dir, `File "${dir}/${index}" is not valid JSON; download it again or mend it.`);
  }));

Deno.test("a truncated shard is refused, naming it", () =>
  inTempDir(async (dir) => {
    await copySharded(dir, index, ...shards);
    await Deno.truncate(join(dir, shards[2]!), 4);
    await assertRefused(
      dir,
      `File "${dir}/${shards[2]}" is only 4 bytes long, too short for a safetensors file; download it again.`,
    );
  }));

/** A folder of two shards, by file name the tensors in it, and an index. */
async function writeShards(
  dir: string,
  files: Record<string, Record<string, number[]>>,
  weight_map: Record<string, string>,
) {
  for (const [file, tensors] of Object.entries(files)) {
    await Deno.mkdir(dirname(join(dir, file)), { recursive: true });
    await writeSafetensors(
      join(dir, file),
      Object.fromEntries(
        Object.entries(tensors).map((
          [name, data],
        ) => [name, { dtype: "F32", shape: [data.length], data: new Float32Array(data) }]),
      ),
    );
  }
  await Deno.writeTextFile(join(dir, index), JSON.stringify({ weight_map }));
}

Deno.test("shards in subfolders are read", () =>
  inTempDir(async (dir) => {
    const files = { "weights/one.safetensors": { a: [1, 2] }, "two.safetensors": { b: [3] } };
    await writeShards(dir, files, { a: "weights/one.safetensors", b: "./two.safetensors" });
    using checkpoint = await Checkpoint.open(dir);
    assertEquals(checkpoint.names(), ["a", "b"]);
    assertEquals([...await checkpoint.readFloat32("a")], [1, 2]);
    assertEquals([...await checkpoint.readFloat32("b")], [3]);
  }));

Deno.test("a shard outside of the model folder is refused", () =>
  inTempDir(async (dir) => {
    for (const shard of ["../one.safetensors", "/one.safetensors"]) {
      await writeShards(dir, {}, { a: shard });
      await assertRefused(
        dir,
        `Shard "${shard}" named in "${dir}/${index}" lies outside of the model folder; move it inside.`,
      );
    }
  }));

Deno.test("tensors that the index forgets count all the same", () =>
  inTempDir(async (dir) => {
    await writeShards(dir, { "one.safetensors": { a: [1], forgotten: [2] } }, { a: "one.safetensors" });
    using checkpoint = await Checkpoint.open(dir);
    assertEquals(checkpoint.names(), ["a", "forgotten"]);
  }));

Deno.test("a tensor in two shards is refused", () =>
  inTempDir(async (dir) => {
    const files = { "one.safetensors": { a: [1] }, "two.safetensors": { a: [2], b: [3] } };
    await writeShards(dir, files, { a: "one.safetensors", b: "two.safetensors" });
    await assertRefused(
      dir,
      `Tensor "a" is both in shard "${dir}/one.safetensors" and in "${dir}/two.safetensors", ` +
        "so nobody can tell which is meant; download the whole model again.",
    );
  }));

Deno.test("a link to nothing in place of weights is refused as what it is", () =>
  inTempDir(async (dir) => {
    await Deno.symlink("../blobs/0123", join(dir, "model.safetensors"));
    await assertRefused(
      dir,
      `File "${dir}/model.safetensors" is a link to "../blobs/0123", which does not exist; download it again.`,
    );
    await Deno.remove(join(dir, "model.safetensors"));
    await writeShards(dir, {}, { a: "one.safetensors" });
    await Deno.symlink("gone", join(dir, "one.safetensors"));
    await assertRefused(
      dir,
      `File "${dir}/one.safetensors" is a link to "gone", which does not exist; download it again.`,
    );
  }));

Deno.test("a folder in place of weights, or of a shard, is refused", () =>
  inTempDir(async (dir) => {
    await writeShards(dir, {}, { a: "one.safetensors" });
    for (const name of ["one.safetensors", "model.safetensors"]) {
      await Deno.mkdir(join(dir, name));
      await assertRefused(
        dir,
        `Path "${dir}/${name}" is not a file; pass the path of a safetensors file.`,
      );
    }
  }));
