/** Patches made without a GPU, and comparing folders byte by byte. R rows, I columns. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { readBases } from "../../engine/patch/base_rows.ts";
import { baseFingerprint, type Patch, type PatchTensor } from "../../engine/patch/patch.ts";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { seededRandom } from "../../engine/random.ts";

/** Some rows of some matrices of every layer, changed by up to `size`; every fifth value of them stays. */
export async function madePatch(model: string, size: number): Promise<Patch> {
  using checkpoint = await Checkpoint.open(model);
  const random = seededRandom("made patch");
  const tensors: PatchTensor[] = [];
  const bases = new Map<string, Float32Array<ArrayBuffer>>();
  const layers = checkpoint.names().filter((name) => name.endsWith("q_proj.weight")).length;
  for (let l = 0; l < layers; l++) {
    for (const matrix of ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"]) {
      const name = `model.layers.${l}.${matrix}.weight`;
      const [rows, columns] = checkpoint.tensor(name)!.shape as [number, number];
      const chosen = Int32Array.from([0, 3, 4, 5, rows - 1]);
      const delta = new Float32Array(chosen.length * columns).map((_, i) =>
        i % 5 ? size * (2 * random() - 1) : 0
      );
      const data = await checkpoint.readFloat32(name);
      const base = new Float32Array(chosen.length * columns);
      chosen.forEach((row, r) => base.set(data.subarray(row * columns, (row + 1) * columns), r * columns));
      bases.set(name, base);
      tensors.push({ name, rows: chosen, delta, columns });
    }
  }
  return { tensors, base_sha256: baseFingerprint({ tensors }, ({ name }) => bases.get(name)!) };
}

/** The same patch with a fingerprint for other weights. */
export const foreign = (patch: Patch): Patch => ({ ...patch, base_sha256: "0".repeat(64) });

/** Files under a folder, by their path in it. */
export async function filesUnder(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, prefix))) {
    if (isDirectory) found.push(...await filesUnder(folder, join(prefix, name)));
    else found.push(join(prefix, name));
  }
  return found.sort();
}

/** Demands that two folders hold the same files with the same bytes, except for `differing`. */
export async function assertSameFolder(actual: string, expected: string, differing: readonly string[] = []) {
  assertEquals(await filesUnder(actual), await filesUnder(expected));
  for (const name of await filesUnder(expected)) {
    if (differing.includes(name)) continue;
    assertEquals(await Deno.readFile(join(actual, name)), await Deno.readFile(join(expected, name)), name);
  }
}

/** The tensors' bytes in a model folder's safetensors files that a patch does not touch, zero where it does; and those it does. */
export async function splitBytes(
  model: string,
  patch: Patch,
): Promise<Map<string, { rest: Uint8Array; changed: Uint8Array }>> {
  using checkpoint = await Checkpoint.open(model);
  const files = new Set(checkpoint.names().map((name) => checkpoint.tensor(name)!.file));
  const split = new Map<string, { rest: Uint8Array; changed: Uint8Array }>();
  for (const file of [...files].sort()) {
    const rest = await Deno.readFile(file);
    const changed = new Uint8Array(rest.length);
    for (const { name, rows } of patch.tensors) {
      const info = checkpoint.tensor(name)!;
      if (info.file !== file) continue;
      const rowBytes = (info.byteEnd - info.byteStart) / info.shape[0]!;
      for (const row of rows) {
        const [start, end] = [info.byteStart + row * rowBytes, info.byteStart + (row + 1) * rowBytes];
        changed.set(rest.subarray(start, end), start);
        rest.fill(0, start, end);
      }
    }
    const first = Math.min(
      ...checkpoint.names().map((name) => checkpoint.tensor(name)!).filter((info) => info.file === file)
        .map(({ byteStart }) => byteStart),
    );
    split.set(file.slice(model.length + 1), { rest: rest.subarray(first), changed: changed.subarray(first) });
  }
  return split;
}

/** Some rows of a patch, by matrix and place among its changed rows. */
export async function partOfPatch(
  model: string,
  { tensors }: Patch,
  has: (name: string, r: number) => boolean,
): Promise<Patch> {
  using checkpoint = await Checkpoint.open(model);
  const part = tensors.flatMap(({ name, rows, delta, columns }): PatchTensor[] => {
    const own = [...rows.keys()].filter((r) => has(name, r));
    const values = own.flatMap((r) => [...delta.subarray(r * columns, (r + 1) * columns)]);
    const chosen = Int32Array.from(own, (r) => rows[r]!);
    return own.length > 0 ? [{ name, rows: chosen, delta: Float32Array.from(values), columns }] : [];
  });
  return { tensors: part, base_sha256: await readBases(checkpoint, { tensors: part }) };
}
