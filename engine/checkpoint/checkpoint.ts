/**
 * The weights of a model folder, in one safetensors file or in shards. The file format itself lives in
 * safetensors_file.ts and can be imported from here too.
 */
import { isAbsolute, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";
import { isInside } from "./model_folder.ts";
import {
  elementCount,
  type FloatType,
  isFloat,
  SafetensorsFile,
  showShape,
  type TensorInfo,
  widenToFloat32,
  wrongType,
} from "./safetensors_file.ts";

export {
  type DType,
  elementCount,
  encodeHeader,
  type FloatType,
  isFloat,
  type LoadedTensor,
  readTensors,
  SafetensorsFile,
  safetensorsPieces,
  showShape,
  type TensorInfo,
  type TensorToWrite,
  widenToFloat32,
  writeAll,
  writeSafetensors,
  wrongType,
} from "./safetensors_file.ts";

const singleFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** The weights of a model folder, in one safetensors file or several; close it, or hold it with `using`. */
export class Checkpoint {
  readonly #files: DisposableStack;
  readonly #byPath: ReadonlyMap<string, SafetensorsFile>;
  readonly #tensors: ReadonlyMap<string, TensorInfo>;

  private constructor(
    readonly dir: string,
    files: DisposableStack,
    byPath: ReadonlyMap<string, SafetensorsFile>,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.#files = files;
    this.#byPath = byPath;
    this.#tensors = tensors;
  }

  /**
   * Opens `model.safetensors` in `dir`, or the shards that `model.safetensors.index.json` lists. Throws
   * InputError when the folder or a shard is missing, a shard lacks a tensor the index puts there, two shards hold one,
   * or a file is damaged.
   */
  static async open(dir: string): Promise<Checkpoint> {
    const entries = await entriesOf(dir);
    using files = new DisposableStack();
    const byPath = new Map<string, SafetensorsFile>();
    const openFile = async (path: string) => {
      const file = files.use(await SafetensorsFile.open(path));
      byPath.set(path, file);
      return file;
    };
    if (entries.has(singleFile)) {
      const { tensors } = await openFile(join(dir, singleFile));
      return new Checkpoint(dir, files.move(), byPath, tensors);
    }
    const index = await readIndex(dir, entries);
    for (const shard of new Set(index.values())) await openFile(await shardPath(dir, shard));
    const tensors = new Map<string, TensorInfo>();
    for (const [name, shard] of index) {
      const path = join(dir, shard);
      const info = byPath.get(path)!.tensors.get(name);
      if (info === undefined) {
        throw new InputError(
          `Tensor "${name}" is not in shard "${path}" where ${indexFile} puts it; download both again.`,
        );
      }
      tensors.set(name, info);
    }
    // The index may forget tensors, but shards are read whole everywhere else, so these count too.
    for (const [path, file] of byPath) {
      for (const [name, info] of file.tensors) {
        const other = tensors.get(name) ?? info;
        if (other.file !== path) {
          throw new InputError(
            `Tensor "${name}" is both in shard "${other.file}" and in "${path}", so nobody can tell which is meant; ` +
              "download the whole model again.",
          );
        }
        tensors.set(name, info);
      }
    }
    return new Checkpoint(dir, files.move(), byPath, tensors);
  }

  /** Names of all tensors. */
  names(): string[] {
    return [...this.#tensors.keys()];
  }

  /** A tensor of any type, or undefined when there is none of that name. */
  tensor(name: string): TensorInfo | undefined {
    return this.#tensors.get(name);
  }

  /**
   * The weight of this name. Throws InputError when it is missing, has another shape or is not stored as
   * F32, F16 or BF16.
   */
  require(name: string, shape: readonly number[]): TensorInfo {
    const info = this.#weight(name);
    if (info.shape.join() !== shape.join()) {
      throw new InputError(
        `Tensor "${name}" in file "${info.file}" has shape ${showShape(info.shape)} where config.json ` +
          `makes it ${showShape(shape)}; check that config.json belongs to these weights.`,
      );
    }
    return info;
  }

  /** The stored bytes of `count` elements from element `from` on; see SafetensorsFile.read. */
  async readRaw(info: TensorInfo, from: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.#byPath.get(info.file);
    if (file === undefined) {
      throw new RangeError(`Tensor "${info.name}" is not from model folder "${this.dir}"`);
    }
    return await file.read(info, from, count);
  }

  /** All elements of a weight as float32, exactly. Throws InputError when it is missing or no float. */
  async readFloat32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const info = this.#weight(name);
    return widenToFloat32(await this.readRaw(info, 0, elementCount(info.shape)), info.dtype as FloatType);
  }

  /** Closes its files. */
  close(): void {
    this.#files.dispose();
  }

  /** Closes its files. */
  [Symbol.dispose](): void {
    this.close();
  }

  #weight(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (info === undefined) {
      throw new InputError(
        `Tensor "${name}" is missing from model folder "${this.dir}"; ` +
          "check that config.json belongs to its weights.",
      );
    }
    if (!isFloat(info.dtype)) throw wrongType(info);
    return info;
  }
}

async function entriesOf(dir: string): Promise<Set<string>> {
  try {
    return new Set((await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name));
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    if (!missing && !(error instanceof Deno.errors.NotADirectory)) throw error;
    const fault = missing ? "does not exist" : "is not a folder";
    throw new InputError(`Model folder "${dir}" ${fault}; pass one in Hugging Face layout.`);
  }
}

/** The path of a shard that the index names, which may lie in a subfolder. Throws InputError when it is not there. */
async function shardPath(dir: string, shard: string): Promise<string> {
  const path = join(dir, shard);
  if (isAbsolute(shard) || !isInside(dir, path)) {
    throw new InputError(
      `Shard "${shard}" named in "${join(dir, indexFile)}" lies outside of the model folder; move it inside.`,
    );
  }
  // A link to nothing is told apart from nothing when it is opened.
  if (await Deno.lstat(path).then(() => true, () => false)) return path;
  throw new InputError(
    `Shard "${shard}" named in "${join(dir, indexFile)}" is missing; download the whole model again.`,
  );
}

/** Shards by the names of the tensors in them. */
async function readIndex(dir: string, entries: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
  const map = await readWeightMap(join(dir, indexFile));
  if (map === undefined) {
    const pickle = [...entries].filter((name) => /\.(bin|pt|pth)$/.test(name)).sort()[0];
    throw new InputError(
      pickle === undefined
        ? `Model folder "${dir}" holds neither ${singleFile} nor ${indexFile}; download the weights into it.`
        : `Model folder "${dir}" holds pickled weights ("${pickle}"), but only safetensors are read; ` +
          "convert or download them in that format.",
    );
  }
  return map;
}

/** The "weight_map" of an index file, from tensors to shards; undefined when there is no file. Throws InputError. */
export async function readWeightMap(path: string): Promise<ReadonlyMap<string, string> | undefined> {
  const index = await readJsonObject(path);
  if (index === undefined) return undefined;
  const { data, error } = indexSchema.safeParse(index);
  if (error) {
    throw new InputError(
      `File "${path}" has no usable "weight_map" from tensors to shards; download it again.`,
    );
  }
  return new Map(Object.entries(data.weight_map));
}
