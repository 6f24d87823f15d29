/** Stages taken from another run, where everything they depend on is the same. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import type { Inputs } from "./inputs.ts";
import { stateTexts } from "./manifest.ts";
import { evaluationsSchema, parseRecord, type RunConfig } from "./records.ts";
import { checkRun, firstDifference, readConfig, type RunFolder } from "./run_folder.ts";

/** What stages leave, and the groups of settings that they depend on beside model, data and seed. */
const stages = [
  {
    name: "traces and pivotal tokens",
    files: ["traces.jsonl", "localization.json"],
    settings: ["prompt", "scorer", "traces", "seed"],
  },
  { name: "gradient", files: ["energies.safetensors"], settings: ["objective"] },
  {
    name: "selection",
    files: ["mask.safetensors", "mask.json"],
    settings: ["selection", "mask", "reference_compat"],
  },
] as const;

/** How many stages two runs have in common, from the first on, by their settings; 0 where not even model, data and traces are the same. */
export function commonStages(a: RunConfig["settings"], b: RunConfig["settings"]): number {
  const same = (keys: readonly string[]) =>
    !firstDifference(
      Object.fromEntries(keys.map((key) => [key, valueOf(a, key)])),
      Object.fromEntries(keys.map((key) => [key, valueOf(b, key)])),
    );
  if (!same(["model", "data"])) return 0;
  const first = stages.findIndex(({ settings }) => !same(settings));
  return first < 0 ? stages.length : first;
}

/**
 * Copies what the run in `from` left of the first stages into `folder`, as far as it depends on nothing that differs; says which.
 * @throws {InputError} where not even the traces fit, or `from` holds none.
 */
export async function reuseStages(
  folder: RunFolder,
  from: string,
  now: Pick<RunConfig, "settings" | "inputs">,
  notice?: (sentence: string) => void,
): Promise<void> {
  const config = await readConfig(join(from, "config.json"));
  if (!config || !await exists(join(from, "localization.json"))) {
    throw new InputError(
      `"${from}" holds no run with traces; name the folder of a finished identify.`,
      "from",
    );
  }
  const { manifest, spoilt } = await checkRun(from);
  const changed = otherInput(config.inputs, now.inputs);
  if (changed) {
    throw new InputError(
      `The run in "${from}" was made with another ${changed}; take no traces from it.`,
      "from",
    );
  }
  const taken: string[] = [];
  for (const { name, files, settings } of stages) {
    const pick = ({ settings: all }: Pick<RunConfig, "settings">) =>
      settings.map((key) => [key, valueOf(all, key)]);
    const difference = firstDifference(Object.fromEntries(pick(config)), Object.fromEntries(pick(now)));
    if (difference && taken.length === 0) {
      throw new InputError(
        `The run in "${from}" has ${difference}, so its traces do not fit; take none or another run's.`,
        "from",
      );
    }
    if (difference) break;
    if (!files.every((file) => manifest.get(file))) break;
    for (const file of files) {
      const state = spoilt.get(file);
      if (state) {
        throw new InputError(
          `"${join(from, file)}" ${stateTexts[state]}, so nothing is taken from it; resume that run first.`,
          "from",
        );
      }
    }
    for (const file of files) await folder.take(join(from, file), file);
    taken.push(name);
  }
  if (await takeBase(folder, from, config, now)) taken.push("evaluation of the unchanged model");
  await folder.event("reused", { from, stages: taken });
  notice?.(`Taken from "${from}": ${taken.join(", ")}.`);
}

/** Takes the unchanged model's evaluation, which depends on data, prompt and abilities alone. */
async function takeBase(
  folder: RunFolder,
  from: string,
  before: Pick<RunConfig, "settings" | "inputs">,
  now: Pick<RunConfig, "settings" | "inputs">,
): Promise<boolean> {
  const picked = ({ settings, inputs }: Pick<RunConfig, "settings" | "inputs">) => ({
    prompt: settings.prompt,
    abilities: (settings.evaluation as Record<string, unknown> | undefined)?.abilities,
    files: inputs.abilities,
  });
  const { manifest, spoilt } = await checkRun(from);
  if (!manifest.get("evaluations.json") || spoilt.has("evaluations.json")) return false;
  if (firstDifference(picked(before), picked(now))) return false;
  const path = join(from, "evaluations.json");
  const { base } = parseRecord(path, evaluationsSchema, JSON.parse(await Deno.readTextFile(path)));
  if (base) await folder.writeJson("evaluations.json", { base });
  return base !== undefined;
}

function valueOf(settings: RunConfig["settings"], key: string): unknown {
  if (key === "objective") return (settings.update as Record<string, unknown> | undefined)?.objective;
  if (key === "scorer") return (settings.data as Record<string, unknown> | undefined)?.scorer;
  return settings[key];
}

/** Which input differs, in words. Abilities do not matter to these stages. */
function otherInput(before: Inputs, now: Inputs): string | undefined {
  if (before.data !== now.data) return "data file";
  if (before.scorer !== now.scorer) return "scorer";
  const names = new Set([...Object.keys(before.model), ...Object.keys(now.model)]);
  for (const name of names) if (before.model[name] !== now.model[name]) return `model (its ${name} differs)`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}
