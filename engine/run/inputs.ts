/** Fingerprints of what a run reads, so that a resumed run notices when it is not the same any more. All SHA-256 in hexadecimal. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readWeightMap } from "../checkpoint/checkpoint.ts";
import { sha256OfFile } from "../files.ts";
import type { RunSettings } from "./settings/run.ts";

/** Fingerprints by file. */
export interface Inputs {
  /** Of the data file. */
  readonly data: string;
  /** Of the file of each ability, by its name. */
  readonly abilities: Readonly<Record<string, string>>;
  /** Of the template files that rounds sample, where there are such. */
  readonly templates?: string | undefined;
  /** Of the files of the model's folder that decide what it computes, by their name. */
  readonly model: Readonly<Record<string, string>>;
}

/** Fingerprints of the inputs of a run whose model lies in `folder`. */
export async function fingerprintInputs(settings: RunSettings, folder: string): Promise<Inputs> {
  const abilities = Object.entries(settings.evaluation.abilities);
  const { templates } = settings.rounds;
  return {
    data: await sha256OfFile(settings.data.file),
    abilities: Object.fromEntries(
      await Promise.all(abilities.map(async ([name, file]) => [name, await sha256OfFile(file)] as const)),
    ),
    ...(templates !== undefined && { templates: await fingerprintTemplates(templates) }),
    model: await fingerprintModel(folder),
  };
}

async function fingerprintTemplates(folder: string): Promise<string> {
  const hash = createHash("sha256");
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  for (const name of names.filter((name) => name.endsWith(".json")).sort()) {
    hash.update(`${name}\n${await sha256OfFile(join(folder, name))}\n`);
  }
  return hash.digest("hex");
}

/** Files of a model that a run reads, besides shards of weights; prompt.json is resolved into the settings. */
const modelFiles = [
  ...["config", "generation_config", "tokenizer", "tokenizer_config", "special_tokens_map", "chat_template"]
    .map((name) => `${name}.json`),
  "chat_template.jinja",
  "model.safetensors.index.json",
  "model.safetensors",
];

/** Fingerprints of the files of a model's folder, by their names there; every weight counts. */
export async function fingerprintModel(folder: string): Promise<Record<string, string>> {
  const shards = await readWeightMap(join(folder, "model.safetensors.index.json"));
  const found: Record<string, string> = {};
  for (const name of new Set([...modelFiles, ...shards?.values() ?? []])) {
    const path = join(folder, name);
    const isThere = await Deno.stat(path).then(({ isFile }) => isFile, () => false);
    if (isThere) found[name] = await sha256OfFile(path);
  }
  return found;
}

/** What of the inputs differs from what it was, in words; undefined where nothing does. */
export function changedInput(before: Inputs, now: Inputs, settings: RunSettings): string | undefined {
  if (before.data !== now.data) return `data file "${settings.data.file}" has`;
  for (const [name, file] of Object.entries(settings.evaluation.abilities)) {
    if (before.abilities[name] !== now.abilities[name]) return `data file "${file}" of ${name} has`;
  }
  if (before.templates !== now.templates) return `template files in "${settings.rounds.templates}" have`;
  for (const name of new Set([...Object.keys(before.model), ...Object.keys(now.model)])) {
    if (before.model[name] !== now.model[name]) return `"${name}" of model ${settings.model.source} has`;
  }
}
