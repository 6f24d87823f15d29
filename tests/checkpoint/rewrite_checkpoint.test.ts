/** Copies of model folders: what comes along, what stays out, where they may go, and how much memory they take. */
import { join, relative } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import {
  rewriteCheckpoint,
  type RowReplacement,
  rowRuns,
} from "../../engine/checkpoint/rewrite_checkpoint.ts";
import { Checkpoint, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { assertSameFolder, filesUnder } from "../patch/patched_fixture.ts";
import { copyOf, golden, temporaryFolder } from "../model/model_fixture.ts";

const none = new Map<string, RowReplacement>();
const matrix = "model.layers.0.mlp.up_proj.weight";
/** Row 2 of a matrix [F, 32] of llama-tiny, all ones. */
const oneRow = new Map<string, RowReplacement>([[matrix, {
  dtype: "F32",
  rows: Int32Array.of(2),
  bytes: new Uint8Array(new Float32Array(32).fill(1).buffer),
}]]);

async function copy(source: string, target: string, replacements = none, options = {}): Promise<string[]> {
  using checkpoint = await Checkpoint.open(source);
  return await rewriteCheckpoint(checkpoint, target, replacements, options);
}

Deno.test("without replacements the copy is the same folder, byte for byte", async () => {
  for (const name of ["llama-tiny", "gemma2-bf16-sharded"]) {
    await using folder = await temporaryFolder();
    const { dir } = await golden(name);
    assertEquals(await copy(dir, join(folder.path, "new", "copy")), []);
    await assertSameFolder(join(folder.path, "new", "copy"), dir);
  }
});

Deno.test("linked files, as in the Hugging Face cache, become files", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("gemma2-bf16-sharded");
  const [blobs, snapshot, target] = ["models--a--b/blobs", "models--a--b/snapshots/1", "copy"].map((name) =>
    join(folder.path, name)
  );
  await Deno.mkdir(blobs!, { recursive: true });
  await Deno.mkdir(snapshot!, { recursive: true });
  let number = 0;
  for await (const { name } of Deno.readDir(dir)) {
    const blob = `${number++}`;
    await Deno.copyFile(join(dir, name), join(blobs!, blob));
    await Deno.chmod(join(blobs!, blob), 0o444);
    await Deno.symlink(join("..", "..", "blobs", blob), join(snapshot!, name));
  }
  await copy(snapshot!, target!);
  await assertSameFolder(target!, dir);
  for await (const entry of Deno.readDir(target!)) assert(entry.isFile && !entry.isSymlink, entry.name);
  await Deno.remove(join(blobs!, "0"));
  await Deno.remove(target!, { recursive: true });
  await assertRejects(() => copy(snapshot!, target!), InputError);
});

Deno.test("a link out of the model folder is refused, and nothing of what it leads to is copied", async () => {
  await using folder = await temporaryFolder();
  const secret = join(folder.path, "secret");
  await Deno.writeTextFile(secret, "secret");
  const { dir } = await golden("llama-tiny");
  for (
    const [name, link] of [["notes", secret], ["notes", "../secret"], ["docs/notes", "../../secret"]] as const
  ) {
    await using source = await copyOf(dir);
    await Deno.mkdir(join(source.path, "docs"));
    await Deno.symlink(
      link === secret ? link : relative(join(source.path, name, ".."), secret),
      join(source.path, name),
    );
    const target = join(folder.path, "copy");
    await assertRejects(
      () => copy(source.path, target),
      InputError,
      `${name}" is a link out of the model folder`,
    );
    assertEquals(await filesUnder(target), []);
    await Deno.remove(join(source.path, name));
    await Deno.symlink("config.json", join(source.path, "same")); // its own file
    await copy(source.path, target);
    assertEquals(
      await Deno.readFile(join(target, "same")),
      await Deno.readFile(join(dir, "config.json")),
    );
    await Deno.remove(target, { recursive: true });
  }
});

Deno.test("subfolders come along; hidden ones and the weights in other forms do not", async () => {
  await using source = await copyOf((await golden("llama-tiny")).dir);
  await using folder = await temporaryFolder();
  const add = async (path: string, text = "text") => {
    await Deno.mkdir(join(source.path, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(source.path, path), text);
  };
  for (const kept of ["README.md", ".gitattributes", "tokenizer.model", "docs/deep/notes.txt"]) {
    await add(kept);
  }
  await add(".cache/huggingface/model.safetensors.lock");
  await add(".git/HEAD");
  const stale = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "original/consolidated.00.pth",
    "q4.gguf",
  ];
  for (const name of [...stale, "consolidated.safetensors"]) await add(name);
  const tensors = { [matrix]: { dtype: "F32", shape: [1], data: Float32Array.of(1) } } as const;
  await Deno.mkdir(join(source.path, "step-5"));
  await writeSafetensors(join(source.path, "step-5", "model.safetensors"), tensors);
  const other = { bias: { dtype: "F32", shape: [1], data: Float32Array.of(1) } } as const;
  await writeSafetensors(join(source.path, "head.safetensors"), other);

  // The golden folder's own gradients go by the weights' names.
  const expected = [
    ...stale,
    "consolidated.safetensors",
    "full_grads.safetensors",
    "step-5/model.safetensors",
  ].sort();
  const target = join(folder.path, "copy");
  assertEquals(await copy(source.path, target, oneRow), expected);
  const wanted = (await filesUnder(source.path)).filter((name) =>
    !expected.includes(name) && !/^\.(git|cache)\//.test(name)
  );
  assertEquals(await filesUnder(target), wanted);
  assert(wanted.includes("docs/deep/notes.txt") && wanted.includes("head.safetensors"), wanted.join());
});

Deno.test("a copy goes neither into its source nor into a folder that holds something", async () => {
  await using source = await copyOf((await golden("llama-tiny")).dir);
  await using folder = await temporaryFolder();
  const before = await filesUnder(source.path);
  await Deno.symlink(source.path, join(folder.path, "link"));
  for (
    const target of [
      source.path,
      `${source.path}/`,
      join(source.path, "new", "copy"),
      join(folder.path, "link"),
    ]
  ) {
    const { message } = await assertRejects(
      () => copy(source.path, target),
      InputError,
      "lies in the model folder",
    );
    assert(!message.includes("\n"), message);
  }
  assertEquals(await filesUnder(source.path), before);
  await Deno.writeTextFile(join(folder.path, "notes.txt"), "mine");
  await assertRejects(() => copy(source.path, folder.path), InputError, "holds");
  assertEquals(await filesUnder(folder.path), ["link", "notes.txt"]);
  await assertRejects(
    () => copy(source.path, join(folder.path, "notes.txt", "x")),
    InputError,
    "not writable",
  );
  // A neighbour whose name only begins like the source's is another folder.
  await copy(source.path, `${source.path}-copy`);
  await assertSameFolder(`${source.path}-copy`, source.path);
  await Deno.remove(`${source.path}-copy`, { recursive: true });
});

Deno.test("an interrupted copy does not look like a model, and the next attempt begins anew", async () => {
  const { dir } = await golden("llama-tiny");
  await using folder = await temporaryFolder();
  let during: string[] = [];
  const finish = async (inside: string) => {
    during = (await Array.fromAsync(Deno.readDir(folder.path))).map(({ name }) => name);
    assert((await filesUnder(inside)).includes("config.json"));
    throw new Error("the plug was pulled");
  };
  await assertRejects(() => copy(dir, folder.path, none, { finish }), Error, "plug");
  assertEquals(during.length, 1);
  assert(during[0]!.startsWith("."), during[0]);
  assertEquals(await filesUnder(folder.path), []);
  // What a killed process leaves behind.
  await Deno.mkdir(join(folder.path, during[0]!));
  await Deno.writeTextFile(join(folder.path, during[0]!, "half.safetensors"), "half");
  await copy(dir, folder.path);
  await assertSameFolder(folder.path, dir);
});

Deno.test("runs of rows cover each row once", () => {
  const runs = [...rowRuns(Int32Array.of(0, 1, 2, 5, 7, 8))];
  assertEquals(runs, [{ at: 0, first: 0, count: 3 }, { at: 3, first: 5, count: 1 }, {
    at: 4,
    first: 7,
    count: 2,
  }]);
  assertEquals([...rowRuns(new Int32Array(0))], []);
});
