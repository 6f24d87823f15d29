/**
 * One declarative description per architecture; one shared forward and backward reads them.
 * Legend: D hidden size, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */

/** The elementwise function on the gate branch of the gated MLP. */
export type Activation = "silu" | "gelu_tanh";

/** Which RMSNorms a layer has, by their name below `model.layers.N.`; absent ones are not applied. */
export interface LayerNorms {
  readonly beforeAttention?: string;
  readonly afterAttention?: string;
  readonly beforeMlp?: string;
  readonly afterMlp?: string;
}

/** What distinguishes one decoder architecture from another, apart from sizes. */
export interface Architecture {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly norms: LayerNorms;
  /** The gain of every RMSNorm is `normOffset + weight`: 1 for Gemma, else 0. */
  readonly normOffset: 0 | 1;
  /** `projection`: q_norm/k_norm over all heads at once (OLMo-2). */
  readonly queryKeyNorm: "none" | "projection";
  /** Embeddings are multiplied by sqrt(D) after lookup (Gemma). */
  readonly scaleEmbedding: boolean;
  /** `alternating`: even layers attend within `sliding_window` (Gemma-2). */
  readonly slidingWindow: "none" | "alternating";
}

/** Sizes and constants of one model, read from its config.json. */
export interface ModelConfig {
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
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly maxPositions: number;
  /** Factor on q·k before the soft cap: query_pre_attn_scalar^-1/2 for Gemma, else C^-1/2. */
  readonly attentionScale: number;
  /** Soft cap on attention scores, 0 for none. */
  readonly attentionSoftCap: number;
  /** Soft cap on logits, 0 for none. */
  readonly finalSoftCap: number;
  /** Width of the sliding window in tokens, 0 for none; see Architecture.slidingWindow for which layers. */
  readonly slidingWindow: number;
  readonly activation: Activation;
  readonly tiedEmbedding: boolean;
  /** Ids that end a generation. */
  readonly eosTokens: readonly number[];
}

/** Gemma-2: norms on both sides of each branch, gain 1 + w, soft caps, alternating windows. */
const gemma2: Architecture = {
  modelType: "gemma2",
  norms: {
    beforeAttention: "input_layernorm",
    afterAttention: "post_attention_layernorm",
    beforeMlp: "pre_feedforward_layernorm",
    afterMlp: "post_feedforward_layernorm",
  },
  normOffset: 1,
  queryKeyNorm: "none",
  scaleEmbedding: true,
  slidingWindow: "alternating",
};

/** Llama: norms before each branch. */
const llama: Architecture = {
  modelType: "llama",
  norms: { beforeAttention: "input_layernorm", beforeMlp: "post_attention_layernorm" },
  normOffset: 0,
  queryKeyNorm: "none",
  scaleEmbedding: false,
  slidingWindow: "none",
};

/** OLMo-2: norms after each branch, and on the whole q and k projections. */
const olmo2: Architecture = {
  modelType: "olmo2",
  norms: { afterAttention: "post_attention_layernorm", afterMlp: "post_feedforward_layernorm" },
  normOffset: 0,
  queryKeyNorm: "projection",
  scaleEmbedding: false,
  slidingWindow: "none",
};

/** Every architecture this engine runs, by `model_type`. */
export const architectures: Readonly<Record<string, Architecture>> = { gemma2, llama, olmo2 };

/** Width in tokens of the window that `layer` attends in; 0 means all earlier positions. */
export function windowOf(config: ModelConfig, layer: number): number {
  return config.architecture.slidingWindow === "alternating" && layer % 2 === 0 ? config.slidingWindow : 0;
}
