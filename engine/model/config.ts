/**
 * The JSON files that describe a model: config.json and generation_config.json in Hugging Face layout.
 * Keys that config.json leaves out take the value transformers would give them.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { describe, readJsonObject } from "../json_objects.ts";
import { type Activation, type Architecture, architectures, type ModelConfig } from "./architecture.ts";
import type { Rope, RopeScaling } from "./rope.ts";

/** Names of the activations as config.json spells them. */
const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_tanh: "gelu_tanh",
};

// Every message below completes "Field … is …; it must be", so that any failure reads as one sentence.
const flag = z.boolean("true or false");
const count = z.int("a positive integer").positive("a positive integer");
const positive = z.number("a positive number").positive("a positive number");
const softCap = z.number("a positive number or null").nonnegative("a positive number or null").nullish();
const noBias = z.literal(false, "false, because MLPs with a bias are not supported").nullish();
const ropeType = z.enum(
  ["default", "linear", "llama3"],
  'one of "default", "linear", "llama3", because rotary positions scaled otherwise are not supported',
).nullish();
const rotaryBase = z.looseObject({
  rope_theta: positive.nullish(),
  rope_type: ropeType,
  // The older spelling of rope_type.
  type: ropeType,
  factor: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
  partial_rotary_factor: z.literal(1, "1 or absent, because partly rotated heads are not supported")
    .nullish(),
}, "an object or null");
// Newer files nest one object for each type of layer where they differ.
const rotary = rotaryBase.extend({
  full_attention: rotaryBase.nullish(),
  sliding_attention: rotaryBase.nullish(),
}).nullish();
const layerType = z.enum(
  ["full_attention", "sliding_attention"],
  '"full_attention" or "sliding_attention", because layers of other types are not supported',
);
const token = z.int("a token id").nonnegative("a token id");
const eosTokens = z.union([token, z.array(token)], "a token id or a list of token ids").nullish()
  .transform((ids) => [ids ?? []].flat());

const configSchema = z.object({
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  intermediate_size: count,
  vocab_size: count,
  rms_norm_eps: positive,
  max_position_embeddings: count,
  rope_theta: positive.nullish(),
  rope_parameters: rotary,
  rope_scaling: rotary,
  rope_local_base_freq: positive.nullish(),
  partial_rotary_factor: z.literal(1, "1 or absent, because partly rotated heads are not supported")
    .nullish(),
  attention_bias: flag.nullish(),
  mlp_bias: noBias,
  attn_logit_softcapping: softCap,
  final_logit_softcapping: softCap,
  query_pre_attn_scalar: positive.nullish(),
  sliding_window: count.nullish(),
  sliding_window_pattern: count.nullish(),
  use_sliding_window: flag.nullish(),
  max_window_layers: z.int("an integer ≥ 0").nonnegative("an integer ≥ 0").nullish(),
  layer_types: z.array(layerType, "a list of layer types").nullish(),
  tie_word_embeddings: flag.nullish(),
  eos_token_id: eosTokens,
});

type RawConfig = z.infer<typeof configSchema>;

const eosSchema = z.object({ eos_token_id: eosTokens });

/** An object as it stands in a JSON file, and that file's path for messages. */
interface JsonFile {
  readonly path: string;
  readonly object: Record<string, unknown>;
}

/**
 * Reads `config.json` of the model folder `dir`, with the ids that end a generation taken from
 * `generation_config.json` instead, where it names some.
 *
 * @throws {InputError} naming file, field and value when one is missing, malformed, inconsistent or asks for something this engine does not compute.
 *
 * @example What a model is
 * ```ts
 * import { readConfig } from "../../mod.ts";
 *
 * const { layers, queryHeads } = await readConfig("fixtures/gemma2-mini");
 * console.log(layers, queryHeads); // 4 4
 * ```
 */
export async function readConfig(dir: string): Promise<ModelConfig> {
  const path = join(dir, "config.json");
  const object = await readJsonObject(path);
  if (object === undefined) {
    throw new InputError(`File "${path}" does not exist; pass a model folder in Hugging Face layout.`);
  }
  return { ...modelConfig(object, path), eosTokens: await readEosTokens(dir, object, path) };
}

/**
 * The configuration that the object of a config.json describes; `path` names it in messages. Throws InputError like
 * readConfig.
 */
export function modelConfig(object: Record<string, unknown>, path: string): ModelConfig {
  const architecture = readArchitecture({ path, object });
  const file = { path, object: { ...architecture.absentKeys, ...object } };
  const raw = parse(configSchema, file);

  const queryHeads = raw.num_attention_heads;
  const keyValueHeads = raw.num_key_value_heads ?? queryHeads;
  if (queryHeads % keyValueHeads !== 0) {
    throw refusal(
      file,
      "num_key_value_heads",
      keyValueHeads,
      `a divisor of num_attention_heads (${queryHeads})`,
    );
  }
  const headWidth = raw.head_dim ?? raw.hidden_size / queryHeads;
  if (!Number.isInteger(headWidth)) {
    const rule = `a multiple of num_attention_heads (${queryHeads}) unless head_dim is given`;
    throw refusal(file, "hidden_size", raw.hidden_size, rule);
  }
  if (headWidth % 2 !== 0) {
    throw refusal(file, "head_dim", headWidth, "even, because rotary positions turn pairs of channels");
  }
  const biased = architecture.attentionBias === "always";
  return {
    architecture,
    hiddenSize: raw.hidden_size,
    layers: raw.num_hidden_layers,
    queryHeads,
    keyValueHeads,
    headWidth,
    mlpWidth: raw.intermediate_size,
    vocabSize: raw.vocab_size,
    normEpsilon: raw.rms_norm_eps,
    ...readRopes(file, raw),
    maxPositions: raw.max_position_embeddings,
    attentionScale: (raw.query_pre_attn_scalar ?? headWidth) ** -0.5,
    attentionSoftCap: raw.attn_logit_softcapping ?? 0,
    finalSoftCap: raw.final_logit_softcapping ?? 0,
    windows: readWindows(file, raw, architecture),
    biases: {
      qkv: biased || (raw.attention_bias ?? false),
      output: !biased && (raw.attention_bias ?? false),
    },
    activation: readActivation(file),
    tiedEmbedding: raw.tie_word_embeddings ?? false,
    eosTokens: raw.eos_token_id,
  };
}

function readArchitecture(file: JsonFile): Architecture {
  const name = file.object.model_type;
  const known = typeof name === "string" && Object.hasOwn(architectures, name)
    ? architectures[name]
    : undefined;
  if (known) return known;
  const supported = Object.keys(architectures).map((key) => `"${key}"`).join(", ");
  throw refusal(file, "model_type", name, `one of ${supported}`);
}

/** `hidden_activation` wins: Gemma's hidden_act says "gelu" in files where the tanh form is what was trained. */
function readActivation(file: JsonFile): Activation {
  const field = file.object.hidden_activation == null ? "hidden_act" : "hidden_activation";
  // All but Gemma were only ever trained with SiLU, which is also what transformers assumes for them.
  const name = file.object[field] ?? "silu";
  const known = typeof name === "string" && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (known) return known;
  const supported = Object.keys(activations).map((key) => `"${key}"`).join(", ");
  throw refusal(file, field, name, `one of ${supported}`);
}

/** Per layer the width of its window, 0 for none: as `layer_types` lists them, else as the architecture has them. */
function readWindows(file: JsonFile, raw: RawConfig, { slidingLayers }: Architecture): number[] {
  const { num_hidden_layers: layers, layer_types: types, sliding_window: window } = raw;
  if (types && types.length !== layers) {
    const rule = `one entry for each of the ${layers} layers that num_hidden_layers gives`;
    throw refusal(file, "layer_types", types, rule);
  }
  const slides = (layer: number): boolean => {
    if (types) return types[layer] === "sliding_attention";
    if (slidingLayers === "none") return false;
    if (slidingLayers === "all") return true;
    if (slidingLayers === "switched") return raw.use_sliding_window! && layer >= raw.max_window_layers!;
    return (layer + 1) % (raw.sliding_window_pattern ?? slidingLayers.allButEach) !== 0;
  };
  return Array.from({ length: layers }, (_, layer) => {
    if (!slides(layer)) return 0;
    if (window == null && types) {
      throw refusal(
        file,
        "sliding_window",
        window,
        `a positive integer, because layer ${layer} is a sliding one`,
      );
    }
    return window ?? 0;
  });
}

/** Rotary positions of full and of sliding layers, in the older spelling or the newer one. */
function readRopes(file: JsonFile, raw: RawConfig): { rope: Rope; slidingRope: Rope } {
  const parameters = raw.rope_parameters;
  const scaling = raw.rope_scaling;
  const own = parameters?.full_attention ?? parameters;
  const theta = own?.rope_theta ?? raw.rope_theta ?? 10000;
  const rope = parameters
    ? {
      theta,
      scaling: readScaling(
        file,
        parameters.full_attention ? "rope_parameters.full_attention" : "rope_parameters",
        own,
      ),
    }
    : { theta, scaling: readScaling(file, "rope_scaling", scaling) };
  const sliding = parameters?.sliding_attention;
  if (sliding) {
    const slidingScaling = readScaling(file, "rope_parameters.sliding_attention", sliding);
    return { rope, slidingRope: { theta: sliding.rope_theta ?? theta, scaling: slidingScaling } };
  }
  // Gemma-3 stretches the positions of full layers only.
  const local = raw.rope_local_base_freq;
  return { rope, slidingRope: local == null ? rope : { theta: local, scaling: { type: "default" } } };
}

function readScaling(
  file: JsonFile,
  field: string,
  raw: z.infer<typeof rotaryBase> | null | undefined,
): RopeScaling {
  // A factor without a type is how the oldest files wrote a linear one.
  const type = raw?.rope_type ?? raw?.type ??
    (raw?.factor == null || raw.factor === 1 ? "default" : "linear");
  const need = (
    key: "factor" | "low_freq_factor" | "high_freq_factor" | "original_max_position_embeddings",
  ) => {
    const value = raw?.[key];
    if (value == null) {
      throw refusal(
        file,
        `${field}.${key}`,
        value ?? undefined,
        `a positive number, because rope_type is "${type}"`,
      );
    }
    return value;
  };
  switch (type) {
    case "default":
      return { type };
    case "linear":
      return { type, factor: need("factor") };
    case "llama3":
      return {
        type,
        factor: need("factor"),
        lowFrequencyFactor: need("low_freq_factor"),
        highFrequencyFactor: need("high_freq_factor"),
        originalPositions: need("original_max_position_embeddings"),
      };
  }
}

/** The ids that end a generation: those of generation_config.json alone where it names some, as transformers has it, else those of config.json. */
async function readEosTokens(dir: string, object: Record<string, unknown>, path: string): Promise<number[]> {
  const generation = join(dir, "generation_config.json");
  const generationObject = await readJsonObject(generation);
  const own = parse(eosSchema, { path, object }).eos_token_id;
  const further = generationObject
    ? parse(eosSchema, { path: generation, object: generationObject }).eos_token_id
    : [];
  return [...new Set(further.length > 0 ? further : own)];
}

/** Applies a schema and turns its first complaint into an InputError. */
function parse<T>(schema: z.ZodType<T>, file: JsonFile): T {
  const result = schema.safeParse(file.object);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  let value: unknown = file.object;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  throw refusal(file, issue.path.join("."), value, issue.message);
}

function refusal(file: JsonFile, field: string, value: unknown, rule: string): InputError {
  const found = value === undefined
    ? `is missing from file "${file.path}"`
    : `in file "${file.path}" is ${describe(value)}`;
  return new InputError(`Field "${field}" ${found}; it must be ${rule}.`);
}
