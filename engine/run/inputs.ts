/** Fingerprints of what a run reads, so that a resumed run notices when it is not the same any more. All SHA-256 in hexadecimal. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readWeightMap } from "../checkpoint/checkpoint.ts";
import { sha256OfFile } from "../files.ts";
import { filesOfTask, isScorerFile } from "../evaluation/task_file.ts";
import type { RunSettings } from "./settings/run.ts";

/** Fingerprints by file. */
export interface Inputs {
  /** Of the data file; of a task file with all that it names. */
  readonly data: string;
  /** Of the file that judges the main task, where the settings name one. */
  readonly scorer?: string | undefined;
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
  const { rounds: { templates }, data: { file, scorer } } = settings;
  return {
    data: await fingerprintTask(file),
    ...(scorer !== undefined && isScorerFile(scorer) && { scorer: await sha256OfFile(scorer) }),
    abilities: Object.fromEntries(
      await Promise.all(abilities.map(async ([name, file]) => [name, await fingerprintTask(file)] as const)),
    ),
    ...(templates !== undefined && { templates: await fingerprintTemplates(templates) }),
    model: await fingerprintModel(folder),
  };
}

/** Of a data file its own; of a task file that of all files that it names. */
async function fingerprintTask(file: string): Promise<string> {
  const hashes = await Promise.all((await filesOfTask(file)).map(sha256OfFile));
  return hashes.length === 1 ? hashes[0]! : createHash("sha256").update(hashes.join("\n")).digest("hex");
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
  if (before.scorer !== now.scorer) return `scorer "${settings.data.scorer}" has`;
  for (const [name, file] of Object.entries(settings.evaluation.abilities)) {
    if (before.abilities[name] !== now.abilities[name]) return `data file "${file}" of ${name} has`;
  }
  if (before.templates !== now.templates) return `template files in "${settings.rounds.templates}" have`;
  for (const name of new Set([...Object.keys(before.model), ...Object.keys(now.model)])) {
    if (before.model[name] !== now.model[name]) return `"${name}" of model ${settings.model.source} has`;
  }
}
