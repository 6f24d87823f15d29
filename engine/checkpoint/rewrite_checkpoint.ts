/**
 * Copies a model folder with some rows of some matrices replaced, and their types where asked. Everything else keeps its
 * bytes, names, order and sharding. Only the new rows are held in memory; the rest streams through. R rows, I columns.
 */
import { dirname, join, relative, resolve } from "node:path";
import { InputError } from "../errors.ts";
import { writeFolder } from "../files.ts";
import { belongsToModel } from "./model_folder.ts";
import { narrowFromFloat32 } from "./rounding.ts";
import type { Checkpoint } from "./checkpoint.ts";
import {
  elementCount,
  type FloatType,
  SafetensorsFile,
  type TensorInfo,
  widenToFloat32,
} from "./safetensors_file.ts";

/** New rows of a matrix, in the type that the whole matrix is to have. */
export interface RowReplacement {
  readonly dtype: FloatType;
  /** Ascending. */
  readonly rows: Int32Array;
  /** [R, I] of `dtype` */
  readonly bytes: Uint8Array;
}

/** See rewriteCheckpoint. */
export interface RewriteOptions {
  /** Files of the source that stay out. */
  readonly omit?: readonly string[];
  /** Files of the source that are told to be left out. */
  readonly leaveOut?: RegExp;
  /** Contents of files that differ from the source's, by path within the folder. */
  readonly texts?: Readonly<Record<string, string>>;
  /** Metadata that files with changed matrices are to have, from what they had. */
  readonly metadata?: (had: Readonly<Record<string, string>>) => Record<string, string>;
  /** Header texts by path within the folder for files in which types change, so that a copy of a copy can be the original again. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Adds files before the folder counts as complete. */
  readonly finish?: (folder: string) => Promise<void>;
}

type Replacements = ReadonlyMap<string, RowReplacement>;

const pieceBytes = 4 * 2 ** 20;
const singleFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
/** Weights in formats that are not read here: a copy would still hold the old values. */
const otherWeights = /\.(bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|onnx_data|npz|pkl)$|\.bin\.index\.json$/;

/**
 * Writes the copy into `target`, which must be new or empty and gets config.json last, so that an unfinished copy does
 * not load. Linked files become files; subfolders come along, hidden ones (.git, .cache) do not. Returns what was left
 * out: files that hold the old weights in another form, linked folders, devices and pipes. Throws InputError for a target that
 * cannot be used, and for a link to a file that is not the model's.
 */
export async function rewriteCheckpoint(
  checkpoint: Checkpoint,
  target: string,
  replacements: Replacements,
  options: RewriteOptions = {},
): Promise<string[]> {
  const source = checkpoint.dir;
  const [from, to] = [await Deno.realPath(source), await realPathOf(resolve(target))];
  const inside = relative(from, to);
  if (inside === "" || !(inside.startsWith("..") || resolve(inside) === inside)) {
    throw new InputError(
      `"${target}" lies in the model folder "${source}"; choose a folder outside.`,
      "out",
    );
  }
  const ownFiles = new Set(checkpoint.names().map((name) => checkpoint.tensor(name)!.file));
  const leftOut: string[] = [];
  const copyFolder = async (folder: string, into: string) => {
    await Deno.mkdir(into, { recursive: true });
    for await (const { name, isSymlink } of Deno.readDir(folder)) {
      const path = join(folder, name);
      const shown = relative(source, path);
      if (options.omit?.includes(shown)) continue;
      if (options.leaveOut?.test(shown)) {
        leftOut.push(shown);
        continue;
      }
      const info = await Deno.stat(path).catch(() => {
        throw new InputError(`"${path}" is a link to nothing; download the model again.`);
      });
      if (info.isFile && isSymlink && !await belongsToModel(source, path)) {
        throw new InputError(
          `"${path}" is a link out of the model folder, and what it leads to is not copied; ` +
            "put the file itself there, or remove the link.",
        );
      }
      if (info.isDirectory) {
        if (isSymlink) leftOut.push(`${shown}/`);
        else if (!name.startsWith(".")) await copyFolder(path, join(into, name));
      } else if (!info.isFile) leftOut.push(shown);
      else if (ownFiles.has(path)) {
        await rewriteFile(path, join(into, name), replacements, options.headers?.[shown], options.metadata);
      } else if (options.texts?.[shown] !== undefined) {
        await Deno.writeTextFile(join(into, name), options.texts[shown]);
      } else if (shown === indexFile && !ownFiles.has(join(source, singleFile))) {
        const text = await Deno.readTextFile(path);
        await Deno.writeTextFile(join(into, name), resize(text, checkpoint, replacements));
      } else if (shown === indexFile || otherWeights.test(name) || await holdsOldValues(path, replacements)) {
        leftOut.push(shown);
      } else await Deno.copyFile(path, join(into, name));
    }
  };
  await writeFolder(target, "config.json", async (folder) => {
    await copyFolder(source, folder);
    await options.finish?.(folder);
  });
  return leftOut.sort();
}

/** The text of a safetensors file's header, padding included. */
export async function readHeaderText(path: string): Promise<string> {
  using file = await Deno.open(path);
  const length = new Uint8Array(8);
  await readFully(file, length, path);
  const text = new Uint8Array(Number(new DataView(length.buffer).getBigUint64(0, true)));
  await readFully(file, text, path);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(text);
}

/** Consecutive rows: `count` rows of the matrix from row `first` on are those from `at` on in the list. */
export function* rowRuns(rows: Int32Array): Generator<{ at: number; first: number; count: number }> {
  for (let at = 0; at < rows.length;) {
    let end = at + 1;
    while (end < rows.length && rows[end]! === rows[end - 1]! + 1) end++;
    yield { at, first: rows[at]!, count: end - at };
    at = end;
  }
}

/** A safetensors file beside the checkpoint's own that holds one of the changed matrices, or the usual second copy. */
async function holdsOldValues(path: string, replacements: Replacements): Promise<boolean> {
  if (!path.endsWith(".safetensors")) return false;
  if (/consolidated[^/\\]*$/.test(path)) return true;
  using file = await SafetensorsFile.open(path);
  return [...file.tensors.keys()].some((name) => replacements.has(name));
}

async function rewriteFile(
  from: string,
  to: string,
  replacements: Replacements,
  headerText?: string,
  newMetadata: RewriteOptions["metadata"] = undefined,
) {
  using source = await SafetensorsFile.open(from);
  using input = await Deno.open(from);
  using output = await Deno.open(to, { write: true, createNew: true });
  const typeOf = ({ name, dtype }: TensorInfo) => replacements.get(name)?.dtype ?? dtype;
  const infos = [...source.tensors.values()].sort((a, b) => a.byteStart - b.byteStart);
  // First byte of each tensor in the copy.
  const starts = new Map<string, number>();
  const isChanged = infos.some(({ name }) => replacements.has(name));
  const metadata = newMetadata && isChanged ? newMetadata(source.metadata) : source.metadata;
  if (infos.every((info) => typeOf(info) === info.dtype) && metadata === source.metadata) {
    const { size } = await input.stat();
    await copyBytes(input, output, 0, size, from);
    for (const { name, byteStart } of infos) starts.set(name, byteStart);
  } else {
    const text = new TextEncoder().encode(headerText ?? newHeader(source, infos, replacements, metadata));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
    await writeAll(output, length);
    await writeAll(output, text);
    let at = 8 + text.length;
    for (const info of infos) {
      starts.set(info.name, at);
      at += typeOf(info) === info.dtype
        ? await copyBytes(input, output, info.byteStart, info.byteEnd, from)
        : await convert(source, info, output, typeOf(info) as FloatType);
    }
  }
  for (const { name, shape } of infos) {
    const replacement = replacements.get(name);
    if (!replacement) continue;
    const rowBytes = replacement.bytes.length / replacement.rows.length;
    if (rowBytes !== shape[1]! * bytesOf[replacement.dtype]) {
      throw new RangeError(`Rows of "${name}" do not have ${shape[1]} columns`);
    }
    for (const { at, first, count } of rowRuns(replacement.rows)) {
      await output.seek(starts.get(name)! + first * rowBytes, Deno.SeekMode.Start);
      await writeAll(output, replacement.bytes.subarray(at * rowBytes, (at + count) * rowBytes));
    }
  }
  await output.sync();
}

const bytesOf = { F32: 4, F16: 2, BF16: 2 } as const;

/** A header with the new types and places, its tensors in the order of the source's. */
function newHeader(
  source: SafetensorsFile,
  infos: readonly TensorInfo[],
  replacements: Replacements,
  metadata: Readonly<Record<string, string>>,
): string {
  const places = new Map<string, [number, number]>();
  let end = 0;
  for (const { name, shape, byteStart, byteEnd } of infos) {
    const replacement = replacements.get(name);
    const size = replacement ? elementCount(shape) * bytesOf[replacement.dtype] : byteEnd - byteStart;
    places.set(name, [end, end += size]);
  }
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  for (const { name, dtype, shape } of source.tensors.values()) {
    header[name] = { dtype: replacements.get(name)?.dtype ?? dtype, shape, data_offsets: places.get(name) };
  }
  const json = JSON.stringify(header);
  const size = new TextEncoder().encode(json).length;
  return json + " ".repeat((8 - size % 8) % 8); // the tensors' data stay aligned to 8 bytes
}

/** The index with the total size that new types give; no other byte of it changes. */
function resize(index: string, checkpoint: Checkpoint, replacements: Replacements): string {
  let growth = 0;
  for (const [name, { dtype }] of replacements) {
    const { shape, byteStart, byteEnd } = checkpoint.tensor(name)!;
    growth += elementCount(shape) * bytesOf[dtype] - (byteEnd - byteStart);
  }
  if (growth === 0) return index;
  return index.replace(
    /("total_size"\s*:\s*)(\d+)/,
    (_, key: string, size: string) => `${key}${Number(size) + growth}`,
  );
}

/** Copies bytes `start` to `end` to where `output` stands; returns how many. */
async function copyBytes(input: Deno.FsFile, output: Deno.FsFile, start: number, end: number, path: string) {
  await input.seek(start, Deno.SeekMode.Start);
  const piece = new Uint8Array(Math.min(pieceBytes, end - start));
  for (let left = end - start; left > 0;) {
    const part = piece.subarray(0, Math.min(left, piece.length));
    await readFully(input, part, path);
    await writeAll(output, part);
    left -= part.length;
  }
  return end - start;
}

/** Writes all of a tensor in another type; returns the bytes. */
async function convert(source: SafetensorsFile, info: TensorInfo, output: Deno.FsFile, dtype: FloatType) {
  const elements = elementCount(info.shape);
  const pieceElements = pieceBytes / 4;
  for (let at = 0; at < elements; at += pieceElements) {
    const raw = await source.read(info, at, Math.min(pieceElements, elements - at));
    await writeAll(output, narrowFromFloat32(widenToFloat32(raw, info.dtype as FloatType), dtype));
  }
  return elements * bytesOf[dtype];
}

async function readFully(file: Deno.FsFile, into: Uint8Array, path: string) {
  for (let at = 0; at < into.length;) {
    const count = await file.read(into.subarray(at));
    if (count === null) {
      throw new InputError(`File "${path}" became shorter while it was copied; run it again.`);
    }
    at += count;
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array) {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** The real path of something that need not be there yet. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    if (!isMissing || dirname(path) === path) throw error;
    return join(await realPathOf(dirname(path)), path.slice(dirname(path).length));
  }
}
