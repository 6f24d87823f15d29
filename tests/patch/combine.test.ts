/** Sums and multiples of patches, which components they change, and which model they are for. */
import { join } from "node:path";
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/errors.ts";
import { readConfig } from "../../engine/model/config.ts";
import { forEachBase } from "../../engine/patch/base_rows.ts";
import { mergePatches, scalePatch } from "../../engine/patch/combine.ts";
import { type Patch, patchSha256, readPatch, writePatch } from "../../engine/patch/patch.ts";
import { patchInfo } from "../../engine/patch/patch_info.ts";
import { sha256OfFile } from "../../engine/files.ts";
import { embeddedModel as embedded } from "../../engine/run/embedded.ts";
import { modelOfPatch } from "../../engine/run/patch_model.ts";
import { describeCollisions, describePatch } from "../../engine/run/summary_text.ts";
import { embeddedModel, golden, temporaryFolder } from "../model/model_fixture.ts";
import { foreign, madePatch, partOfPatch } from "./patched_fixture.ts";

/** Deltas by matrix and row. */
const byRow = ({ tensors }: Patch) =>
  new Map(
    tensors.flatMap(({ name, rows, delta, columns }) =>
      [...rows].map((row, r) => [`${name} ${row}`, delta.slice(r * columns, (r + 1) * columns)] as const)
    ),
  );

Deno.test("merging adds the changes of rows that patches share, keeps the others, and says where they meet", async () => {
  const { dir } = await golden("llama-tiny");
  using checkpoint = await Checkpoint.open(dir);
  const whole = await madePatch(dir, 0.01);
  // Rows 0 3 4 5 and the last: the first four of one, the last three of the other.
  const one = await partOfPatch(dir, whole, (name, r) => r < 4 && !name.includes("v_proj"));
  const other = scalePatch(await partOfPatch(dir, whole, (name, r) => r > 1 && !name.includes("q_proj")), 3);
  const { patch, collisions } = await mergePatches(checkpoint, [one, other]);
  await forEachBase(checkpoint, patch); // fits its model
  const [a, b, sum] = [byRow(one), byRow(other), byRow(patch)];
  assertEquals([...sum.keys()].sort(), [...new Set([...a.keys(), ...b.keys()])].sort());
  for (const [key, delta] of sum) {
    const zero = new Float32Array(delta.length);
    assertEquals(delta, delta.map((_, i) => (a.get(key) ?? zero)[i]! + (b.get(key) ?? zero)[i]!), key);
  }
  const met = collisions.flatMap(({ name, rows }) => rows.map((row) => `${name} ${row}`));
  assertEquals(met.sort(), [...a.keys()].filter((key) => b.has(key)).sort());
  assert(met.length > 0 && met.every((key) => key.includes("up_proj")));
  const text = describeCollisions(collisions, await readConfig(dir));
  assert(text.includes("up_proj.weight: 2 rows, of neuron 4, neuron 5"), text);
  assertEquals(describeCollisions([], { headWidth: 8 }), "no row is changed by more than one of them");
});

Deno.test("patches are only merged when all were made for the rows of one model, and scaled by what leaves something", async () => {
  const { dir } = await golden("llama-tiny");
  using checkpoint = await Checkpoint.open(dir);
  const patch = await madePatch(dir, 0.01);
  await assertRejects(() => mergePatches(checkpoint, [patch, foreign(patch)]), InputError, "other weights");
  for (const factor of [0, NaN, Infinity]) {
    assertThrows(() => scalePatch(patch, factor), InputError, "Factor");
  }
  assertThrows(() => scalePatch(patch, 1e300), InputError, "larger than float32 holds");
  const half = scalePatch(patch, -0.5);
  assertEquals(half.tensors[3]!.delta, patch.tensors[3]!.delta.map((value) => value * -0.5));
  await forEachBase(checkpoint, half);
});

Deno.test("info names each head and neuron that a patch changes, with the norm of its change", async () => {
  const { dir } = await golden("llama-tiny");
  const config = await readConfig(dir);
  const patch = await madePatch(dir, 0.01);
  const info = patchInfo(patch, config);
  const { components } = info;
  const q = patch.tensors[0]!;
  const rows = [...q.rows.keys()].filter((r) => q.rows[r]! < config.headWidth);
  const own = rows.flatMap((r) => [...q.delta.subarray(r * q.columns, (r + 1) * q.columns)]);
  assertEquals([components![0]!.name, components![0]!.rows], ["layer 0 q-head 0", rows.length]);
  assertAlmostEquals(components![0]!.norm, Math.hypot(...own), 1e-12);
  assert(
    components!.some(({ name, rows }) => name === `layer 1 neuron ${config.mlpWidth - 1}` && rows === 1),
  );
  const squares = components!.reduce((sum, { norm }) => sum + norm ** 2, 0);
  assertAlmostEquals(Math.sqrt(squares), info.norm, 1e-9);
  assert(/^layer 0: q-heads? .*v-heads? .*neurons .*3 \(/m.test(describePatch(info)), describePatch(info));
  assertEquals(patchInfo(patch).components, undefined);
});

Deno.test("a patch is for the model that its card names, else the embedded one, unless another is named", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("llama-tiny");
  const patch = await madePatch(dir, 0.01);
  const ofCard = async (card: Record<string, unknown>, given = {}) => {
    await writePatch(folder.path, patch, card);
    return await modelOfPatch(folder.path, given);
  };
  assertEquals(await ofCard({ model: dir }), { source: dir, revision: undefined });
  assertEquals(await ofCard({ model: "a/b", commit: "c1" }), { source: "a/b", revision: "c1" });
  assertEquals(await ofCard({ model: "a/b@main", commit: "c1" }), { source: "a/b", revision: "c1" });
  assertEquals(await ofCard({ model: "a/b", commit: "c1" }, { source: "x" }), {
    source: "x",
    revision: undefined,
  });
  assertEquals((await ofCard({})).source, embedded());
  assertEquals((await ofCard({ model: "gemma2-mini" })).source, embedded()); // as named from its parent
  assertEquals((await modelOfPatch(join(folder.path, "patch.safetensors"), {})).source, embedded());
  await assertRejects(() => ofCard({ model: "models/none" }), InputError, '"models/none"');
  await assertRejects(() => ofCard({ model: 3 }), InputError, "patch.json");
  assert(embeddedModel.endsWith(embedded()));
});

Deno.test("a patch is told from others by the hash of the file it is written to", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("llama-tiny");
  await writePatch(folder.path, await madePatch(dir, 0.01), {});
  const file = join(folder.path, "patch.safetensors");
  assertEquals(patchSha256(await readPatch(folder.path)), await sha256OfFile(file));
});

Deno.test("a run without a patch says so in one sentence", async () => {
  await using folder = await temporaryFolder();
  const refused = async (part: string) => {
    const { message } = await assertRejects(() => readPatch(folder.path), InputError, part);
    assert(!message.includes("\n") && message.endsWith("."), message);
  };
  await refused("holds no patch.safetensors");
  await Deno.writeTextFile(join(folder.path, "config.json"), "{}");
  await refused("no run that has finished its update");
  await Deno.writeTextFile(join(folder.path, "update.json"), '{"best_step": 0}');
  await refused("no step of its update beat the unchanged model");
});
