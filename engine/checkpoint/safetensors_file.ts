/**
 * One safetensors file (https://huggingface.co/docs/safetensors), read or written: a header (safetensors_header.ts), then
 * the tensors' bytes, row-major and little-endian like every machine with WebGPU. Tensors are read range by range, never the file whole, so that
 * models larger than memory can be streamed.
 */
import { basename, dirname, join } from "node:path";
import { InputError } from "../errors.ts";
import { unreadable } from "../whole_file.ts";
import { mistakenContents } from "../file_contents.ts";
import { linkTarget, writingProblem } from "../files.ts";
import {
  bitsOf,
  type DType,
  elementCount,
  type FloatType,
  type Header,
  isFloat,
  mostHeaderBytes,
  parseHeader,
  showShape,
  type TensorInfo,
  wrongType,
} from "./safetensors_header.ts";

export {
  type DType,
  elementCount,
  type FloatType,
  isFloat,
  showShape,
  type TensorInfo,
  wrongType,
} from "./safetensors_header.ts";

/** A tensor in memory: Int32Array for I32, otherwise float32. */
export interface LoadedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

/** A tensor to write: Float32Array for F32, Int32Array for I32, the bits as Uint16Array for F16 and BF16. */
export interface TensorToWrite {
  readonly dtype: "F32" | "I32" | "F16" | "BF16";
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint16Array;
}

/** How the data of each type that can be written is held in memory. */
const arrayTypes = { F32: Float32Array, I32: Int32Array, F16: Uint16Array, BF16: Uint16Array } as const;

/** One open safetensors file; close it, or hold it with `using`. */
export class SafetensorsFile {
  /** Reads share one file position, so each waits for the one before. */
  #lastRead: Promise<unknown> = Promise.resolve();
  #handle: Deno.FsFile;

  private constructor(
    handle: Deno.FsFile,
    readonly path: string,
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    readonly metadata: Readonly<Record<string, string>>,
  ) {
    this.#handle = handle;
  }

  /**
   * Opens a file and checks its header against its size. Throws InputError when the file is missing, truncated
   * or not safetensors, naming the tensor where one is to blame, or what the file is instead.
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await openToRead(path);
    try {
      const { isFile, size } = await handle.stat();
      if (!isFile) throw new InputError(`Path "${path}" is not a file; pass the path of a safetensors file.`);
      const { tensors, metadata } = await readHeader(handle, path, size);
      return new SafetensorsFile(handle, path, tensors, metadata);
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  /**
   * The stored bytes of `count` elements of a tensor, beginning with element `from` in row-major order.
   * Throws RangeError when they lie outside of the tensor, InputError when the file has been cut short since or
   * elements of the tensor's type do not fill whole bytes.
   */
  async read(info: TensorInfo, from: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const size = (bitsOf(info.dtype) ?? 0) / 8;
    if (size < 1) throw wrongType(info);
    const start = info.byteStart + from * size;
    if (from < 0 || count < 0 || start + count * size > info.byteEnd) {
      throw new RangeError(`Elements ${from} to ${from + count} are outside of tensor "${info.name}"`);
    }
    const read = this.#lastRead.then(() => readAt(this.#handle, this.path, start, count * size));
    this.#lastRead = read.catch(() => {});
    return await read;
  }

  close(): void {
    this.#handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Every tensor of a small file. Throws InputError when it is damaged or holds other types than floats and I32. */
export async function readTensors(path: string): Promise<Map<string, LoadedTensor>> {
  using file = await SafetensorsFile.open(path);
  const loaded = new Map<string, LoadedTensor>();
  for (const [name, info] of file.tensors) {
    const { dtype, shape } = info;
    const bytes = await file.read(info, 0, elementCount(shape));
    if (dtype !== "I32" && !isFloat(dtype)) throw wrongType(info);
    const data = isFloat(dtype) ? widenToFloat32(bytes, dtype) : new Int32Array(bytes.buffer);
    loaded.set(name, { dtype, shape, data });
  }
  return loaded;
}

/** Widens stored floats to float32, which holds every F16 and BF16 value. F32 bytes are viewed, not copied. */
export function widenToFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: FloatType): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  if (dtype === "F16") return new Float32Array(new Float16Array(buffer, byteOffset, byteLength / 2));
  // BF16 is the upper half of a float32.
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}

/**
 * Writes tensors in the given order. The file appears whole or not at all: bytes go to a temporary file beside
 * it, which is flushed to disk and renamed. Throws RangeError for data whose type or length does not fit dtype
 * and shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const pieces = safetensorsPieces(tensors, metadata);
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}`);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      for (const piece of pieces) await writeAll(file, piece);
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw writingProblem(path, error);
  }
}

/** The bytes of the file that writeSafetensors writes, piece by piece. Throws RangeError like it. */
export function safetensorsPieces(
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array[] {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    if (!(data instanceof arrayTypes[dtype]) || data.length !== elementCount(shape)) {
      throw new RangeError(`Tensor "${name}" has data that is not ${dtype} of shape ${showShape(shape)}`);
    }
    header[name] = { dtype, shape, data_offsets: [end, end += data.byteLength] };
  }
  const data = Object.values(tensors).map(({ data }) =>
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  );
  return [encodeHeader(header), ...data];
}

/** The bytes of a file ahead of its tensors' data: the length of the JSON header, and the header. */
export function encodeHeader(header: Readonly<Record<string, unknown>>): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Spaces after the JSON keep the tensors' data aligned to 8 bytes.
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  return head;
}

async function openToRead(path: string): Promise<Deno.FsFile> {
  try {
    // Opening a pipe would wait for someone to write into it.
    const { isFile, isDirectory } = await Deno.stat(path);
    if (!isFile && !isDirectory) throw new InputError(`"${path}" is a device or pipe; give a file.`);
    return await Deno.open(path);
  } catch (error) {
    if (error instanceof InputError) throw error;
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
      throw unreadable(path, error);
    }
    const target = await linkTarget(path);
    throw new InputError(
      target === undefined
        ? `File "${path}" does not exist; pass the path of a safetensors file.`
        : `File "${path}" is a link to "${target}", which does not exist; download it again.`,
    );
  }
}

async function readHeader(handle: Deno.FsFile, path: string, size: number): Promise<Header> {
  /** The refusal of a file that is none of ours: what it is, if that can be told, else `fault`. */
  const refusal = async (fault: string) => {
    const mistaken = mistakenContents(await readAt(handle, path, 0, Math.min(size, 512)));
    return new InputError(
      mistaken
        ? `File "${path}" is ${mistaken.is}, where safetensors are needed; ${mistaken.remedy}.`
        : `File "${path}" ${fault}; download it again.`,
    );
  };
  if (size < 8) {
    throw await refusal(
      size === 0 ? "is empty" : `is only ${size} bytes long, too short for a safetensors file`,
    );
  }
  const length = Number(new DataView((await readAt(handle, path, 0, 8)).buffer).getBigUint64(0, true));
  if (length > size - 8) {
    throw await refusal(
      `announces a header of ${length} bytes but is only ${size} bytes long, ` +
        "so it is truncated or no safetensors file",
    );
  }
  if (length > mostHeaderBytes) {
    throw await refusal(
      `announces a header of ${length} bytes, where safetensors allow ${mostHeaderBytes} at most`,
    );
  }
  const header = parseHeader(await readAt(handle, path, 8, length), path, 8 + length, size);
  if (header === undefined) {
    throw await refusal("has a header that is not safetensors JSON, so it is damaged or of another format");
  }
  return header;
}

async function readAt(handle: Deno.FsFile, path: string, start: number, length: number) {
  const bytes = new Uint8Array(length);
  await handle.seek(start, Deno.SeekMode.Start);
  for (let filled = 0; filled < length;) {
    const got = await handle.read(bytes.subarray(filled));
    if (got === null) {
      throw new InputError(`File "${path}" was cut short while it was being read; download it again.`);
    }
    filled += got;
  }
  return bytes;
}

/** Writes all of `bytes`, however many the system takes at a time. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
}
