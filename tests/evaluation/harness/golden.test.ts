/**
 * Every task on a tiny byte-level model against what lm-evaluation-harness 0.4.13 gave on the same rows (golden/, made by its own code
 * in float32): contexts to the letter, log-likelihoods to 1e-3, completions and scores exactly. The model's window of 512 tokens is
 * exceeded on purpose.
 */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import type { Sample } from "../../../engine/evaluation/harness/samples.ts";
import { Model } from "../../../engine/model/model.ts";
import { runTasks } from "../../../engine/run/task_run.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";
import { gpuTest } from "../../ops/gpu_fixture.ts";

const golden = fileURLToPath(new URL("golden", import.meta.url));

interface GoldenRow {
  readonly doc_id: number;
  readonly context: string;
  readonly continuations?: readonly {
    text: string;
    context?: string;
    loglikelihood: number;
    greedy: boolean;
  }[];
  readonly generated?: string;
  readonly filters: Readonly<Record<string, readonly unknown[]>>;
  readonly target: unknown;
  readonly metrics: Readonly<Record<string, number>>;
  readonly metrics_by_filter?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

async function lines<T>(path: string): Promise<T[]> {
  return (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line));
}

const files = [...Deno.readDirSync(join(golden, "tiny"))].map(({ name }) => name)
  .filter((name) => name.endsWith(".jsonl")).map((name) => name.replace(".jsonl", "")).sort();

for (const file of files) {
  const task = file.replace(/^1shot_/, "");
  gpuTest(`${file} gives what the harness gives`, async ({ gpu }) => {
    await using out = await temporaryFolder();
    using model = await Model.load(gpu, join(golden, "model"));
    const results = await runTasks(model, {
      tasks: [task],
      data: join(golden, "data"),
      shots: file === task ? undefined : 1,
      maxNewTokens: 24,
    }, { out: out.path });
    const rows = await lines<GoldenRow>(join(golden, "tiny", `${file}.jsonl`));
    const samples = await lines<Sample>(join(out.path, `samples_${task}.jsonl`));
    const filters = Object.keys(rows[0]!.filters);
    assertEquals(samples.length, rows.length * filters.length);
    for (const [s, sample] of samples.entries()) {
      compare(rows[Math.floor(s / filters.length)]!, sample);
    }
    const expected = JSON.parse(await Deno.readTextFile(join(golden, "tiny", `${file}.results.json`)));
    const { name: _, alias: __, ...figures } = expected.results[task];
    for (const [key, value] of Object.entries<number>(figures)) {
      assertAlmostEquals(results.results[task]![key] as number, value, 1e-5, key);
    }
    assertEquals(results["n-shot"][task], expected.n_shot);
    assertEquals(results["n-samples"][task], expected.n_samples);
    assertEquals(results.versions[task], expected.version);
  });
}

function compare(row: GoldenRow, sample: Sample) {
  assertEquals(sample.doc_id, row.doc_id);
  const asked = Object.values(sample.arguments) as { arg_0: string; arg_1: string }[];
  assertEquals(asked[0]!.arg_0, row.context);
  if (row.continuations) {
    assertEquals(
      asked.map(({ arg_0, arg_1 }) => [arg_0, arg_1]),
      row.continuations.map(({ text, context }) => [context ?? row.context, text]),
    );
    const found = sample.filtered_resps as [string, string][];
    row.continuations.forEach(({ loglikelihood, greedy }, i) => {
      assertAlmostEquals(Number(found[i]![0]), loglikelihood, 1e-3 + 1e-5 * Math.abs(loglikelihood));
      assertEquals(found[i]![1], greedy ? "True" : "False");
    });
    assertEquals(sample.target, `${row.target}`);
  } else {
    assertEquals(sample.resps, [[row.generated]]);
    assertEquals(sample.filtered_resps, row.filters[sample.filter]);
  }
  const metrics = row.metrics_by_filter?.[sample.filter] ?? row.metrics;
  for (const [name, value] of Object.entries(metrics)) {
    const near = Math.max(1e-9, 1e-3 * Math.abs(value));
    assertAlmostEquals(sample[name] as number, value, near, name);
  }
}
