/** What tests of whole models share: the embedded model, golden models beside their float64 twins, altered copies. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TokenPair } from "../../engine/circuit/localization.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { type LoadOptions, Model } from "../../engine/model/model.ts";
import { examplesOf, type Golden, loadGolden } from "../reference/golden.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import type { ReferenceExample } from "../../engine/reference/objectives.ts";

/** The folder of the tasks that the embedded models half-know. */
export const taskData = fileURLToPath(new URL("../../fixtures/tasks", import.meta.url));

/** The folder of the default embedded model. */
export const embeddedModel = fileURLToPath(new URL("../../fixtures/gemma2-mini", import.meta.url));

/** One golden folder per architecture, all stored in float32. */
export const goldenArchitectures = ["llama-tiny", "gemma2-tiny", "olmo2-tiny"] as const;

const read = new Map<string, Promise<Golden>>();

/** A golden folder, read once a test file. */
export function golden(name: string): Promise<Golden> {
  const known = read.get(name) ?? loadGolden(name);
  read.set(name, known);
  return known;
}

/** A golden model on the GPU, its twin in float64, and its localization examples. */
export interface Twins extends Disposable {
  readonly model: Model;
  readonly golden: Golden;
  readonly reference: ReferenceModel;
  readonly examples: readonly TokenPair[];
  /** The same as the twin takes them. */
  readonly referenceExamples: readonly ReferenceExample[];
}

/** Loads both twins; dispose of them with `using`. */
export async function loadTwins(gpu: Gpu, name: string, options: LoadOptions = {}): Promise<Twins> {
  const folder = await golden(name);
  const model = await Model.load(gpu, folder.dir, options);
  return {
    model,
    golden: folder,
    reference: new ReferenceModel(folder.config, folder.weights),
    examples: folder.cases.dcm.localization,
    referenceExamples: examplesOf(folder.cases.dcm.localization),
    [Symbol.dispose]: () => model[Symbol.dispose](),
  };
}

/** A folder that goes away with `using` (`await using`). */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

/** An empty folder outside of the repository. */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await Deno.makeTempDir({ prefix: "circuit-amp-test-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** A copy of all files of `folder`, to be damaged. */
export async function copyOf(folder: string): Promise<TemporaryFolder> {
  const copy = await temporaryFolder();
  for await (const { name } of Deno.readDir(folder)) {
    await Deno.copyFile(join(folder, name), join(copy.path, name));
  }
  return copy;
}

/** Rewrites a safetensors file after `change` has had its header's JSON text and its tensors' bytes. */
export async function alterSafetensors(
  path: string,
  change: (header: string, data: Uint8Array, entries: Record<string, { data_offsets: [number, number] }>) =>
    | string
    | void,
) {
  const bytes = await Deno.readFile(path);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const data = bytes.slice(8 + length);
  const header = new TextEncoder().encode(change(text, data, JSON.parse(text)) ?? text);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
  await Deno.writeFile(path, await new Blob([head, header, data]).bytes());
}

/** Sets one element of an F32 tensor of a safetensors file. */
export function setElement(path: string, tensor: string, element: number, value: number): Promise<void> {
  return alterSafetensors(path, (_, data, entries) => {
    const start = entries[tensor]!.data_offsets[0];
    new DataView(data.buffer).setFloat32(start + element * 4, value, true);
  });
}

/** Rows of a JSONL file. */
export async function jsonLines<T>(path: string): Promise<T[]> {
  const text = await Deno.readTextFile(path);
  return text.trim().split("\n").map((line) => JSON.parse(line) as T);
}
