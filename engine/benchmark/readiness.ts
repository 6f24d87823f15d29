/**
 * What GPUs that are not here would take for the stages of the method: counts from the engine's own plans, recorded on a device
 * that only counts, and times predicted from published peaks at stated efficiencies. Not measurements; `bench --model` makes those.
 */
import { sizedModel } from "../circuit/memory_plan.ts";
import { SizingGpu } from "../gpu/sizing_gpu.ts";
import { modelConfig } from "../model/config.ts";
import { publishedShapes } from "../model/published_shapes.ts";
import { modelStages } from "./model_runs.ts";
import { engineering, rounded } from "./result.ts";
import type { Work } from "./work.ts";

/** Published peaks of a GPU: float32 outside of matrix units, which WebGPU does not reach, and memory. */
export interface PublishedGpu {
  readonly name: string;
  readonly tflops: number;
  readonly gbps: number;
}

/** Sources: the makers' data sheets; for Apple 38 cores of 128 lanes at 1.4 GHz. */
export const publishedGpus: readonly PublishedGpu[] = [
  { name: "Apple M2 Max", tflops: 13.6, gbps: 400 },
  { name: "RTX 4090", tflops: 82.6, gbps: 1008 },
  { name: "H100 SXM", tflops: 66.9, gbps: 3350 },
];

/**
 * Shares of the peaks that the predictions assume: other people's WebGPU products reach 20 to 70 % of float32, and reading
 * kernels more of the memory. Beside them what a dispatch costs at least, and a readback, for which Deno polls every 10 ms.
 */
export const assumed = { flops: 0.4, bytes: 0.7, dispatchMs: 0.005, readbackMs: 10 } as const;

/** One stage of one model. */
export interface StageCounts extends Work {
  readonly stage: string;
  readonly dispatches: number;
  readonly submits: number;
  readonly readbacks: number;
}

/** The limits of a desktop GPU. */
const limits = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 - 4 };

/** Counts of every stage of a published model (publishedShapes) with 16-bit weights. */
export async function countStages(name: string): Promise<StageCounts[]> {
  const config = modelConfig(publishedShapes[name]!, name);
  const gpu = new SizingGpu(limits, false);
  using model = await sizedModel(gpu, { config, weights: "BF16", contextLength: 4096 });
  const counts: StageCounts[] = [];
  for (const { name, shape, prepare } of modelStages) {
    using run = await prepare(model);
    const { dispatches, submits, readbacks } = gpu;
    await run.run();
    const { units = 1, work } = run;
    counts.push({
      stage: `${name} ${shape}`,
      dispatches: (gpu.dispatches - dispatches) / units,
      submits: (gpu.submits - submits) / units,
      readbacks: (gpu.readbacks - readbacks) / units,
      ...work,
    });
  }
  return counts;
}

/** Milliseconds that a GPU is predicted to take for a stage. */
export function predictedMs(
  { operations, bytes, dispatches, readbacks }: StageCounts,
  gpu: PublishedGpu,
): number {
  const busy = Math.max(
    operations / (gpu.tflops * assumed.flops * 1e9),
    bytes / (gpu.gbps * assumed.bytes * 1e6),
  );
  // A GPU works while the host records, so dispatches only cost where they outlast the work.
  return Math.max(busy, dispatches * assumed.dispatchMs) + readbacks * assumed.readbackMs;
}

/** The table of some models as Markdown. */
export async function readinessTable(names: readonly string[]): Promise<string> {
  const rows = [
    `| model | stage | operations | bytes | dispatches | submits | readbacks | ${
      publishedGpus.map(({ name }) => `${name}, ms`).join(" | ")
    } |`,
    `|---|---|${"---:|".repeat(5 + publishedGpus.length)}`,
  ];
  for (const name of names) {
    for (const counts of await countStages(name)) {
      const { stage, operations, bytes, dispatches, submits, readbacks } = counts;
      const cells = [
        name,
        stage,
        engineering(operations).trim(),
        `${engineering(bytes)}B`,
        ...[dispatches, submits, readbacks].map(rounded),
        ...publishedGpus.map((gpu) => Number(predictedMs(counts, gpu).toPrecision(2))),
      ];
      rows.push(`| ${cells.join(" | ")} |`);
    }
  }
  return rows.join("\n");
}

/** The models of the table in README.md, and the lines between which it stands. */
export const readinessModels = ["gemma-2-2b", "olmo-2-7b"] as const;
const markers = ["<!-- made by readiness.ts -->", "<!-- end -->"] as const;

/** README.md with its table made anew. */
export async function withReadinessTable(text: string): Promise<string> {
  const [start, end] = markers.map((marker) => text.indexOf(marker));
  if (start! < 0 || end! < start!) throw new Error(`The file lacks the lines ${markers.join(" and ")}.`);
  return `${text.slice(0, start)}${markers[0]}\n\n${await readinessTable(readinessModels)}\n\n${
    text.slice(end)
  }`;
}

if (import.meta.main) {
  const readme = new URL("README.md", import.meta.url);
  await Deno.writeTextFile(readme, await withReadinessTable(await Deno.readTextFile(readme)));
}
