/** Every kernel by the name of its file, and the one way to specialise one. Included files are templates like any other. */
import { includeShaders, type Kernel, type ShaderValues } from "../gpu/shader.ts";
import adamw from "../../shaders/adamw.wgsl" with { type: "text" };
import add from "../../shaders/add.wgsl" with { type: "text" };
import advance from "../../shaders/advance.wgsl" with { type: "text" };
import attention from "../../shaders/attention.wgsl" with { type: "text" };
import attentionBackwardKeyValue from "../../shaders/attention_backward_key_value.wgsl" with { type: "text" };
import attentionBackwardKeyValueBroadcast from "../../shaders/attention_backward_key_value_broadcast.wgsl" with {
  type: "text",
};
import attentionBackwardPrefix from "../../shaders/attention_backward_prefix.wgsl" with { type: "text" };
import attentionBackwardPrefixParallel from "../../shaders/attention_backward_prefix_parallel.wgsl" with {
  type: "text",
};
import attentionBackwardQuery from "../../shaders/attention_backward_query.wgsl" with { type: "text" };
import attentionBroadcast from "../../shaders/attention_broadcast.wgsl" with { type: "text" };
import attentionDelta from "../../shaders/attention_delta.wgsl" with { type: "text" };
import attentionParallel from "../../shaders/attention_parallel.wgsl" with { type: "text" };
import attentionParams from "../../shaders/attention_params.wgsl" with { type: "text" };
import attentionPrefixParams from "../../shaders/attention_prefix_params.wgsl" with { type: "text" };
import cappedScore from "../../shaders/capped_score.wgsl" with { type: "text" };
import bias from "../../shaders/bias.wgsl" with { type: "text" };
import biasGradient from "../../shaders/bias_gradient.wgsl" with { type: "text" };
import boundedTanh from "../../shaders/bounded_tanh.wgsl" with { type: "text" };
import cache from "../../shaders/cache.wgsl" with { type: "text" };
import ceilingCopy from "../../shaders/ceiling_copy.wgsl" with { type: "text" };
import ceilingFma from "../../shaders/ceiling_fma.wgsl" with { type: "text" };
import clipNorm from "../../shaders/clip_norm.wgsl" with { type: "text" };
import componentMask from "../../shaders/component_mask.wgsl" with { type: "text" };
import componentMaskBackward from "../../shaders/component_mask_backward.wgsl" with { type: "text" };
import copyRows from "../../shaders/copy_rows.wgsl" with { type: "text" };
import klDivergence from "../../shaders/kl_divergence.wgsl" with { type: "text" };
import crossEntropy from "../../shaders/cross_entropy.wgsl" with { type: "text" };
import embedding from "../../shaders/embedding.wgsl" with { type: "text" };
import embeddingGradient from "../../shaders/embedding_gradient.wgsl" with { type: "text" };
import fill from "../../shaders/fill.wgsl" with { type: "text" };
import gatedMlp from "../../shaders/gated_mlp.wgsl" with { type: "text" };
import gatedMlpBackward from "../../shaders/gated_mlp_backward.wgsl" with { type: "text" };
import gradientStep from "../../shaders/gradient_step.wgsl" with { type: "text" };
import logProbability from "../../shaders/log_probability.wgsl" with { type: "text" };
import maskNorm from "../../shaders/mask_norm.wgsl" with { type: "text" };
import maskState from "../../shaders/mask_state.wgsl" with { type: "text" };
import maskStep from "../../shaders/mask_step.wgsl" with { type: "text" };
import maskTrainingState from "../../shaders/mask_training_state.wgsl" with { type: "text" };
import matmulBroadcast from "../../shaders/matmul_broadcast.wgsl" with { type: "text" };
import matmulNn from "../../shaders/matmul_nn.wgsl" with { type: "text" };
import matmulNt from "../../shaders/matmul_nt.wgsl" with { type: "text" };
import matmulSplit from "../../shaders/matmul_split.wgsl" with { type: "text" };
import matmulTiled from "../../shaders/matmul_tiled.wgsl" with { type: "text" };
import normParams from "../../shaders/norm_params.wgsl" with { type: "text" };
import pairLoss from "../../shaders/pair_loss.wgsl" with { type: "text" };
import productParams from "../../shaders/product_params.wgsl" with { type: "text" };
import rmsnorm from "../../shaders/rmsnorm.wgsl" with { type: "text" };
import rmsnormBackward from "../../shaders/rmsnorm_backward.wgsl" with { type: "text" };
import rmsnormGainGradient from "../../shaders/rmsnorm_gain_gradient.wgsl" with { type: "text" };
import rotaryAppend from "../../shaders/rotary_append.wgsl" with { type: "text" };
import rotaryBackward from "../../shaders/rotary_backward.wgsl" with { type: "text" };
import sample from "../../shaders/sample.wgsl" with { type: "text" };
import softCap from "../../shaders/soft_cap.wgsl" with { type: "text" };
import softCapBackward from "../../shaders/soft_cap_backward.wgsl" with { type: "text" };
import storeProduct from "../../shaders/store_product.wgsl" with { type: "text" };
import sum from "../../shaders/sum.wgsl" with { type: "text" };
import sumSquares from "../../shaders/sum_squares.wgsl" with { type: "text" };
import takeColumns from "../../shaders/take_columns.wgsl" with { type: "text" };
import tokenLogits from "../../shaders/token_logits.wgsl" with { type: "text" };
import tokenLogitsBackward from "../../shaders/token_logits_backward.wgsl" with { type: "text" };
import weights from "../../shaders/weights.wgsl" with { type: "text" };
import weightsEight from "../../shaders/weights_eight.wgsl" with { type: "text" };
import workgroupReduce from "../../shaders/workgroup_reduce.wgsl" with { type: "text" };

/** Templates by name, before their includes are put in. */
export const shaders = {
  adamw,
  add,
  advance,
  attention,
  attention_backward_key_value: attentionBackwardKeyValue,
  attention_backward_key_value_broadcast: attentionBackwardKeyValueBroadcast,
  attention_backward_prefix: attentionBackwardPrefix,
  attention_backward_prefix_parallel: attentionBackwardPrefixParallel,
  attention_backward_query: attentionBackwardQuery,
  attention_broadcast: attentionBroadcast,
  attention_delta: attentionDelta,
  attention_parallel: attentionParallel,
  attention_params: attentionParams,
  attention_prefix_params: attentionPrefixParams,
  capped_score: cappedScore,
  bias,
  bias_gradient: biasGradient,
  bounded_tanh: boundedTanh,
  cache,
  ceiling_copy: ceilingCopy,
  ceiling_fma: ceilingFma,
  clip_norm: clipNorm,
  component_mask: componentMask,
  component_mask_backward: componentMaskBackward,
  copy_rows: copyRows,
  cross_entropy: crossEntropy,
  kl_divergence: klDivergence,
  embedding,
  embedding_gradient: embeddingGradient,
  fill,
  gated_mlp: gatedMlp,
  gated_mlp_backward: gatedMlpBackward,
  gradient_step: gradientStep,
  log_probability: logProbability,
  mask_norm: maskNorm,
  mask_state: maskState,
  mask_step: maskStep,
  mask_training_state: maskTrainingState,
  matmul_broadcast: matmulBroadcast,
  matmul_nn: matmulNn,
  matmul_nt: matmulNt,
  matmul_split: matmulSplit,
  matmul_tiled: matmulTiled,
  norm_params: normParams,
  pair_loss: pairLoss,
  product_params: productParams,
  rmsnorm,
  rmsnorm_backward: rmsnormBackward,
  rmsnorm_gain_gradient: rmsnormGainGradient,
  rotary_append: rotaryAppend,
  rotary_backward: rotaryBackward,
  sample,
  soft_cap: softCap,
  soft_cap_backward: softCapBackward,
  store_product: storeProduct,
  sum,
  sum_squares: sumSquares,
  take_columns: takeColumns,
  token_logits: tokenLogits,
  token_logits_backward: tokenLogitsBackward,
  weights,
  weights_eight: weightsEight,
  workgroup_reduce: workgroupReduce,
} as const;

/** Names of the files in shaders/. */
export type ShaderName = keyof typeof shaders;

const whole = new Map<ShaderName, string>();

/** A kernel specialised with `values`. */
export function kernel(name: ShaderName, values: ShaderValues = {}): Kernel {
  let template = whole.get(name);
  if (template === undefined) whole.set(name, template = includeShaders(name, shaders[name], shaders));
  return { name, template, values };
}
