/** The memory plan of a model as `deno task doctor --model` prints it. */
import {
  memoryParts,
  type MemoryPlan,
  memoryStages,
  planMemory,
  type PlanRequest,
  whatWouldFit,
  type Workload,
  workloadDefaults,
} from "../engine/circuit/memory_plan.ts";
import { InputError } from "../engine/errors.ts";
import { type Gpu, mebibytes } from "../engine/gpu/gpu.ts";
import { modelConfig, readConfig } from "../engine/model/config.ts";
import { resolveModel } from "../engine/checkpoint/hub.ts";
import { publishedShapes } from "../engine/model/published_shapes.ts";
import { Checkpoint } from "../engine/checkpoint/checkpoint.ts";
import type { StorageChoice } from "../engine/model/weights.ts";
import { settingDefaults } from "../engine/run/settings.ts";
import { type Flag, type FlagValues, types } from "./command.ts";
import { cacheFlag } from "./run_flags.ts";

const w = workloadDefaults;
const count = (name: string, help: string, usual: number): Flag => ({
  name,
  value: "N",
  help: `${help} (default ${usual}, or what the context takes)`,
  type: types.integer(1),
});

/** What to plan, and for how much work. */
export const memoryFlags: readonly Flag[] = [
  {
    name: "model",
    value: "DIR|HF-ID|NAME",
    help: `model to plan memory for: a folder, an id that was downloaded before, or one of ${
      Object.keys(publishedShapes).join(", ")
    }`,
    type: types.text,
  },
  {
    name: "gpu-memory",
    value: "GIB",
    help: "memory of the GPU, which WebGPU does not tell; without it only buffer limits are checked",
    type: types.positive,
  },
  {
    name: "storage",
    value: "KIND",
    help: "weights on the GPU: auto, checkpoint (16-bit stays 16-bit) or f32",
    type: types.oneOf("auto", "checkpoint", "f32"),
    fallback: settingDefaults.storage,
  },
  cacheFlag,
  count("shared-tokens", "tokens that all prompts begin with, such as worked examples", w.sharedTokens),
  count("prompt-tokens", "tokens of a prompt, the shared ones included", w.promptTokens),
  count("max-new-tokens", "longest trace in tokens", w.newTokens),
  {
    name: "examples",
    value: "N",
    help: "localization examples",
    type: types.integer(1),
    fallback: w.examples,
  },
  {
    name: "mask-batch",
    value: "N",
    help: "examples per mask step",
    type: types.integer(1),
    fallback: w.maskBatch,
  },
  {
    name: "selected",
    value: "FRACTION",
    help: "share of the components that the update moves",
    type: types.fraction,
    fallback: w.selected,
  },
];

/** A plan and, if something does not fit, one sentence that says what would. */
export interface MemoryReport {
  readonly plan: MemoryPlan;
  readonly refusal: string | undefined;
}

/** Plans the model that the flags name for this adapter. Throws InputError for one that there is not. */
export async function reportMemory(values: FlagValues, gpu: Gpu): Promise<MemoryReport> {
  const name = values.model as string;
  const [gpuMemory, cacheMemory] = [
    values["gpu-memory"] as number | undefined,
    values["cache-memory"] as number,
  ];
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const common = {
    storage: values.storage as StorageChoice,
    ...(cacheMemory > 0 && { cacheBytes: cacheMemory * 2 ** 30 }),
    limits: { maxBufferSize, maxStorageBufferBindingSize },
    software: gpu.isSoftware,
    ...(gpuMemory !== undefined && { gpuMemory: gpuMemory * 2 ** 30 }),
    workload: {
      ...given("sharedTokens", values["shared-tokens"]),
      ...given("promptTokens", values["prompt-tokens"]),
      ...given("newTokens", values["max-new-tokens"]),
      examples: values.examples as number,
      maskBatch: values["mask-batch"] as number,
      selected: values.selected as number,
    },
  };
  const plan = async (request: PlanRequest): Promise<MemoryReport> => {
    const plan = await planMemory(request);
    return {
      plan,
      refusal: plan.problem &&
        `"${name}" does not fit: ${plan.problem}; it would fit with ${await whatWouldFit(request)}.`,
    };
  };
  const shape = publishedShapes[name];
  const isFolder = await Deno.stat(name).then((info) => info.isDirectory, () => false);
  if (shape && !isFolder) return await plan({ ...common, config: modelConfig(shape, name), weights: "BF16" });
  const folder = isFolder ? name : await downloadedFolder(name);
  const config = await readConfig(folder);
  using checkpoint = await Checkpoint.open(folder);
  return await plan({ ...common, config, weights: checkpoint });
}

/** The folder of a Hugging Face id that was downloaded before: a plan is no reason to download gigabytes. */
async function downloadedFolder(name: string): Promise<string> {
  try {
    return (await resolveModel(name, { offline: true })).folder;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `"${name}" is neither a model folder nor an id in the Hugging Face cache nor one of ${
        Object.keys(publishedShapes).join(", ")
      }.`,
    );
  }
}

const given = (name: keyof Workload, value: unknown) => value === undefined ? {} : { [name]: value };

/** The plan as a table in MiB. */
export function memoryLines(name: string, { stages, ...plan }: MemoryPlan): string[] {
  const row = (title: string, cells: readonly string[]) =>
    `memory    ${title.padEnd(16)}${cells.map((cell) => cell.padStart(12)).join("")}`;
  const cells = (bytesOf: (stage: MemoryPlan["stages"]["mask"]) => number) =>
    memoryStages.map((stage) => mebibytes(bytesOf(stages[stage])));
  const w = plan.workload;
  const { label, shape, bytes } = memoryStages.map((stage) => stages[stage].largest)
    .reduce((a, b) => b.bytes > a.bytes ? b : a);
  return [
    `model     ${name}: ${(plan.parameters / 1e6).toFixed(1)} M parameters, context ${plan.contextLength}`,
    `memory    for prompts of ${w.promptTokens} tokens (${w.sharedTokens} shared) and ${w.newTokens} new ones, ` +
    `${w.examples} examples, mask batch ${w.maskBatch}, ${(100 * w.selected).toPrecision(3)} % of components`,
    row("", memoryStages),
    ...memoryParts.filter((part) => memoryStages.some((stage) => stages[stage].parts[part] > 0))
      .map((part) => row(part, cells(({ parts }) => parts[part]))),
    row("most at once", cells(({ bytes }) => bytes)),
    `memory    ${mebibytes(plan.total)} in all, ${mebibytes(plan.reserve)} of it for buffers between uses`,
    `memory    largest buffer ${mebibytes(bytes)}: ${label} [${shape}]`,
  ];
}
