/**
 * The JSON files that describe a model: config.json and generation_config.json in Hugging Face layout.
 * Keys that config.json leaves out take the value transformers would give them.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";
import { type Activation, type Architecture, architectures, type ModelConfig } from "./architecture.ts";
import { type JsonFile, parse, refusal } from "./config_file.ts";
import { checkFlags, checkKeys } from "./config_keys.ts";
import { readRopes, rotarySchema } from "./config_rope.ts";

/** Names of the activations as config.json spells them. */
const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_tanh: "gelu_tanh",
};

// Every message below completes "Field … is …; it must be", so that any failure reads as one sentence.
const flag = z.boolean("true or false");
const upTo = (most: number) =>
  z.int("a positive integer").positive("a positive integer").max(most, `${most} at most`);
/** Far more than any model has, and less than what no memory holds. */
const count = upTo(2 ** 24), length = upTo(2 ** 31), layers = upTo(10_000);
const positive = z.number("a positive number").positive("a positive number");
const softCap = z.number("a positive number or null").nonnegative("a positive number or null").nullish();
const layerType = z.enum(
  ["full_attention", "sliding_attention"],
  '"full_attention" or "sliding_attention", because layers of other types are not supported',
);
const token = z.int("a token id").nonnegative("a token id");
const eosTokens = z.union([token, z.array(token)], "a token id or a list of token ids").nullish()
  .transform((ids) => [ids ?? []].flat());

const configSchema = z.object({
  hidden_size: count,
  num_hidden_layers: layers,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  intermediate_size: count,
  vocab_size: count,
  rms_norm_eps: positive,
  max_position_embeddings: length,
  rope_theta: positive.nullish(),
  original_max_position_embeddings: length.nullish(),
  rope_parameters: rotarySchema,
  rope_scaling: rotarySchema,
  rope_local_base_freq: positive.nullish(),
  attention_bias: flag.nullish(),
  attn_logit_softcapping: softCap,
  final_logit_softcapping: softCap,
  query_pre_attn_scalar: positive.nullish(),
  sliding_window: length.nullish(),
  sliding_window_pattern: count.nullish(),
  use_sliding_window: flag.nullish(),
  max_window_layers: z.int("an integer ≥ 0").nonnegative("an integer ≥ 0").nullish(),
  layer_types: z.array(layerType, "a list of layer types").nullish(),
  tie_word_embeddings: flag.nullish(),
  eos_token_id: eosTokens,
});

/** Keys of config.json that are read. */
export const honouredKeys: ReadonlySet<string> = new Set([
  "model_type",
  "hidden_act",
  "hidden_activation",
  ...Object.keys(configSchema.shape),
]);

type RawConfig = z.infer<typeof configSchema>;

const eosSchema = z.object({ eos_token_id: eosTokens });

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
  checkKeys({ path, object }, architecture, honouredKeys);
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
  const biases = readBiases(file, raw, architecture);
  checkFlags(file, architecture, biases);
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
    ...readRopes(file, raw, architecture, headWidth),
    maxPositions: raw.max_position_embeddings,
    attentionScale: (raw.query_pre_attn_scalar ?? headWidth) ** -0.5,
    attentionSoftCap: raw.attn_logit_softcapping ?? 0,
    finalSoftCap: raw.final_logit_softcapping ?? 0,
    windows: readWindows(file, raw, architecture),
    biases,
    activation: readActivation(file, architecture),
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

/** Which projections have biases, as the architecture has them or `attention_bias` says. */
function readBiases(file: JsonFile, raw: RawConfig, { modelType, attentionBias }: Architecture) {
  const wanted = raw.attention_bias;
  if (attentionBias === "configured") return { qkv: wanted ?? false, output: wanted ?? false };
  const always = attentionBias === "always";
  if (wanted != null && wanted !== always) {
    const has = always ? "always has biases on q, k and v" : "never has biases";
    throw refusal(
      file,
      "attention_bias",
      wanted,
      `${always} or absent, because model_type "${modelType}" ${has}`,
    );
  }
  return { qkv: always, output: false };
}

/**
 * Gemma's key is hidden_activation, and its hidden_act says "gelu" in files where the tanh form is what was trained; all
 * others have hidden_act.
 */
function readActivation(file: JsonFile, { activationKey, modelType }: Architecture): Activation {
  const read = (field: string) => {
    const name = file.object[field];
    const known = typeof name === "string" && Object.hasOwn(activations, name)
      ? activations[name]
      : undefined;
    if (known) return known;
    const supported = Object.keys(activations).map((key) => `"${key}"`).join(", ");
    throw refusal(file, field, name, `one of ${supported}`);
  };
  const { hidden_act: old, hidden_activation: recent } = file.object;
  if (activationKey === "hidden_activation") return read(recent == null ? "hidden_act" : "hidden_activation");
  // Where it is absent, transformers assumes what these models were all trained with.
  const activation = old == null ? "silu" : read("hidden_act");
  if (recent != null && activations[String(recent)] !== activation) {
    const rule = `absent, because model_type "${modelType}" takes its activation from "hidden_act"`;
    throw refusal(file, "hidden_activation", recent, rule);
  }
  return activation;
}

/** Per layer the width of its window, 0 for none: as `layer_types` lists them, else as the architecture has them. */
function readWindows(file: JsonFile, raw: RawConfig, architecture: Architecture): number[] {
  const { num_hidden_layers: layers, layer_types: types, sliding_window: window } = raw;
  const { slidingLayers, modelType } = architecture;
  if (types && types.length !== layers) {
    const rule = `one entry for each of the ${layers} layers that num_hidden_layers gives`;
    throw refusal(file, "layer_types", types, rule);
  }
  const switchedOff = raw.use_sliding_window === false;
  const ofArchitecture = (layer: number): boolean => {
    if (slidingLayers === "none") return false;
    if (slidingLayers === "all") return window != null;
    if (slidingLayers === "switched") return raw.use_sliding_window! && layer >= raw.max_window_layers!;
    return (layer + 1) % (raw.sliding_window_pattern ?? slidingLayers.allButEach) !== 0;
  };
  const widths = Array.from({ length: layers }, (_, layer) => {
    const listed = types?.[layer] && types[layer] === "sliding_attention";
    // These two have one rule for all layers, whatever a file lists.
    if (listed !== undefined && typeof slidingLayers === "string" && slidingLayers !== "switched") {
      if (listed !== ofArchitecture(layer)) {
        const which = slidingLayers === "none" ? "no layer of" : "every layer of";
        throw refusal(
          file,
          `layer_types.${layer}`,
          types![layer],
          `"${listed ? "full" : "sliding"}_attention", because ${which} model_type "${modelType}" slides`,
        );
      }
    }
    if (!(listed ?? ofArchitecture(layer))) return 0;
    if (types && slidingLayers === "switched" && !raw.use_sliding_window) {
      const rule = `true, because layer ${layer} is a sliding one`;
      throw refusal(file, "use_sliding_window", file.object.use_sliding_window, rule);
    }
    if (window == null && types) {
      const rule = `a positive integer, because layer ${layer} is a sliding one`;
      throw refusal(file, "sliding_window", window, rule);
    }
    return window ?? 0;
  });
  if (slidingLayers !== "switched" && raw.use_sliding_window != null) {
    const slides = widths.some((width) => width > 0);
    if (raw.use_sliding_window !== slides) {
      const has = slides ? "has" : "has no";
      const rule =
        `${slides} or absent, because model_type "${modelType}" ${has} sliding layers by its other fields`;
      throw refusal(file, "use_sliding_window", raw.use_sliding_window, rule);
    }
  }
  if (slidingLayers === "none" && window != null && !switchedOff && window < raw.max_position_embeddings) {
    throw refusal(
      file,
      "sliding_window",
      window,
      `absent or max_position_embeddings at least, because no layer of model_type "${modelType}" slides`,
    );
  }
  return widths;
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
