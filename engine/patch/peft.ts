/**
 * Patches as PEFT LoRA adapters, without loss: k changed rows of a matrix are exactly a LoRA of rank k whose B [O, k] has a one
 * in each changed row and whose A [k, I] holds the deltas, with alpha = rank so that nothing is scaled.
 * Source of the format: PEFT's LoraConfig and save_pretrained (adapter_config.json, adapter_model.safetensors).
 * Legend: O outputs and I inputs of a matrix, k its rank.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import {
  type Checkpoint,
  readTensors,
  type TensorToWrite,
  writeSafetensors,
} from "../checkpoint/checkpoint.ts";
import { InputError } from "../errors.ts";
import { requireWritable } from "../files.ts";
import { writeSettings } from "../checkpoint/written_fields.ts";
import type { Patch } from "./patch.ts";
import { readWholeText } from "../whole_file.ts";

const configFile = "adapter_config.json";
const weightsFile = "adapter_model.safetensors";
const keyPrefix = "base_model.model."; // PEFT's wrapper around a model, whose own names follow

/** What an adapter says about its base. */
export interface AdapterBase {
  /** Hugging Face id or folder: `base_model_name_or_path`. */
  readonly model: string;
  /** Commit, where it is known. */
  readonly revision?: string | undefined;
}

/** Full-matrix change that an adapter makes: scaling · B · A. */
export interface AdapterDelta {
  /** The parameter's name in the checkpoint, e.g. "model.layers.0.mlp.up_proj.weight". */
  readonly name: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly rank: number;
  /** [O, I], row-major. */
  readonly delta: Float32Array<ArrayBuffer>;
}

/**
 * Writes the patch as a PEFT adapter folder. `checkpoint` says how many rows each matrix has.
 *
 * @throws {InputError} where the patch changes something that is not a matrix of the checkpoint, or the folder cannot be written.
 */
export async function exportPeft(
  patch: Patch,
  checkpoint: Checkpoint,
  directory: string,
  base: AdapterBase,
): Promise<void> {
  const tensors: Record<string, TensorToWrite> = {};
  const ranks: Record<string, number> = {};
  for (const { name, rows, delta, columns } of patch.tensors) {
    const shape = checkpoint.tensor(name)?.shape;
    const module = name.match(/^(.+)\.weight$/)?.[1];
    if (!module || shape?.length !== 2 || shape[1] !== columns) {
      throw new InputError(
        `The patch changes ${name} in rows of ${columns}, which is no matrix of the model; use its own model.`,
      );
    }
    const rank = rows.length;
    const oneHot = new Float32Array(shape[0]! * rank);
    rows.forEach((row, r) => oneHot[row * rank + r] = 1);
    tensors[`${keyPrefix}${module}.lora_A.weight`] = { dtype: "F32", shape: [rank, columns], data: delta };
    tensors[`${keyPrefix}${module}.lora_B.weight`] = { dtype: "F32", shape: [shape[0]!, rank], data: oneHot };
    ranks[module] = rank;
  }
  if (patch.tensors.length === 0) {
    throw new InputError("The patch changes nothing, so there is no adapter to write.");
  }
  const rank = Math.max(...Object.values(ranks));
  await requireWritable(directory);
  await writeSafetensors(join(directory, weightsFile), tensors, { format: "pt" });
  await writeSettings(join(directory, configFile), {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base.model,
    revision: base.revision,
    inference_mode: true,
    r: rank,
    lora_alpha: rank,
    rank_pattern: ranks,
    alpha_pattern: ranks,
    target_modules: Object.keys(ranks),
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    use_rslora: false,
    use_dora: false,
  });
}

const count = z.number().int().positive();
const configSchema = z.object({
  peft_type: z.literal("LORA", "only LoRA adapters are read"),
  r: count,
  lora_alpha: z.number(),
  rank_pattern: z.record(z.string(), count).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.literal(false, "DoRA is more than a sum of two products; it is not read").nullish(),
  fan_in_fan_out: z.literal(false, "transposed matrices are not read").nullish(),
  bias: z.literal("none", "adapters that change biases are not read").nullish(),
});

/**
 * Reads a LoRA adapter folder of PEFT's: the change of each matrix it touches, in the file's order.
 *
 * @throws {InputError} for anything that is no LoRA adapter, or one whose change is not scaling · B · A.
 */
export async function readPeft(directory: string): Promise<AdapterDelta[]> {
  const path = join(directory, configFile);
  const text = await readWholeText(path).catch(() => {
    throw new InputError(`"${directory}" is no PEFT adapter: it has no ${configFile}.`);
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InputError(`${path} is not JSON; export the adapter again.`);
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new InputError(`${path}: ${issue!.path.join(".")}: ${issue!.message}.`);
  }
  const config = parsed.data;
  const stored = await readTensors(join(directory, weightsFile));
  return [...stored.keys()].filter((key) => key.endsWith(".lora_A.weight")).map((key): AdapterDelta => {
    const module = key.slice(key.startsWith(keyPrefix) ? keyPrefix.length : 0, -".lora_A.weight".length);
    const a = stored.get(key)!;
    const b = stored.get(key.replace(/lora_A\.weight$/, "lora_B.weight"));
    const [rank, inputs] = a.shape;
    const [outputs, columns] = b?.shape ?? [];
    if (
      !(a.data instanceof Float32Array) || !(b?.data instanceof Float32Array) || !rank || !inputs ||
      !outputs ||
      columns !== rank
    ) {
      throw new InputError(
        `${join(directory, weightsFile)}: ${module} has no B for its A; export the adapter again.`,
      );
    }
    const alpha = ofPattern(config.alpha_pattern, module) ?? config.lora_alpha;
    const scaling = alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
    const delta = new Float32Array(outputs * inputs);
    for (let o = 0; o < outputs; o++) {
      for (let k = 0; k < rank; k++) {
        const factor = scaling * b.data[o * rank + k]!;
        if (factor === 0) continue;
        for (let i = 0; i < inputs; i++) delta[o * inputs + i]! += factor * a.data[k * inputs + i]!;
      }
    }
    return { name: `${module}.weight`, outputs, inputs, rank, delta };
  });
}

/** PEFT's rule: the first key of the pattern that is the end of the module's name, at a point. */
function ofPattern(
  pattern: Readonly<Record<string, number>> | null | undefined,
  module: string,
): number | undefined {
  const key = Object.keys(pattern ?? {}).find((key) => new RegExp(`^(.*\\.)?(${key})$`).test(module));
  return key === undefined ? undefined : pattern![key];
}
