/** Stages taken from another run, where everything they depend on is the same. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import type { Inputs } from "./inputs.ts";
import { stateTexts } from "./manifest.ts";
import type { RunConfig } from "./records.ts";
import { checkRun, firstDifference, readConfig, type RunFolder } from "./run_folder.ts";

/** What stages leave, and the groups of settings that they depend on beside model, data and seed. */
const stages = [
  {
    name: "traces and pivotal tokens",
    files: ["traces.jsonl", "localization.json"],
    settings: ["prompt", "traces", "seed"],
  },
  { name: "gradient", files: ["energies.safetensors"], settings: ["objective"] },
  {
    name: "selection",
    files: ["mask.safetensors", "mask.json"],
    settings: ["selection", "mask", "reference_compat"],
  },
] as const;

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
  await folder.event("reused", { from, stages: taken });
  notice?.(`Taken from "${from}": ${taken.join(", ")}.`);
}

function valueOf(settings: RunConfig["settings"], key: string): unknown {
  if (key === "objective") return (settings.update as Record<string, unknown> | undefined)?.objective;
  return settings[key];
}

/** Which input differs, in words. Abilities do not matter to these stages. */
function otherInput(before: Inputs, now: Inputs): string | undefined {
  if (before.data !== now.data) return "data file";
  const names = new Set([...Object.keys(before.model), ...Object.keys(now.model)]);
  for (const name of names) if (before.model[name] !== now.model[name]) return `model (its ${name} differs)`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}
