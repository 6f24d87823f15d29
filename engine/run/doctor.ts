/** What an adapter is, what it can do, what is missing with the remedy, and whether a model fits. */
import { resolveModel } from "../checkpoint/hub.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import {
  type MemoryPlan,
  planMemory,
  type PlanRequest,
  whatWouldFit,
  type Workload,
  workloadDefaults,
} from "../circuit/memory_plan.ts";
import { InputError } from "../errors.ts";
import { adapterRemedy } from "../gpu/device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import { withSnakeCaseKeys } from "../json_keys.ts";
import { modelConfig, readConfig } from "../model/config.ts";
import { publishedShapes } from "../model/published_shapes.ts";
import { fill } from "../ops/elementwise.ts";
import { maskDefinitions } from "./settings/method.ts";
import { memoryDefinitions, type MemorySettings } from "./settings/model.ts";
import { checkSettings, setting, type Some } from "./settings/setting.ts";
import { fraction, integer, positive, text } from "./settings/value_types.ts";
import { openGLNote } from "./start_options.ts";

const w = workloadDefaults;
const shapes = Object.keys(publishedShapes);

/** What to plan memory for, and for how much work. */
export const memoryPlanDefinitions = {
  model: {
    source: setting({
      name: "model",
      type: text("DIR|HF-ID|NAME"),
      otherwise: "only the adapter is looked at",
      help: `model to plan memory for: a folder, an id that was downloaded before, or one of ${
        shapes.join(", ")
      }`,
      example: "gemma-2-2b",
    }),
    ...memoryDefinitions,
  },
  workload: {
    gpuMemory: setting({
      name: "gpu-memory",
      type: positive("GIB"),
      otherwise: "unknown, and only buffer limits are checked",
      help: "memory of the GPU, which WebGPU does not tell",
      example: "24",
    }),
    sharedTokens: setting({
      name: "shared-tokens",
      type: integer(1, 2 ** 24),
      otherwise: `${w.sharedTokens}, or what the context takes`,
      help: "tokens that all prompts begin with, such as worked examples",
      example: "100",
    }),
    promptTokens: setting({
      name: "prompt-tokens",
      type: integer(1, 2 ** 24),
      otherwise: `${w.promptTokens}, or what the context takes`,
      help: "tokens of a prompt, the shared ones included",
      example: "200",
    }),
    newTokens: setting({
      name: "max-new-tokens",
      type: integer(1, 2 ** 24),
      otherwise: `${w.newTokens}, or what the context takes`,
      help: "longest trace in tokens",
      example: "64",
    }),
    examples: setting({
      name: "examples",
      type: integer(1, 1_000_000),
      default: w.examples,
      help: "localization examples",
      example: "100",
    }),
    maskBatch: maskDefinitions.batch,
    selected: setting({
      name: "selected",
      type: fraction("FRACTION"),
      default: w.selected,
      help: "share of the components that the update moves",
      example: "0.05",
    }),
  },
};

/** What a user may choose of a memory plan; lengths in tokens. */
export interface MemoryChoices {
  /** How weights and caches lie on the GPU. */
  readonly model?: Some<MemorySettings>;
  /** How much work to plan for. */
  readonly workload?:
    & Some<
      Pick<Workload, "sharedTokens" | "promptTokens" | "newTokens" | "examples" | "maskBatch" | "selected">
    >
    /** GiB of the GPU's memory, which WebGPU does not tell. */
    & Some<{ readonly gpuMemory: number }>;
}

/** A plan and, if something does not fit, one sentence that says what would. */
export interface MemoryReport {
  /** What each stage holds. */
  readonly plan: MemoryPlan;
  /** One sentence, where something does not fit. */
  readonly refusal: string | undefined;
}

/**
 * Plans what each stage of the method holds for `model`, a folder, an id that was downloaded before, or the name of a
 * published shape, on this adapter.
 *
 * @throws {InputError} for a model that there is not.
 *
 * @example What a model needs on this adapter
 * ```ts
 * import { Gpu, reportMemory } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * const { refusal } = await reportMemory(gpu, "fixtures/gemma2-mini");
 * console.log(refusal ?? "fits");
 * ```
 */
export async function reportMemory(
  gpu: Gpu,
  model: string,
  given: MemoryChoices = {},
): Promise<MemoryReport> {
  const { model: { storage, cacheMemory }, workload } = checkSettings(memoryPlanDefinitions, given);
  const { gpuMemory, ...work } = workload;
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const known = Object.entries(work).filter(([, value]) => value !== undefined);
  const common = {
    storage,
    ...(cacheMemory > 0 && { cacheBytes: cacheMemory * 2 ** 30 }),
    limits: { maxBufferSize, maxStorageBufferBindingSize },
    software: gpu.isSoftware,
    ...(gpuMemory !== undefined && { gpuMemory: gpuMemory * 2 ** 30 }),
    workload: Object.fromEntries(known) as Partial<Workload>,
  };
  const plan = async (request: PlanRequest): Promise<MemoryReport> => {
    const plan = await planMemory(request);
    return {
      plan,
      refusal: plan.problem &&
        `"${model}" does not fit: ${plan.problem}; it would fit with ${await whatWouldFit(request)}.`,
    };
  };
  const shape = publishedShapes[model];
  const isFolder = await Deno.stat(model).then((info) => info.isDirectory, () => false);
  if (shape && !isFolder) {
    return await plan({ ...common, config: modelConfig(shape, model), weights: "BF16" });
  }
  const folder = isFolder ? model : await downloadedFolder(model);
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
        shapes.join(", ")
      }.`,
      "model",
    );
  }
}

/** A memory plan as files and programs read it: snake_case keys, all sizes in bytes. */
export function memoryRecord(plan: MemoryPlan): Record<string, unknown> {
  return withSnakeCaseKeys(plan) as Record<string, unknown>;
}

const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;
/** Most storage buffers a kernel of ours binds. */
const storageBuffersNeeded = 8;

/** What an adapter is and can do. */
export interface AdapterReport {
  /** Its name. */
  readonly adapter: string;
  /** As the adapter says; may be empty. */
  readonly vendor: string;
  /** As the adapter says; may be empty. */
  readonly architecture: string;
  /** The device as the adapter calls it; may be empty. */
  readonly driver: string;
  /** Whether it is a CPU rasterizer such as llvmpipe. */
  readonly software: boolean;
  /** Whether it is reached through OpenGL, as far as can be told. */
  readonly opengl: boolean;
  /** Deno's version. */
  readonly deno: string;
  /** Limits by WebGPU's own names. */
  readonly limits: Readonly<Record<string, number>>;
  /** Optional features that are used. */
  readonly features: readonly string[];
  /** Milliseconds in which a kernel ran and its result came back. */
  readonly round_trip_ms: number;
  /** What is missing or slow, and the remedy; a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Looks at an adapter and runs a kernel on it.
 *
 * @throws {an} error if what comes back is wrong.
 *
 * @example What this adapter can do
 * ```ts
 * import { Gpu, inspectAdapter } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * console.log((await inspectAdapter(gpu)).notes);
 * ```
 */
export async function inspectAdapter(gpu: Gpu): Promise<AdapterReport> {
  const { info } = gpu.adapter;
  const limits = Object.fromEntries(limitNames.map((name) => [name, gpu.device.limits[name]]));
  const features = (["timestamp-query", "subgroups"] as const).map((name) => ({
    name,
    granted: gpu.device.features.has(name),
  }));
  const notes: string[] = [];
  if (gpu.isOpenGL) notes.push(openGLNote(gpu.adapterName));
  else if (gpu.isSoftware) {
    notes.push(
      "This is software Vulkan: right but slow; a GPU's Vulkan, Metal or D3D12 driver makes it fast.",
    );
  }
  if (limits.maxStorageBuffersPerShaderStage! < storageBuffersNeeded) {
    notes.push(
      `Kernels bind ${storageBuffersNeeded} storage buffers; this adapter allows ${limits.maxStorageBuffersPerShaderStage}; update its driver.`,
    );
  }
  for (const { name, granted } of features) {
    if (!granted) notes.push(`${name} is not available; everything works without it.`);
  }
  return {
    adapter: gpu.adapterName,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.device,
    software: gpu.isSoftware,
    opengl: gpu.isOpenGL,
    deno: Deno.version.deno,
    limits,
    features: features.filter(({ granted }) => granted).map(({ name }) => name),
    round_trip_ms: Number((await roundTrip(gpu)).toFixed(2)),
    notes,
  };
}

/** Runs one kernel and checks what it wrote; returns milliseconds. */
async function roundTrip(gpu: Gpu): Promise<number> {
  const tensor = gpu.tensor([256], "doctor");
  using plan = new Plan(gpu, "doctor");
  fill(plan, tensor, 42);
  plan.run();
  await gpu.fence();
  const start = performance.now();
  plan.run();
  const values = await gpu.read(tensor);
  const elapsed = performance.now() - start;
  gpu.free(tensor);
  if (!values.every((value) => value === 42)) {
    throw new Error(`The adapter computes wrongly. ${adapterRemedy}`);
  }
  return elapsed;
}
