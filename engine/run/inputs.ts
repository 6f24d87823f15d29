/** Fingerprints of what a run reads, so that a resumed run notices when it is not the same any more. All SHA-256 in hexadecimal. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readWeightMap } from "../checkpoint/checkpoint.ts";
import type { RunSettings } from "./settings/run.ts";

/** Fingerprints by file. */
export interface Inputs {
  /** Of the data file. */
  readonly data: string;
  /** Of the file of each ability, by its name. */
  readonly abilities: Readonly<Record<string, string>>;
  /** Of the files of the model's folder that decide what it computes, by their name. */
  readonly model: Readonly<Record<string, string>>;
}

/** Fingerprints of the inputs of a run whose model lies in `folder`. */
export async function fingerprintInputs(settings: RunSettings, folder: string): Promise<Inputs> {
  const abilities = Object.entries(settings.evaluation.abilities);
  return {
    data: await sha256(settings.data.file),
    abilities: Object.fromEntries(
      await Promise.all(abilities.map(async ([name, file]) => [name, await sha256(file)] as const)),
    ),
    model: await fingerprintModel(folder),
  };
}

/** Files of a model that a run reads, besides its weights; prompt.json is resolved into the settings. */
const modelFiles =
  /^((config|generation_config|tokenizer|tokenizer_config|special_tokens_map|chat_template|model\.safetensors\.index)\.json|chat_template\.jinja)$/;

export async function fingerprintModel(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  for (const name of names) {
    const path = join(folder, name);
    if (modelFiles.test(name)) found[name] = await sha256(path);
    else if (name.endsWith(".safetensors")) found[name] = await sampledSha256(path);
  }
  // Shards may lie in subfolders.
  const shards = await readWeightMap(join(folder, "model.safetensors.index.json"));
  for (const shard of new Set(shards?.values())) {
    const isThere = await Deno.stat(join(folder, shard)).then(({ isFile }) => isFile, () => false);
    if (isThere && !names.includes(shard)) found[shard] = await sampledSha256(join(folder, shard));
  }
  return found;
}

async function sha256(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}

const sampleBytes = 64 * 1024;
const samples = 64;

/**
 * Of a weight file: its size, the header, and 4 MiB of the weights in 64 pieces spread over them, because a model that was
 * trained further in place has the same header, and reading every gigabyte again would take minutes.
 */
async function sampledSha256(path: string): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const hash = createHash("sha256").update(`${size}\n`);
  const add = async (start: number, length: number) => {
    await file.seek(start, Deno.SeekMode.Start);
    const bytes = new Uint8Array(Math.min(length, size - start));
    for (let at = 0; at < bytes.length;) {
      const read = await file.read(bytes.subarray(at));
      if (read === null) break;
      at += read;
    }
    hash.update(bytes);
    return bytes;
  };
  const lengthField = await add(0, 8);
  const header = lengthField.length === 8
    ? Number(new DataView(lengthField.buffer).getBigUint64(0, true))
    : 0;
  const start = Math.min(size, 8 + header);
  await add(8, start - 8);
  if (size - start <= samples * sampleBytes) await add(start, size - start);
  else {
    const stride = (size - start - sampleBytes) / (samples - 1);
    for (let i = 0; i < samples; i++) await add(start + Math.floor(i * stride), sampleBytes);
  }
  return hash.digest("hex");
}

/** What of the inputs differs from what it was, in words; undefined where nothing does. */
export function changedInput(before: Inputs, now: Inputs, settings: RunSettings): string | undefined {
  if (before.data !== now.data) return `data file "${settings.data.file}" has`;
  for (const [name, file] of Object.entries(settings.evaluation.abilities)) {
    if (before.abilities[name] !== now.abilities[name]) return `data file "${file}" of ${name} has`;
  }
  for (const name of new Set([...Object.keys(before.model), ...Object.keys(now.model)])) {
    if (before.model[name] !== now.model[name]) return `"${name}" of model ${settings.model.source} has`;
  }
}
