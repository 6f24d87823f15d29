/** What tests of whole runs share: a small task cut out of the embedded one, and settings that finish in seconds. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { type RunSettings, runSettings } from "../../engine/run/settings/run.ts";
import { embeddedModel, jsonLines, taskData } from "../model/model_fixture.ts";

/** Writes math.jsonl (`perTemplate` problems of each of 12 templates) and fact.jsonl (6 facts) into `folder`. */
export async function writeSmallTask(folder: string, perTemplate: number): Promise<void> {
  const rows = await jsonLines<{ instance: number }>(join(taskData, "math.jsonl"));
  const facts = await jsonLines(join(taskData, "fact.jsonl"));
  const write = (name: string, chosen: readonly unknown[]) =>
    Deno.writeTextFile(join(folder, name), chosen.map((row) => JSON.stringify(row) + "\n").join(""));
  await write("math.jsonl", rows.filter(({ instance }) => instance < perTemplate));
  await write("fact.jsonl", facts.slice(0, 6));
}

const defaults = await runSettings({ preset: "paper", model: { source: embeddedModel } });

/** A short run of the task in `folder`. */
export function shortRun(folder: string, { update, evaluation, ...changes }: Changes = {}): RunSettings {
  return {
    ...defaults,
    data: { file: join(folder, "math.jsonl") },
    traces: { ...defaults.traces, limit: 60, samples: 4 },
    mask: { ...defaults.mask, epochs: 6, rate: 0.1, strength: 0.03 },
    update: { ...defaults.update, rate: 0.3, steps: 2, validateEvery: 1, ...update },
    evaluation: {
      ...defaults.evaluation,
      draws: 1,
      abilities: { fact: join(folder, "fact.jsonl") },
      ...evaluation,
    },
    ...changes,
  };
}

type Changes = Partial<Omit<RunSettings, "update" | "evaluation">> & {
  readonly update?: Partial<RunSettings["update"]>;
  readonly evaluation?: Partial<RunSettings["evaluation"]>;
};

/** The shortest run that keeps a step, for tests that repeat it. */
export function tinyRun(folder: string): RunSettings {
  const { traces, mask } = defaults;
  return shortRun(folder, {
    referenceCompat: true,
    traces: { ...traces, limit: 12, samples: 2 },
    mask: { ...mask, rate: 0.1, strength: 0.03, epochs: 1 },
    update: { steps: 1 },
    evaluation: { controls: [] },
  });
}

/** Demands the same bytes of two run folders in all that does not say when or on what they were made. */
export async function assertSameRun(folder: string, other: string): Promise<void> {
  const files = async (path: string) =>
    (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
  assertEquals(await files(folder), await files(other));
  for (const name of await files(other)) {
    // These say when, where, or in what steps.
    if (
      ["events.jsonl", "manifest.json", "report.html"].includes(name) ||
      name.startsWith("events.out.tfevents")
    ) continue;
    const [bytes, expected] = await Promise.all(
      [folder, other].map((path) => Deno.readFile(join(path, name))),
    );
    const untimed = (content: Uint8Array) =>
      name === "summary.json"
        ? new TextDecoder().decode(content).replace(/"seconds": \{[^}]*\}/, "")
        : content;
    assertEquals(untimed(bytes!), untimed(expected!), name);
  }
}
