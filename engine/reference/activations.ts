/**
 * What the reference model is asked for and what it gives: every value on the way through the decoder.
 * Legend: T tokens, D model width, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */
import type { ReferenceMask } from "./masking.ts";

export interface ForwardOptions {
  readonly mask?: ReferenceMask;
  /** The one position the mask acts at; the last when absent. */
  readonly maskPosition?: number;
}

/** What one layer computed, in order. `raw…` is before the mask, the plain name after it. */
export interface LayerActivations {
  /** [T,D] residual stream coming in */
  readonly input: Float64Array;
  /** [T,D] */
  readonly attentionInput: Float64Array;
  /** [T,H·C] output of q_proj */
  readonly rawQueries: Float64Array;
  /** [T,K·C] output of k_proj */
  readonly rawKeys: Float64Array;
  /** [T,K·C] output of v_proj */
  readonly rawValues: Float64Array;
  /** [T,H·C] before q_norm */
  readonly maskedQueries: Float64Array;
  /** [T,K·C] before k_norm */
  readonly maskedKeys: Float64Array;
  /** [T,H·C] after q_norm and rotary */
  readonly queries: Float64Array;
  /** [T,K·C] after k_norm and rotary */
  readonly keys: Float64Array;
  /** [T,K·C] */
  readonly values: Float64Array;
  /** [T,H·C] input of o_proj */
  readonly attended: Float64Array;
  /** [T,D] output of o_proj */
  readonly attentionOutput: Float64Array;
  /** [T,D] residual stream between attention and MLP */
  readonly middle: Float64Array;
  /** [T,D] */
  readonly mlpInput: Float64Array;
  /** [T,F] */
  readonly gate: Float64Array;
  /** [T,F] */
  readonly up: Float64Array;
  /** [T,F] activation(gate) · up */
  readonly rawNeurons: Float64Array;
  /** [T,F] input of down_proj */
  readonly neurons: Float64Array;
  /** [T,D] output of down_proj */
  readonly mlpOutput: Float64Array;
}

/** A forward pass up to the final norm. */
export interface HiddenResult {
  readonly ids: readonly number[];
  readonly mask: ReferenceMask | undefined;
  readonly maskPosition: number;
  readonly layers: readonly LayerActivations[];
  /** [T,D] residual stream after the last layer */
  readonly final: Float64Array;
  /** [T,D] after the final norm */
  readonly normed: Float64Array;
}

export interface ForwardResult extends HiddenResult {
  /** [T,V] before the soft cap */
  readonly uncappedLogits: Float64Array;
  /** [T,V] */
  readonly logits: Float64Array;
}

export interface BackwardResult {
  /** By weight name; a tied lm_head's gradient is part of `model.embed_tokens.weight`. */
  readonly gradients: Map<string, Float64Array>;
  /** [L][components]; absent when the forward had no mask. */
  readonly mask?: Float64Array[];
}
