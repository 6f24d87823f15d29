/**
 * Random checkpoints of real size, for checks that need true widths but no trained weights: bf16, in several shards with
 * an index as Hugging Face writes them, streamed to disk in bounded pieces. The same seed gives the same bytes.
 */
import { join } from "node:path";
import type { ModelConfig } from "../model/architecture.ts";
import { type ParameterShape, parameterShapes } from "../model/parameter_shapes.ts";
import { elementCount, encodeHeader, writeAll } from "../checkpoint/checkpoint.ts";
import { seededRandom } from "../random.ts";

/** What was written. */
export interface WrittenCheckpoint {
  /** Number of files. */
  readonly shards: number;
  /** Number of values. */
  readonly parameters: number;
  /** Bytes of all files. */
  readonly bytes: number;
}

/** How the values of one parameter are spread: normally around `mean`. */
interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

const pieceElements = 8 * 2 ** 20;
/** Shards hold at most this share of the whole, except where one tensor is larger. */
const shards = 3;

/**
 * Writes config.json, shards and index of a model with these sizes into an existing folder. `config` is the object that
 * goes into config.json, `parsed` what it describes.
 */
export async function writeRandomCheckpoint(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  parsed: ModelConfig,
  seed: number,
): Promise<WrittenCheckpoint> {
  const groups = intoShards(parameterShapes(parsed));
  const deviates = normalDeviates(seed);
  const weightMap: Record<string, string> = {};
  let parameters = 0;
  for (const [g, group] of groups.entries()) {
    const number = (n: number) => String(n).padStart(5, "0");
    const file = `model-${number(g + 1)}-of-${number(groups.length)}.safetensors`;
    await writeShard(join(folder, file), group, (parameter) => ({
      seed: `${seed}/${parameter.name}`,
      table: spreadTable(deviates, spreadOf(parameter, parsed)),
    }));
    for (const { name, shape } of group) {
      weightMap[name] = file;
      parameters += elementCount(shape);
    }
  }
  const index = { metadata: { total_size: parameters * 2 }, weight_map: weightMap };
  const json = (value: unknown) => JSON.stringify(value, null, 2) + "\n";
  await Deno.writeTextFile(join(folder, "model.safetensors.index.json"), json(index));
  await Deno.writeTextFile(join(folder, "config.json"), json({ ...config, torch_dtype: "bfloat16" }));
  return { shards: groups.length, parameters, bytes: parameters * 2 };
}

/**
 * Spreads that make every part of the computation show in the result. A matrix keeps the size of what it is applied to;
 * q and k are larger, so that attention is far from uniform and its soft cap bends; so is the final gain, for the logits'.
 */
function spreadOf({ name, shape }: ParameterShape, { architecture }: ModelConfig): Spread {
  const columns = shape[1];
  if (columns !== undefined) {
    return { mean: 0, deviation: (/\.[qk]_proj\./.test(name) ? 2 : 1) / Math.sqrt(columns) };
  }
  if (name.endsWith(".bias")) return { mean: 0, deviation: 0.5 };
  const gain = name === "model.norm.weight" ? 4 : /\.[qk]_norm\./.test(name) ? 2 : 1;
  return { mean: gain - architecture.normOffset, deviation: 0.25 * gain };
}

/** Parameters in order, each shard filled to its share. */
function intoShards(parameters: readonly ParameterShape[]): ParameterShape[][] {
  const total = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const groups: ParameterShape[][] = [];
  let filled = Infinity;
  for (const parameter of parameters) {
    const size = elementCount(parameter.shape);
    if (filled + size > total / shards) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)!.push(parameter);
    filled += size;
  }
  return groups;
}

async function writeShard(
  path: string,
  parameters: readonly ParameterShape[],
  source: (parameter: ParameterShape) => { seed: string; table: Uint16Array },
) {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const { name, shape } of parameters) {
    header[name] = { dtype: "BF16", shape, data_offsets: [end, end += elementCount(shape) * 2] };
  }
  using file = await Deno.open(path, { write: true, createNew: true });
  await writeAll(file, encodeHeader(header));
  const piece = new Uint16Array(pieceElements);
  for (const parameter of parameters) {
    const { seed, table } = source(parameter);
    const random = seededRandom(seed);
    for (let left = elementCount(parameter.shape); left > 0; left -= piece.length) {
      const part = piece.subarray(0, left);
      fillFromTable(part, table, random);
      await writeAll(file, new Uint8Array(part.buffer, 0, part.byteLength));
    }
  }
}

/** Each number of `random` has 32 bits, enough to pick two entries of the table of 65,536. */
function fillFromTable(part: Uint16Array, table: Uint16Array, random: () => number) {
  for (let i = 0; i < part.length; i += 2) {
    const bits = random() * 2 ** 32;
    part[i] = table[bits & 0xffff]!;
    part[i + 1] = table[bits >>> 16]!; // past the end of an odd part it is dropped
  }
}

/** 65,536 numbers that are normally distributed, by Box and Muller's transform. */
function normalDeviates(seed: number): Float64Array {
  const random = seededRandom(`${seed}/normal deviates`);
  return Float64Array.from(
    { length: 2 ** 16 },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

/** The same around a mean, as bf16: the upper halves of their float32 bits. */
function spreadTable(deviates: Float64Array, { mean, deviation }: Spread): Uint16Array {
  const values = Float32Array.from(deviates, (deviate) => mean + deviation * deviate);
  return Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
}
