/** A run folder: opened and begun again as a run does, compared as `compare` does. */
import { join } from "node:path";
import { loadProblems } from "../../engine/evaluation/data.ts";
import { splitProblems } from "../../engine/evaluation/split.ts";
import { readOutcomes } from "../../engine/evaluation/compare/outcomes.ts";
import type { ListedName } from "../../engine/run/manifest.ts";
import {
  type EvaluationRecord,
  evaluationsSchema,
  localizationSchema,
  maskSchema,
  type RunConfig,
  type UpdateRecord,
  updateSchema,
} from "../../engine/run/records.ts";
import { inspectRun } from "../../engine/run/run_check.ts";
import { RunFolder } from "../../engine/run/run_folder.ts";
import { taskData } from "../model/model_fixture.ts";
import { changeBytes, changeTree, decode, encode } from "./mutation.ts";
import type { Meaning, Subject } from "./trial.ts";

const settings = (folder: string) => ({
  seed: 3,
  data: { file: join(folder, "data.jsonl") },
  model: { source: join(folder, "model") },
});
const inputs = { data: "0".repeat(64), abilities: {}, model: { "config.json": "1".repeat(64) } };
const environment: Omit<RunConfig, "settings"> = {
  inputs,
  versions: { circuit_amp: "0.2.0", deno: "2.9.6" },
  adapter: "none",
  kernels: {},
};
const schemas = {
  "localization.json": localizationSchema,
  "mask.json": maskSchema,
  "update.json": updateSchema,
  "evaluations.json": evaluationsSchema,
} as const;

async function write(folder: string) {
  const lines = (await Deno.readTextFile(join(taskData, "math.jsonl"))).split("\n").filter((_, i) =>
    i % 40 === 0
  );
  const { data } = settings(folder);
  await Deno.writeTextFile(data.file, lines.map((line) => line + "\n").join(""));
  const { test } = splitProblems(await loadProblems(data.file), 3);
  using run = await RunFolder.open(folder, settings(folder));
  await run.begin(environment);
  using journal = await run.journal("identify");
  journal.put("greedy/0", [1, 2, 3]);
  journal.put("greedy/1", [4]);
  await run.writeLines("traces.jsonl", [{ kind: "greedy", text: "x", ids: [1, 2] }]);
  await run.writeJson("localization.json", [{
    ...{
      prefix: "Q",
      prefix_ids: [1, 2],
      desired_token: 3,
      undesired_token: 4,
      template_id: "t",
      instance_id: "i",
    },
    greedy_correct: true,
  }]);
  const components = { selected: 3, total: 100, percent: 3, by_kind: { q: 1, k: 0, v: 0, mlp: 2 } };
  await run.writeJson("mask.json", {
    components,
    steps: 4,
    epochs: 2,
    stopped_early: false,
    losses: [1, 0.5],
    selected: [9, 3],
  });
  const update: UpdateRecord = {
    best_step: 2,
    trainable: 64,
    history: [{ step: 0, accuracy: 0.25, loss: 1.5 }],
    tries: [{ rate: 0.3, best_step: 2, accuracy: 0.5 }],
  };
  await run.writeJson("update.json", update);
  const correct = test.map((_, i) => i % 3 === 0);
  const record: EvaluationRecord = {
    ...{
      accuracy: 0.5,
      per_template: { t: 0.5 },
      other_abilities: { fact: 1 },
      correct_abilities: { fact: [true] },
      update_norm: 0.5,
    },
    correct,
  };
  await run.writeJson("evaluations.json", {
    base: { ...record, correct: correct.toReversed() },
    amplified: record,
  });
}

async function read(folder: string): Promise<Meaning> {
  const meaning: Record<string, string> = {};
  const outcomes = await readOutcomes(folder);
  for (const [task, items] of outcomes) meaning[`outcomes.${task}`] = JSON.stringify(items);
  await inspectRun(folder);
  using run = await RunFolder.open(folder, settings(folder));
  meaning.resumed = String(run.resumed);
  await run.begin(environment);
  for (const [name, schema] of Object.entries(schemas)) {
    const value = await run.read(name as ListedName, schema as never);
    if (value !== undefined) meaning[`file.${name}`] = JSON.stringify(value);
  }
  if (await run.intact("traces.jsonl")) {
    meaning["file.traces"] = await Deno.readTextFile(join(folder, "traces.jsonl"));
  }
  using journal = await run.journal("identify");
  for (const [key, ids] of journal.completions) meaning[`journal.${key}`] = String(ids);
  return meaning;
}

/** Files of which nothing can be told but that they are there: each line stands alone, and data are a user's own. */
const free = ["events.jsonl", "data.jsonl"];

export const run: Subject = {
  name: "run",
  prepare: write,
  read,
  mutate(dice, files) {
    const name = dice.pick([...files.keys()].filter((name) => !free.includes(name)));
    // What is not as it was written is made again: then it is not there, and nothing else may stand in its place.
    const may = (part: string, value: string | undefined) =>
      /^(file|journal)\./.test(part) && value === undefined;
    if (dice.happens(0.1)) return { what: `${name} is missing`, files: { [name]: null }, may };
    if (dice.happens(0.05)) return { what: `${name} a link`, files: { [name]: { link: "../secret" } }, may };
    const bytes = files.get(name)!;
    if (dice.happens(0.5) || !name.endsWith(".json")) {
      const changed = changeBytes(bytes, dice);
      return { what: `${name}, ${changed.what}`, files: { [name]: changed.bytes }, may };
    }
    const { tree, what } = changeTree(JSON.parse(decode(bytes)), dice);
    return {
      what: `${name} with ${what}`,
      files: { [name]: encode(JSON.stringify(tree, null, 2) + "\n") },
      may,
    };
  },
};
