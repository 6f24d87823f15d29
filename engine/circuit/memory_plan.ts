/**
 * What each stage of the method holds on the GPU, known before anything is loaded: the engine's own stages run on a Gpu
 * without a device, so that the plan cannot differ from what the engine does. All sizes in bytes.
 */
import { InputError } from "../errors.ts";
import { idleLimit } from "../gpu/gpu.ts";
import { mebibytes } from "../gpu/sizes.ts";
import { type BufferLimits, type SizedBuffer, SizingGpu } from "../gpu/sizing_gpu.ts";
import { type MemoryPart, memoryParts } from "../gpu/tensor.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { generate } from "../model/generate.ts";
import { Model } from "../model/model.ts";
import type { FloatType } from "../checkpoint/checkpoint.ts";
import { SharedPrefix } from "../model/shared_prefix.ts";
import type { StorageChoice, WeightSource } from "../model/weights.ts";
import type { Selection } from "./components.ts";
import type { TokenPair } from "./localization.ts";
import { learnMask } from "./mask_training.ts";
import { type OptimizerName, SparseUpdate } from "./update.ts";

/** How much work the stages are planned for. Lengths in tokens. */
export interface Workload {
  /** Beginning that all prompts share (few-shot examples). */
  readonly sharedTokens: number;
  /** Length of a prompt, the shared beginning included. */
  readonly promptTokens: number;
  /** Tokens generated for each prompt. */
  readonly newTokens: number;
  /** Prompts of one call. */
  readonly prompts: number;
  /** Localization examples; their prefixes are a prompt and half a trace. */
  readonly examples: number;
  /** Examples of a mask step. */
  readonly maskBatch: number;
  /** Fraction of the components that the update moves. */
  readonly selected: number;
  /** What the update keeps moments for. */
  readonly optimizer: OptimizerName;
}

/** Eight worked examples before each question, and the share of components that the paper's headline changes. */
export const workloadDefaults: Workload = {
  sharedTokens: 1024,
  promptTokens: 1152,
  newTokens: 256,
  prompts: 1000,
  examples: 500,
  maskBatch: 8,
  selected: 0.0159,
  optimizer: "adamw",
};

/** The workload as given; what is not given is the default, shortened to what the context takes. */
function workloadFor(contextLength: number, given: Partial<Workload> = {}): Workload {
  const newTokens = given.newTokens ?? Math.min(workloadDefaults.newTokens, Math.ceil(contextLength / 4));
  const promptTokens = given.promptTokens ??
    Math.min(workloadDefaults.promptTokens, contextLength - newTokens);
  const sharedTokens = given.sharedTokens ?? Math.min(workloadDefaults.sharedTokens, promptTokens - 1);
  return { ...workloadDefaults, ...given, newTokens, promptTokens, sharedTokens };
}

/** The stages of the method, as far as memory goes. */
export const memoryStages = ["generate", "mask", "update"] as const;
/** See memoryStages. */
export type MemoryStage = typeof memoryStages[number];

/** What one stage holds. */
export interface StagePlan {
  /** Most bytes in use at once. */
  readonly bytes: number;
  /** Per part, the most it takes at any time; parts peak at different times, so their sum may exceed `bytes`. */
  readonly parts: Readonly<Record<MemoryPart, number>>;
  /** Largest single buffer. */
  readonly largest: SizedBuffer;
  /** Why the stage cannot run, as clauses without a subject; empty where it can. */
  readonly problems: readonly string[];
}

/** The plan of a model on an adapter. */
export interface MemoryPlan {
  /** Values of the model. */
  readonly parameters: number;
  /** Longest sequence in tokens. */
  readonly contextLength: number;
  /** Most bytes of keys and values that a stage holds. */
  readonly cacheBytes: number;
  /** What was planned for. */
  readonly workload: Workload;
  /** What each stage needs. */
  readonly stages: Readonly<Record<MemoryStage, StagePlan>>;
  /** Unused buffers kept for reuse, at most, beside what a stage holds. */
  readonly reserve: number;
  /** Most that any stage needs, the reserve included. */
  readonly total: number;
  /** First thing that does not fit, if any: a clause that names stage, need and limit. */
  readonly problem: string | undefined;
}

/** What is planned, and for which adapter. */
export interface PlanRequest {
  /** The model. */
  readonly config: ModelConfig;
  /** A checkpoint, or the format that its weights would have in one. */
  readonly weights: WeightSource | FloatType;
  /** How weights are held; as in LoadOptions. */
  readonly storage?: StorageChoice;
  /** Tokens of the longest sequence; as in LoadOptions. */
  readonly contextLength?: number;
  /** Most bytes of keys and values that a stage holds at once, default as LoadOptions. */
  readonly cacheBytes?: number;
  /** Limits of the adapter. */
  readonly limits: BufferLimits;
  /** Whether the adapter is software Vulkan, which decodes other batches. */
  readonly software?: boolean;
  /** Bytes of GPU memory where known: WebGPU does not tell. */
  readonly gpuMemory?: number;
  /** What to plan for; the rest is workloadDefaults. */
  readonly workload?: Partial<Workload>;
}

/**
 * A model of which there are only sizes: what is planned runs on it.
 *
 * @throws {InputError} for a context that cannot fit.
 */
export async function sizedModel(
  gpu: SizingGpu,
  { config, weights, storage, contextLength, cacheBytes }: Omit<PlanRequest, "limits">,
): Promise<Model> {
  const described = typeof weights === "string";
  const source = described ? withoutValues(weights as FloatType) : weights as WeightSource;
  return await Model.from(gpu, config, { ...bind(source), readRaw: noValues }, {
    // Without a checkpoint's size to go by, 16-bit formats stay what they are.
    storage: described && storage !== "f32" ? "checkpoint" : storage ?? "auto",
    ...(contextLength !== undefined && { contextLength }),
    ...(cacheBytes !== undefined && { cacheBytes }),
  });
}

/**
 * Plans all stages.
 *
 * @throws {InputError} for a context or workload that no adapter with these limits could run.
 *
 * @example Bytes that a stage needs
 * ```ts
 * import { planMemory, readConfig } from "../../mod.ts";
 *
 * const config = await readConfig("fixtures/gemma2-mini");
 * const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
 * const plan = await planMemory({ config, weights: "F16", limits });
 * console.log(plan.stages.update.bytes);
 * ```
 */
export async function planMemory(request: PlanRequest): Promise<MemoryPlan> {
  const { config, limits, gpuMemory } = request;
  const gpu = new SizingGpu(limits, request.software ?? false);
  using model = await sizedModel(gpu, request);
  const work = workloadFor(model.contextLength, request.workload);
  const tail = (e: number, length: number) =>
    Array.from({ length }, (_, i) => Math.floor(e / config.vocabSize ** i) % config.vocabSize);
  const shared = Math.min(work.sharedTokens, work.promptTokens - 1);
  const prompt = (e: number) => [...Array(shared).fill(0), ...tail(e, work.promptTokens - shared)];
  const halfTrace = Array(Math.floor(work.newTokens / 2)).fill(0);
  const examples = Array.from({ length: work.examples }, (_, e): TokenPair => ({
    prefix_ids: [...prompt(e), ...halfTrace],
    desired_token: 0,
    undesired_token: 1,
  }));
  const requests = Array.from({ length: work.prompts }, (_, e) => ({ ids: prompt(e) }));
  const answer = (sharedPrefix?: SharedPrefix) =>
    generate(model, requests, {
      maxNewTokens: work.newTokens,
      stopTokens: [],
      ...(sharedPrefix && { sharedPrefix }),
    });
  // As a run does it, the shared beginning stays on the GPU until the weights change.
  using sharedPrefix = new SharedPrefix(model, Array(shared).fill(0));
  const stages = {
    generate: await planStage(gpu, () => answer(sharedPrefix)),
    mask: await planStage(
      gpu,
      () => learnMask(model, examples, { epochs: 1, batch: work.maskBatch, sharedPrefix }),
    ),
    update: await planStage(gpu, async () => {
      sharedPrefix[Symbol.dispose]();
      const { optimizer } = work;
      const options = { objective: "preference", optimizer, rate: 0, weightDecay: 0 } as const;
      using update = new SparseUpdate(model, evenly(model, work.selected), examples, options);
      await update.step();
      await answer(); // validation, while the update is under way
      model.revert();
    }),
  };
  const total = Math.max(...memoryStages.map((stage) => stages[stage].bytes)) + idleLimit;
  return {
    parameters: model.parameters,
    contextLength: model.contextLength,
    cacheBytes: model.cacheBytes,
    workload: work,
    stages,
    reserve: idleLimit,
    total,
    problem: memoryStages.flatMap((stage) => stages[stage].problems.map((why) => `${stage} ${why}`))[0] ??
      memoryStages.flatMap((stage) => {
        const needed = stages[stage].bytes + idleLimit;
        if (gpuMemory === undefined || needed <= gpuMemory) return [];
        return [`${stage} needs ${mebibytes(needed)} of GPU memory and there are ${mebibytes(gpuMemory)}`];
      })[0],
  };
}

/**
 * What of a request to change so that its plan has no problem: completes "It would fit with …". Tries, in this order,
 * 16-bit storage, smaller caches, a smaller mask batch, shorter prompts and traces, a smaller selection, and all together.
 *
 * @example Advice for a small adapter
 * ```ts
 * import { readConfig, whatWouldFit } from "../../mod.ts";
 *
 * const config = await readConfig("fixtures/gemma2-mini");
 * const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
 * console.log(await whatWouldFit({ config, weights: "F16", limits, gpuMemory: 2 ** 20 }));
 * ```
 */
export async function whatWouldFit(request: PlanRequest): Promise<string> {
  const { cacheBytes, workload: work } = await planMemory(request);
  const wide = request.storage === "f32" || request.weights === "F32";
  const narrow: Partial<PlanRequest> = wide
    ? { storage: "checkpoint", weights: typeof request.weights === "string" ? "BF16" : request.weights }
    : {};
  const caches = [2, 8, 32].map((part): Change => ({
    changed: { cacheBytes: cacheBytes / part },
    remedy: `caches of ${(cacheBytes / part / 2 ** 30).toPrecision(2)} GiB (cache-memory)`,
  }));
  const batches = [4, 1].filter((batch) => batch < work.maskBatch).map((maskBatch): Change => ({
    work: { maskBatch },
    remedy: `a batch of ${maskBatch} (mask-batch)`,
  }));
  const shorter = [2, 4, 8].map((part): Change => {
    const promptTokens = Math.max(2, Math.floor(work.promptTokens / part));
    const newTokens = Math.max(1, Math.floor(work.newTokens / part));
    return {
      work: { sharedTokens: Math.floor(work.sharedTokens / part), promptTokens, newTokens },
      remedy: `a shorter context, prompts of ${promptTokens} tokens and ${newTokens} new ones`,
    };
  });
  const fewer = [4, 16].map((part): Change => ({
    work: { selected: work.selected / part },
    remedy: `${(100 * work.selected / part).toPrecision(2)} % of the components`,
  }));
  const kinds = [
    wide ? [{ changed: narrow, remedy: "16-bit storage (storage checkpoint)" }] : [],
    caches,
    batches,
    shorter,
    fewer,
  ];
  let chosen = kinds.flatMap((changes) => changes.slice(-1));
  if (!await fits(chosen)) return "another adapter only";
  for (const changes of kinds) {
    const furthest = changes.at(-1);
    if (!furthest || !await fits([furthest])) continue;
    for (const milder of changes) if (milder === furthest || await fits([milder])) return milder.remedy;
  }
  // Take back what is not needed, and of the rest as much as can be; what costs the user most goes first.
  for (const changes of kinds.toReversed()) {
    const others = chosen.filter((change) => !changes.includes(change));
    for (const milder of [[], ...changes.map((change) => [change])]) {
      if (await fits([...others, ...milder])) {
        chosen = [...others, ...milder];
        break;
      }
    }
  }
  const remedies = kinds.flat().filter((change) => chosen.includes(change)).map(({ remedy }) => remedy);
  return `${remedies.join(" and ")} together`;

  async function fits(changes: readonly Change[]): Promise<boolean> {
    const changed: Partial<PlanRequest> = Object.assign({}, ...changes.map(({ changed }) => changed));
    const workload: Partial<Workload> = Object.assign({ ...work }, ...changes.map(({ work }) => work));
    return (await planMemory({ ...request, ...changed, workload })).problem === undefined;
  }
}

/** A change to a request, in words as well. */
interface Change {
  readonly changed?: Partial<PlanRequest>;
  readonly work?: Partial<Workload>;
  readonly remedy: string;
}

/** Runs a stage and reads off what it held. */
async function planStage(gpu: SizingGpu, stage: () => Promise<unknown>): Promise<StagePlan> {
  await gpu.trim();
  gpu.startStage();
  const refused: string[] = [];
  try {
    await stage();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    refused.push(`is refused: ${error.message.replace(/\.$/, "")}`);
  }
  const parts = Object.fromEntries(memoryParts.map((part) => [part, gpu.parts.get(part) ?? 0]));
  const excessive = [...gpu.excessive.values()].map(({ label, shape, bytes }) =>
    `needs one buffer of ${mebibytes(bytes)} for "${label}" [${shape}], where the adapter allows ${
      mebibytes(gpu.bindingBytes)
    }`
  );
  return {
    bytes: gpu.memory.peakBytes,
    parts: parts as Record<MemoryPart, number>,
    largest: gpu.largest,
    problems: [...refused, ...excessive],
  };
}

/** A selection of this fraction of the components, spread evenly over all of them. */
function evenly(model: Model, fraction: number): Selection {
  return Array.from(
    { length: model.config.layers * model.componentsPerLayer },
    (_, i) => Math.floor((i + 1) * fraction) > Math.floor(i * fraction),
  );
}

/** Weights of any name and shape, all stored alike. */
function withoutValues(dtype: FloatType): Omit<WeightSource, "readRaw"> {
  const tensor = (name: string, shape: readonly number[] = []) => ({
    name,
    dtype,
    shape: [...shape],
    file: "",
    byteStart: 0,
    byteEnd: 0,
  });
  return { names: () => [], tensor, require: tensor };
}

const noValues = () => Promise.resolve(new Uint8Array(0));

function bind(source: Omit<WeightSource, "readRaw">): Omit<WeightSource, "readRaw"> {
  return {
    names: () => source.names(),
    tensor: (name) => source.tensor(name),
    require: (name, shape) => source.require(name, shape),
  };
}
