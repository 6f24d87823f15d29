/** Copies a model folder with some tensors replaced; everything else keeps its bytes, names, order and sharding. */
import { join } from "node:path";
import { type FloatType, SafetensorsFile } from "./safetensors_file.ts";

/** New contents of a tensor of unchanged shape. */
export interface Replacement {
  readonly dtype: FloatType;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const pieceBytes = 16 * 2 ** 20;

/** Writes the copy file by file, each under a temporary name until it is complete; files named in `omit` stay out. */
export async function rewriteCheckpoint(
  source: string,
  target: string,
  replacements: ReadonlyMap<string, Replacement>,
  omit: readonly string[] = [],
): Promise<void> {
  for await (const { name } of Deno.readDir(source)) {
    const [from, to] = [join(source, name), join(target, name)];
    // In a snapshot of the Hugging Face hub files are links.
    const isFile = await Deno.stat(from).then((info) => info.isFile, () => false);
    if (!isFile || omit.includes(name)) continue;
    if (name.endsWith(".safetensors")) await rewriteFile(from, `${to}.part`, replacements);
    else await Deno.copyFile(from, `${to}.part`);
    await Deno.rename(`${to}.part`, to);
  }
}

async function rewriteFile(from: string, to: string, replacements: ReadonlyMap<string, Replacement>) {
  using source = await SafetensorsFile.open(from);
  const infos = [...source.tensors.values()].sort((a, b) => a.byteStart - b.byteStart);
  const header: Record<string, unknown> = {};
  if (Object.keys(source.metadata).length > 0) header.__metadata__ = source.metadata;
  let offset = 0;
  for (const { name, dtype, shape, byteStart, byteEnd } of infos) {
    const replacement = replacements.get(name);
    const size = replacement?.bytes.length ?? byteEnd - byteStart;
    header[name] = { dtype: replacement?.dtype ?? dtype, shape, data_offsets: [offset, offset + size] };
    offset += size;
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(
    json.padEnd(json.length + (8 - new TextEncoder().encode(json).length % 8) % 8),
  );
  using input = await Deno.open(from, { read: true });
  using output = await Deno.open(to, { write: true, create: true, truncate: true });
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  await writeAll(output, length);
  await writeAll(output, text);
  for (const { name, byteStart, byteEnd } of infos) {
    const replacement = replacements.get(name);
    if (replacement) {
      await writeAll(output, replacement.bytes);
      continue;
    }
    await input.seek(byteStart, Deno.SeekMode.Start);
    for (let left = byteEnd - byteStart; left > 0;) {
      const piece = new Uint8Array(Math.min(left, pieceBytes));
      const count = await input.read(piece);
      if (count === null) throw new Error(`${from} became shorter while it was copied.`);
      await writeAll(output, piece.subarray(0, count));
      left -= count;
    }
  }
  await output.sync();
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array) {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
