/** What tests of whole runs share: a small task cut out of the embedded one, and settings that finish in seconds. */
import { join } from "node:path";
import { promptSettings } from "../../engine/run/prompt_settings.ts";
import type { RunSettings } from "../../engine/run/settings.ts";
import { settingDefaults } from "../../engine/run/settings.ts";
import { jsonLines, tinyModel } from "../model/model_fixture.ts";

/** Writes math.jsonl (`perTemplate` problems of each of 12 templates) and fact.jsonl (6 facts) into `folder`. */
export async function writeSmallTask(folder: string, perTemplate: number): Promise<void> {
  const rows = await jsonLines<{ instance: number }>(join(tinyModel, "math.jsonl"));
  const facts = await jsonLines(join(tinyModel, "fact.jsonl"));
  const write = (name: string, chosen: readonly unknown[]) =>
    Deno.writeTextFile(join(folder, name), chosen.map((row) => JSON.stringify(row) + "\n").join(""));
  await write("math.jsonl", rows.filter(({ instance }) => instance < perTemplate));
  await write("fact.jsonl", facts.slice(0, 6));
}

const prompt = await promptSettings(tinyModel);

/** A short run of the task in `folder`. */
export function shortRun(folder: string, changes: Partial<RunSettings> = {}): RunSettings {
  return {
    ...settingDefaults,
    ...prompt,
    model: tinyModel,
    data: join(folder, "math.jsonl"),
    abilities: { fact: join(folder, "fact.jsonl") },
    limit: 60,
    samples: 4,
    maskEpochs: 2,
    maskRate: 0.1,
    maskStrength: 0.03,
    rate: 0.3,
    steps: 2,
    validateEvery: 1,
    ...changes,
  };
}
