/**
 * One declarative description per architecture; one shared forward and backward reads them. engine/model/README.md says
 * how to add one. Legend: D hidden size, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */
import type { Rope } from "./rope.ts";

/** The elementwise function on the gate branch of the gated MLP. */
export type Activation = "silu" | "gelu_tanh";

/** Which RMSNorms a layer has, by their name below `model.layers.N.`; absent ones are not applied. */
export interface LayerNorms {
  /** Name of the norm before attention. */
  readonly beforeAttention?: string;
  /** Name of the norm of its output. */
  readonly afterAttention?: string;
  /** Name of the norm before the MLP. */
  readonly beforeMlp?: string;
  /** Name of the norm of its output. */
  readonly afterMlp?: string;
}

/** What distinguishes one decoder architecture from another, apart from sizes. */
export interface Architecture {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** Where norms stand in a layer. */
  readonly norms: LayerNorms;
  /** The gain of every RMSNorm is `normOffset + weight`: 1 for Gemma, else 0. */
  readonly normOffset: 0 | 1;
  /** q_norm and k_norm: over all heads at once (`projection`), or over each head by itself with one gain [C] (`head`). */
  readonly queryKeyNorm: "none" | "projection" | "head";
  /** Embeddings are multiplied by sqrt(D) after lookup (Gemma). */
  readonly scaleEmbedding: boolean;
  /** Whether q, k and v have biases: always, never, or if `attention_bias` says so, and then attention's output has one too. */
  readonly attentionBias: "always" | "never" | "configured";
  /**
   * Layers that attend within `sliding_window`, where `layer_types` does not list them: none; all but each Nth, N being
   * `sliding_window_pattern` or this number; all; or those from `max_window_layers` on if `use_sliding_window` is set.
   */
  readonly slidingLayers: "none" | "all" | "switched" | { readonly allButEach: number };
  /** The key of config.json that names the activation. */
  readonly activationKey: "hidden_act" | "hidden_activation";
  /** Whether full and sliding layers have rotary positions of their own. */
  readonly ropeByLayerType: boolean;
  /** Keys of config.json that mean something in some architectures and do here; see config_keys.ts. */
  readonly ownKeys: readonly string[];
  /** What transformers assumes for keys that config.json leaves out, where it differs between architectures. */
  readonly absentKeys?: Readonly<Record<string, unknown>>;
}

/** Sizes and constants of one model, read from its config.json. */
export interface ModelConfig {
  /** What kind of model it is. */
  readonly architecture: Architecture;
  /** D */
  readonly hiddenSize: number;
  /** L */
  readonly layers: number;
  /** H */
  readonly queryHeads: number;
  /** K */
  readonly keyValueHeads: number;
  /** C */
  readonly headWidth: number;
  /** F */
  readonly mlpWidth: number;
  /** V */
  readonly vocabSize: number;
  /** Added to mean squares before their root. */
  readonly normEpsilon: number;
  /** Rotary positions of layers that attend to everything, and of those that attend within the window. */
  readonly rope: Rope;
  /** Rotary positions of layers with a window. */
  readonly slidingRope: Rope;
  /** Tokens of the longest sequence it was made for. */
  readonly maxPositions: number;
  /** Factor on q·k before the soft cap: query_pre_attn_scalar^-1/2 for Gemma, else C^-1/2. */
  readonly attentionScale: number;
  /** Soft cap on attention scores, 0 for none. */
  readonly attentionSoftCap: number;
  /** Soft cap on logits, 0 for none. */
  readonly finalSoftCap: number;
  /** Per layer the width in tokens of the window it attends in, 0 for all earlier positions. */
  readonly windows: readonly number[];
  /** Which projections have biases. */
  readonly biases: { readonly qkv: boolean; readonly output: boolean };
  /** Of the gate. */
  readonly activation: Activation;
  /** Whether the embedding is the output matrix as well. */
  readonly tiedEmbedding: boolean;
  /** Ids that end a generation. */
  readonly eosTokens: readonly number[];
}

/** What most decoders have in common: norms before each branch, plain gains, biases only if configured. */
const base = {
  norms: { beforeAttention: "input_layernorm", beforeMlp: "post_attention_layernorm" },
  normOffset: 0,
  queryKeyNorm: "none",
  scaleEmbedding: false,
  attentionBias: "configured",
  slidingLayers: "none",
  activationKey: "hidden_act",
  ropeByLayerType: false,
  ownKeys: [],
} as const satisfies Omit<Architecture, "modelType">;

/** Llama: nothing else. */
const llama: Architecture = { ...base, modelType: "llama" };

/** Mistral: all layers attend within the window, where there is one. */
const mistral: Architecture = {
  ...base,
  modelType: "mistral",
  attentionBias: "never",
  slidingLayers: "all",
  absentKeys: { sliding_window: 4096, num_key_value_heads: 8 },
};

/** OLMo-2: norms after each branch, and on the whole q and k projections. */
const olmo2: Architecture = {
  ...base,
  modelType: "olmo2",
  norms: { afterAttention: "post_attention_layernorm", afterMlp: "post_feedforward_layernorm" },
  queryKeyNorm: "projection",
};

const qwenKeys = {
  use_sliding_window: false,
  sliding_window: 4096,
  max_window_layers: 28,
  num_key_value_heads: 32,
};

/** Qwen2 and Qwen2.5: biases on q, k and v. */
const qwen2: Architecture = {
  ...base,
  modelType: "qwen2",
  attentionBias: "always",
  slidingLayers: "switched",
  absentKeys: qwenKeys,
};

/** Qwen3: a norm on each q and k head instead of biases. */
const qwen3: Architecture = {
  ...base,
  modelType: "qwen3",
  queryKeyNorm: "head",
  slidingLayers: "switched",
  absentKeys: { ...qwenKeys, head_dim: 128 },
};

/** Gemma-2: norms on both sides of each branch, gain 1 + w, soft caps, windows in every other layer. */
const gemma2: Architecture = {
  ...base,
  modelType: "gemma2",
  norms: {
    beforeAttention: "input_layernorm",
    afterAttention: "post_attention_layernorm",
    beforeMlp: "pre_feedforward_layernorm",
    afterMlp: "post_feedforward_layernorm",
  },
  normOffset: 1,
  scaleEmbedding: true,
  slidingLayers: { allButEach: 2 },
  activationKey: "hidden_activation",
  ownKeys: ["attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar"],
  absentKeys: {
    num_key_value_heads: 4,
    hidden_act: "gelu_pytorch_tanh",
    tie_word_embeddings: true,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    head_dim: 256,
  },
};

/** Gemma-3 (text): norms on each q and k head instead of soft caps, five windowed layers to each full one, two rotary bases. */
const gemma3: Architecture = {
  ...gemma2,
  modelType: "gemma3_text",
  queryKeyNorm: "head",
  slidingLayers: { allButEach: 6 },
  ropeByLayerType: true,
  // Its code has no soft cap on attention, whatever config.json says.
  ownKeys: [
    "final_logit_softcapping",
    "query_pre_attn_scalar",
    "rope_local_base_freq",
    "sliding_window_pattern",
  ],
  absentKeys: {
    num_key_value_heads: 4,
    hidden_act: "gelu_pytorch_tanh",
    tie_word_embeddings: true,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    head_dim: 256,
  },
};

/** Every architecture this engine runs, by `model_type`. */
export const architectures: Readonly<Record<string, Architecture>> = Object.fromEntries(
  [gemma2, gemma3, llama, mistral, olmo2, qwen2, qwen3].map((one) => [one.modelType, one]),
);

/** The rotary positions of a layer. */
export function ropeOf(config: ModelConfig, layer: number): Rope {
  return config.windows[layer]! > 0 ? config.slidingRope : config.rope;
}
