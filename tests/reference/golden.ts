/**
 * Reads the golden folders under fixtures/golden as float64, for tests; fixtures/golden/README.md says what they
 * hold. The few lines that read safetensors are the tests' own, so that a fault in the engine's reader shows.
 */

import { fileURLToPath } from "node:url";
import { join } from "node:path";
import type { ModelConfig } from "../../engine/model/architecture.ts";
import { readConfig } from "../../engine/model/config.ts";
import type { ReferenceExample } from "../../engine/reference/objectives.ts";

/** One localization example as cases.json spells it. */
interface GoldenExample {
  readonly prefix_ids: number[];
  readonly desired_token: number;
  readonly undesired_token: number;
}

/** The parts of cases.json that tests read. */
export interface GoldenCases {
  readonly logits: { readonly input_ids: number[][]; readonly left_padding: number[] };
  readonly greedy: {
    readonly prompts: number[][];
    readonly max_new_tokens: number;
    readonly expected: number[][];
  };
  readonly dcm: {
    readonly localization: GoldenExample[];
    readonly train: { readonly reg_coeff: number; readonly steps: number; readonly losses_with_l1: number[] };
  };
  readonly update: {
    readonly localization: GoldenExample[];
    readonly sgd: { readonly steps: number; readonly lr: number };
    readonly adamw: {
      readonly steps: number;
      readonly lr: number;
      readonly betas: [number, number];
      readonly eps: number;
      readonly weight_decay: number;
    };
  };
}

/** A tensor widened to float64, row-major. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export interface Golden {
  readonly name: string;
  /** Path of the folder. */
  readonly dir: string;
  readonly config: ModelConfig;
  readonly cases: GoldenCases;
  /** By Hugging Face name. */
  readonly weights: Map<string, Float64Array>;
  readonly expected: Map<string, GoldenTensor>;
  /** Gradient of the update loss by weight name. */
  readonly fullGradients: Map<string, GoldenTensor>;
}

const root = fileURLToPath(new URL("../../fixtures/golden", import.meta.url));

/** Names of the golden folders, sorted. */
export const goldenNames: readonly string[] = [...Deno.readDirSync(root)]
  .filter((entry) => entry.isDirectory).map((entry) => entry.name).sort();

/** Reads one golden folder. */
export async function loadGolden(name: string): Promise<Golden> {
  const dir = join(root, name);
  const weights = new Map<string, Float64Array>();
  for (const entry of Deno.readDirSync(dir)) {
    if (!/^model.*\.safetensors$/.test(entry.name)) continue;
    for (const [weight, { data }] of readTensors(join(dir, entry.name))) weights.set(weight, data);
  }
  return {
    name,
    dir,
    config: await readConfig(dir),
    cases: JSON.parse(Deno.readTextFileSync(join(dir, "cases.json"))),
    weights,
    expected: readTensors(join(dir, "expected.safetensors")),
    fullGradients: readTensors(join(dir, "full_grads.safetensors")),
  };
}

/** Every tensor of a small F32, F16 or BF16 safetensors file, by name. */
export function readTensors(path: string): Map<string, GoldenTensor> {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const dataStart = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataStart)));
  const tensors = new Map<string, GoldenTensor>();
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries<HeaderEntry>(header)) {
    const size = elementBytes[dtype];
    const data = new Float64Array((end - start) / size);
    for (let i = 0; i < data.length; i++) {
      const at = dataStart + start + i * size;
      data[i] = dtype === "F32"
        ? view.getFloat32(at, true)
        : dtype === "F16"
        ? view.getFloat16(at, true)
        : widenBf16(view.getUint16(at, true));
    }
    tensors.set(name, { shape, data });
  }
  return tensors;
}

interface HeaderEntry {
  readonly dtype: "F32" | "F16" | "BF16";
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

const elementBytes = { F32: 4, F16: 2, BF16: 2 };

/** The number whose float32 bits begin with these 16. */
function widenBf16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

/** Localization examples in the reference model's terms. */
export function examplesOf(localization: readonly GoldenExample[]): ReferenceExample[] {
  return localization.map(({ prefix_ids: ids, desired_token: desired, undesired_token: undesired }) => {
    return { ids, desired, undesired };
  });
}

/** Largest |actual − expected| over the tensor's largest |expected|. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`Comparing ${actual.length} values with ${expected.length}.`);
  }
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return NaN; // no limit is above it
    error = Math.max(error, difference);
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return error === 0 ? 0 : error / size;
}
