/** How the embedded models are made: sizes, optimizer, schedule. */
import { bosToken, eosToken, longestSequence, padToken } from "./vocabulary.ts";
import type { TrainingOptions } from "./language_training.ts";

/** Which architecture a model is given. */
export const shapes = ["gemma2", "olmo2"] as const;
/** One of shapes. */
export type Shape = typeof shapes[number];

/** Sizes of a model: L layers, D hidden, H query heads, K key/value heads, C head width, F MLP width. */
export interface Sizes {
  /** Number of layers. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Query heads a layer. */
  readonly queryHeads: number;
  /** Key and value heads a layer. */
  readonly keyValueHeads: number;
  /** Width of a head. */
  readonly headWidth: number;
  /** Neurons of an MLP. */
  readonly mlp: number;
  /** Tokens that even layers of a Gemma-2 see. */
  readonly window: number;
}

/** The sizes of the embedded models. */
export const embeddedSizes: Sizes = {
  layers: 4,
  hidden: 128,
  queryHeads: 4,
  keyValueHeads: 2,
  headWidth: 32,
  mlp: 384,
  window: 32,
};

/** Constants of AdamW and of the loss. */
export const trainingOptions: TrainingOptions = {
  betas: [0.9, 0.98],
  epsilon: 1e-8,
  weightDecay: 0.05,
  clip: 1,
  promptWeight: 0.1,
};

/** Steps unless told otherwise: training ends with about 60 % of the arithmetic right. */
export const defaultSteps: Readonly<Record<Shape, number>> = { gemma2: 700, olmo2: 550 };

/** Sequences a step unless told otherwise. */
export const defaultBatch = 64;

const peakRate = 3e-3;
const warmUpSteps = 100;
/** Where the cosine reaches 0; training is meant to stop before. */
const cosineSteps = 1000;

/**
 * The learning rate of step 1, 2, …: a linear warm-up, then half a cosine; longer trainings stretch the cosine.
 *
 * @example Warm-up, then decay
 * ```ts
 * import { learningRate } from "../../engine/pretrain/mod.ts";
 *
 * console.log([0, 50, 699].map((step) => learningRate(step, 700)));
 * ```
 */
export function learningRate(step: number, steps: number): number {
  const end = Math.max(cosineSteps, steps);
  const decayed = Math.max(0, step - warmUpSteps) / (end - warmUpSteps);
  return peakRate * Math.min(1, step / warmUpSteps) * 0.5 * (1 + Math.cos(Math.PI * decayed));
}

/** The contents of generation_config.json: greedy, up to the end token. */
export const generationJson: Readonly<Record<string, unknown>> = {
  bos_token_id: bosToken,
  eos_token_id: eosToken,
  pad_token_id: padToken,
  do_sample: false,
};

/** The contents of config.json. */
export function modelJson(shape: Shape, sizes: Sizes, vocabulary: number): Record<string, unknown> {
  return {
    ...architectureJson(shape, sizes),
    hidden_size: sizes.hidden,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.queryHeads,
    num_key_value_heads: sizes.keyValueHeads,
    head_dim: sizes.headWidth,
    intermediate_size: sizes.mlp,
    vocab_size: vocabulary,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    max_position_embeddings: longestSequence,
    tie_word_embeddings: true,
    attention_bias: false,
    pad_token_id: padToken,
    bos_token_id: bosToken,
    eos_token_id: eosToken,
    torch_dtype: "float16",
  };
}

function architectureJson(shape: Shape, { headWidth, window }: Sizes): Record<string, unknown> {
  if (shape === "olmo2") {
    return { architectures: ["Olmo2ForCausalLM"], model_type: "olmo2", hidden_act: "silu" };
  }
  return {
    architectures: ["Gemma2ForCausalLM"],
    model_type: "gemma2",
    hidden_activation: "gelu_pytorch_tanh",
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    query_pre_attn_scalar: headWidth,
    sliding_window: window,
  };
}

/** Everything that decides what is trained. Equal settings and adapter give equal weights, bit for bit. */
export interface PretrainSettings {
  /** Which architecture. */
  readonly shape: Shape;
  /** How large. */
  readonly sizes: Sizes;
  /** Training steps. */
  readonly steps: number;
  /** Sequences a step. */
  readonly batch: number;
  /** Of initial weights and of training exercises. */
  readonly seed: number;
  /** Of the data sets, whose questions are kept out of training. */
  readonly dataSeed: number;
}
