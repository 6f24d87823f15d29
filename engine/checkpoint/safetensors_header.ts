/**
 * The header of a safetensors file: 8 bytes of length, then JSON that gives dtype, shape and byte range of each tensor by
 * name. A file is refused for what the official reader refuses it for (https://github.com/huggingface/safetensors,
 * tensor.rs), with one exception: a type nobody here knows is no fault of the tensors beside it.
 */
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { describe, parseJson } from "../json_objects.ts";
import { repeatedKey } from "./repeated_key.ts";

/** Bits of one element, by the names of the format. */
// deno-fmt-ignore
const elementBits = {
  BOOL: 8, U8: 8, I8: 8, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4, F6_E2M3: 6,
  F6_E3M2: 6, U16: 16, I16: 16, F16: 16, BF16: 16, U32: 32, I32: 32, F32: 32, C64: 64, U64: 64, I64: 64, F64: 64,
} as const;

/** Element type of a stored tensor: one of those the format has today, or a newer one, whose size is not known. */
export type DType = string;

/** Element types that weights may have. */
export type FloatType = "F32" | "F16" | "BF16";

/** Where one tensor lies. */
export interface TensorInfo {
  /** In the file. */
  readonly name: string;
  /** Element type, as the file spells it. */
  readonly dtype: DType;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  /** Path of the file that holds it. */
  readonly file: string;
  /** First byte of its data, counted from the start of the file. */
  readonly byteStart: number;
  /** One past its last byte. */
  readonly byteEnd: number;
}

/** What a header says. */
export interface Header {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The official reader's limit. */
export const mostHeaderBytes = 100_000_000;

const natural = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string().max(40),
  shape: z.array(natural),
  data_offsets: z.tuple([natural, natural]),
});
const headerSchema = z.looseObject({ __metadata__: z.record(z.string(), z.string()).nullish() });

/** Bits of one element of this type; undefined for a type that is not known. */
export function bitsOf(dtype: DType): number | undefined {
  return Object.hasOwn(elementBits, dtype) ? elementBits[dtype as keyof typeof elementBits] : undefined;
}

/** Number of elements of a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Whether a tensor of this type can serve as a weight. */
export function isFloat(dtype: DType): dtype is FloatType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** A shape as messages show it. */
export function showShape(shape: readonly number[]): string {
  const some = shape.slice(0, 8).join(", ");
  return shape.length > 8 ? `[${some}, … ${shape.length} dimensions]` : `[${some}]`;
}

/** The error for a tensor whose type is of no use where it is wanted. */
export function wrongType({ name, file, dtype }: TensorInfo): InputError {
  return new InputError(
    `Tensor "${name}" in file "${file}" is stored as ${dtype}, but only F32, F16 and BF16 can be used here; ` +
      "convert it to one of them.",
  );
}

/**
 * Reads a header's JSON, whose tensors' data begin at byte `dataStart` of a file of `size` bytes. Undefined when the bytes
 * are no header at all.
 * @throws {InputError} naming the tensor that is to blame.
 */
export function parseHeader(
  bytes: Uint8Array,
  path: string,
  dataStart: number,
  size: number,
): Header | undefined {
  let text: string, json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    json = parseJson(text);
  } catch {
    return undefined;
  }
  const { data: header } = headerSchema.safeParse(json);
  if (header === undefined) return undefined;
  const twice = repeatedKey(text);
  if (twice !== undefined) {
    throw new InputError(
      `File "${path}" names ${
        JSON.stringify(twice)
      } twice in its header, so nobody can tell which is meant; ` +
        "download it again or write it anew.",
    );
  }
  const { __metadata__, ...entries } = header;
  const tensors = Object.entries(entries).map(([name, entry]) =>
    checkEntry(name, entry, path, dataStart, size)
  );
  checkCoverage(tensors, path, dataStart, size);
  return { tensors: new Map(tensors.map((info) => [info.name, info])), metadata: __metadata__ ?? {} };
}

function checkEntry(name: string, entry: unknown, path: string, dataStart: number, size: number): TensorInfo {
  const refusal = (fault: string) =>
    new InputError(`Tensor "${name}" in file "${path}" ${fault}; download it again.`);
  const { data, error } = entrySchema.safeParse(entry);
  if (error) {
    const [field] = error.issues[0]!.path;
    if (field === undefined) throw refusal(`has ${describe(entry)} for an entry`);
    const value = (entry as Record<PropertyKey, unknown>)[field];
    throw refusal(`has ${describe(value)} for its ${String(field)}`);
  }
  const { dtype, shape, data_offsets: [start, end] } = data;
  if (dataStart + end > size) {
    throw refusal(`ends at byte ${dataStart + end} but the file has only ${size}, so it is truncated`);
  }
  const bits = bitsOf(dtype);
  if (bits === undefined) {
    if (end < start) throw refusal(`ends ${start - end} bytes before it begins`);
  } else {
    const needed = elementCount(shape) * bits / 8;
    if (end - start !== needed) {
      throw refusal(`spans ${end - start} bytes where shape ${showShape(shape)} of ${dtype} needs ${needed}`);
    }
  }
  return { name, dtype, shape, file: path, byteStart: dataStart + start, byteEnd: dataStart + end };
}

/** Tensors must lie one behind the other and fill the file: neither share bytes nor leave any that belong to none. */
function checkCoverage(tensors: readonly TensorInfo[], path: string, dataStart: number, size: number) {
  const ordered = tensors.toSorted((a, b) => a.byteStart - b.byteStart || a.byteEnd - b.byteEnd);
  let end = dataStart;
  let before: string | undefined;
  for (const { name, byteStart, byteEnd } of ordered) {
    if (byteStart !== end) {
      const fault = byteStart < end
        ? `begins inside of tensor "${before}"`
        : `leaves ${byteStart - end} bytes before it that belong to no tensor`;
      throw new InputError(
        `Tensor "${name}" in file "${path}" ${fault}; download it again or write it anew.`,
      );
    }
    [end, before] = [byteEnd, name];
  }
  if (end !== size) {
    throw new InputError(
      `File "${path}" has ${size - end} bytes after its last tensor that belong to none; download it again.`,
    );
  }
}
