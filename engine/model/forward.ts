/**
 * Records the forward pass of one layer, and of the whole stack.
 * Legend: N tokens, D hidden, H query heads, K key/value heads, C head width, F MLP width, L layers.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention, type AttentionShape, rotaryAppend } from "../ops/attention.ts";
import { addBias } from "../ops/bias.ts";
import { scaleByMask } from "../ops/component_mask.ts";
import { copyRows, gatedMlp, softCap } from "../ops/elementwise.ts";
import { embed } from "../ops/embedding.ts";
import { linear } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import type { ModelConfig } from "./architecture.ts";
import type { TokenBatch } from "./batch.ts";
import type { Decoder } from "./decoder.ts";
import { type SiteKind, siteWidth, type Tap } from "./sites.ts";

/** Per layer, the K/V cache [rows, 2, K, C]; may be one tensor repeated where nothing is kept between layers. */
export type LayerCaches = readonly Tensor[];

/** What a forward pass may be asked to do besides. */
export interface ForwardOptions {
  /** Component mask [L · components] applied at flagged tokens. */
  readonly mask?: Tensor;
  readonly taps?: readonly Tap[];
}

/** What neighbouring layers hand on: the norm at a layer's start may be taken together with the one at the end of the last. */
export interface NeighbourNorms {
  /** Norm of x for this layer's attention [N, D], if the layer below left it. */
  readonly attentionInput?: Tensor | undefined;
  /** Leave the same for the layer above, where the architecture allows it. */
  readonly next?: boolean;
}

/** The last token of each sequence, in order of sequences: all that anyone reads of the top layer's output. */
export interface LastTokens {
  /** u32 [P, 4]: those tokens' entries. */
  readonly tokens: Tensor;
  /** u32 [P, 2] of (token, row), and of (row, token). */
  readonly gather: Tensor;
  readonly scatter: Tensor;
}

/** What the backward pass of a layer's part up to its keys and values needs. */
export interface ProjectionActivations {
  /** Input of the layer, residual stream [N, D]. */
  readonly x: Tensor;
  /** Input of qkv: x or its norm [N, D]. */
  readonly attentionInput: Tensor;
  /** Projections before and after mask scaling [N, (H + 2K)·C]; the same tensor without a mask. */
  readonly qkvUnmasked: Tensor;
  readonly qkv: Tensor;
  /** Rotated queries [N, H·C]. */
  readonly q: Tensor;
}

/**
 * What a layer's backward pass needs of its forward pass. Absent norms leave their field undefined. With `last`, everything
 * from `q` on has P rows instead of N.
 */
export interface LayerActivations extends ProjectionActivations {
  /** Output of the layer, residual stream [N, D]. */
  readonly out: Tensor;
  readonly last: LastTokens | undefined;
  /** Per-head outputs [N, H·C] and softmax statistics [N, H, 2]. */
  readonly attended: Tensor;
  readonly stats: Tensor;
  /** o_proj output before its norm [N, D]; undefined without afterAttention. */
  readonly attentionOutput: Tensor | undefined;
  /** Residual stream after attention [N, D]. */
  readonly middle: Tensor;
  readonly mlpInput: Tensor;
  /** [N, 2F] */
  readonly gateUp: Tensor;
  /** Neurons before and after mask scaling [N, F]. */
  readonly neuronsUnmasked: Tensor;
  readonly neurons: Tensor;
  /** down_proj output before its norm [N, D]; undefined without afterMlp. */
  readonly mlpOutput: Tensor | undefined;
  /** Norm of `out` for the layer above, which recycles it; see NeighbourNorms. */
  readonly nextInput: Tensor | undefined;
}

/** Components per layer: q heads, k heads, v heads, MLP neurons. */
export function componentsPerLayer(config: ModelConfig): number {
  return config.queryHeads + 2 * config.keyValueHeads + config.mlpWidth;
}

/** The attention shape of a layer. */
export function attentionShape(config: ModelConfig, layer: number): AttentionShape {
  return {
    queryHeads: config.queryHeads,
    keyValueHeads: config.keyValueHeads,
    headWidth: config.headWidth,
    window: config.windows[layer]!,
    scale: config.attentionScale,
    softCap: config.attentionSoftCap,
  };
}

/** How many norms side by side a layer applies to its queries and to its keys. */
export function normedHeads(
  { architecture, queryHeads, keyValueHeads }: ModelConfig,
): readonly [number, number] {
  return architecture.queryKeyNorm === "head" ? [queryHeads, keyValueHeads] : [1, 1];
}

/** The slices of the mask vector that scale a layer's projections and neurons. */
export function maskSlices(config: ModelConfig, layer: number, mask: Tensor) {
  const first = layer * componentsPerLayer(config);
  return {
    heads: { mask, first, width: config.headWidth },
    neurons: { mask, first: first + config.queryHeads + 2 * config.keyValueHeads, width: 1 },
  };
}

/** Embeds a batch: [N, D]. */
export function recordEmbedding(plan: Plan, model: Decoder, batch: TokenBatch): Tensor {
  const { config, weights } = model;
  const x = plan.temp([batch.count, config.hiddenSize], "residual stream");
  embed(
    plan,
    batch.tokens,
    weights.embedding,
    x,
    config.architecture.scaleEmbedding ? Math.sqrt(config.hiddenSize) : 1,
  );
  return x;
}

/** The part of a layer up to its keys and values in the cache: all a prefill needs of the last layer. */
export function recordProjections(
  plan: Plan,
  model: Decoder,
  l: number,
  batch: TokenBatch,
  x: Tensor,
  cache: Tensor,
  options: ForwardOptions,
  normed?: Tensor,
): ProjectionActivations {
  const { config } = model;
  const weights = model.weights.layers[l]!;
  const { queryHeads: H, keyValueHeads: K, headWidth: C } = config;
  const n = batch.count;
  const width = (H + 2 * K) * C;
  recordTaps(plan, options, l, "residual_before", x, config.hiddenSize, config);
  let attentionInput = normed ?? x;
  if (weights.beforeAttention && !normed) {
    attentionInput = plan.temp([n, config.hiddenSize], "attention input");
    rmsNorm(plan, x, weights.beforeAttention, attentionInput, { rows: n });
  }
  const qkvUnmasked = plan.temp([n, width], "qkv");
  linear(plan, attentionInput, weights.qkv, qkvUnmasked);
  if (weights.qkvBias) addBias(plan, weights.qkvBias, qkvUnmasked);
  let qkv = qkvUnmasked;
  if (options.mask) {
    qkv = plan.temp([n, width], "masked qkv");
    scaleByMask(plan, batch.tokens, maskSlices(config, l, options.mask).heads, qkvUnmasked, qkv);
  }
  recordTaps(plan, options, l, "q", qkv, width, config);
  recordTaps(plan, options, l, "k", qkv, width, config, H * C);
  recordTaps(plan, options, l, "v", qkv, width, config, (H + K) * C);
  let qk = qkv;
  if (weights.queryNorm && weights.keyNorm) {
    qk = plan.temp([n, width], "normed qk");
    const q = { stride: width, offset: 0 };
    const k = { stride: width, offset: H * C };
    const [queries, keys] = normedHeads(config);
    rmsNorm(plan, qkv, weights.queryNorm, qk, { rows: n * queries, heads: queries, x: q, y: q });
    rmsNorm(plan, qkv, weights.keyNorm, qk, { rows: n * keys, heads: keys, x: k, y: k });
  }
  const q = plan.temp([n, H * C], "rotated q");
  rotaryAppend(plan, batch, attentionShape(config, l), model.anglesOf(l), qk, qkv, q, cache);
  if (qk !== qkv) plan.recycle(qk);
  return { x, attentionInput, qkvUnmasked, qkv, q };
}

/** Records one layer, with `last` only for the last tokens beyond keys and values; no activations are recycled. */
export function recordLayer(
  plan: Plan,
  model: Decoder,
  l: number,
  batch: TokenBatch,
  x: Tensor,
  cache: Tensor,
  options: ForwardOptions = {},
  last?: LastTokens,
  neighbours: NeighbourNorms = {},
): LayerActivations {
  const { config } = model;
  const weights = model.weights.layers[l]!;
  const { hiddenSize: D, queryHeads: H, headWidth: C, mlpWidth: F } = config;
  const projections = recordProjections(plan, model, l, batch, x, cache, options, neighbours.attentionInput);
  let { q } = projections;
  let residual = x;
  if (last) {
    const all = q;
    q = recordGather(plan, all, last.gather);
    plan.recycle(all);
    residual = recordGather(plan, x, last.gather);
  }
  const tokens = last?.tokens ?? batch.tokens;
  const n = tokens.shape[0]!;
  const attended = plan.temp([n, H * C], "attended");
  const stats = plan.temp([n, H, 2], "attention stats");
  const layout = { tokens, sequences: batch.sequences, table: batch.table };
  attention(plan, layout, attentionShape(config, l), q, cache, attended, stats);
  recordTaps(plan, options, l, "attention_output", attended, H * C, config);

  const middle = plan.temp([n, D], "middle");
  const mlpInput = weights.beforeMlp ? plan.temp([n, D], "mlp input") : middle;
  let attentionOutput: Tensor | undefined;
  if (weights.afterAttention) {
    attentionOutput = plan.temp([n, D], "attention output");
    linear(plan, attended, weights.output, attentionOutput);
    if (weights.outputBias) addBias(plan, weights.outputBias, attentionOutput);
    const next = weights.beforeMlp && { norm: weights.beforeMlp, y: mlpInput };
    rmsNorm(plan, attentionOutput, weights.afterAttention, middle, { rows: n, residual, next });
  } else {
    linear(plan, attended, weights.output, middle, residual);
    if (weights.outputBias) addBias(plan, weights.outputBias, middle);
    if (weights.beforeMlp) rmsNorm(plan, middle, weights.beforeMlp, mlpInput, { rows: n });
  }
  if (last) plan.recycle(residual);
  const gateUp = plan.temp([n, 2 * F], "gate and up");
  linear(plan, mlpInput, weights.gateUp, gateUp);
  const neuronsUnmasked = plan.temp([n, F], "neurons");
  const neurons = options.mask ? plan.temp([n, F], "masked neurons") : neuronsUnmasked;
  const masked = options.mask && { tokens, slice: maskSlices(config, l, options.mask).neurons, y: neurons };
  gatedMlp(plan, gateUp, neuronsUnmasked, config.activation, masked);
  recordTaps(plan, options, l, "mlp_neurons", neurons, F, config);
  const out = plan.temp([n, D], "residual stream");
  let mlpOutput: Tensor | undefined;
  let nextInput: Tensor | undefined;
  if (weights.afterMlp) {
    mlpOutput = plan.temp([n, D], "mlp output");
    linear(plan, neurons, weights.down, mlpOutput);
    const norm = neighbours.next ? model.weights.layers[l + 1]?.beforeAttention : undefined;
    nextInput = norm && plan.temp([n, D], "attention input");
    const next = norm && nextInput && { norm, y: nextInput };
    rmsNorm(plan, mlpOutput, weights.afterMlp, out, { rows: n, residual: middle, next });
  } else {
    linear(plan, neurons, weights.down, out, middle);
  }
  recordTaps(plan, options, l, "residual_after", out, D, config);
  const own = {
    attended,
    stats,
    attentionOutput,
    middle,
    mlpInput,
    gateUp,
    neuronsUnmasked,
    neurons,
    mlpOutput,
    nextInput,
  };
  return { ...projections, out, last, q, ...own };
}

/** Recycles those of a layer's activations that the plan made, apart from `keep`. */
export function recycleActivations(plan: Plan, activations: LayerActivations, ...keep: Tensor[]) {
  const { last: _, nextInput: __, ...tensors } = activations;
  const unique = new Set(Object.values(tensors));
  keep.forEach((tensor) => unique.delete(tensor));
  plan.recycle(...[...unique].filter((tensor) => tensor && plan.owns(tensor)));
}

/** Records embedding and all layers, keeping nothing but the result: the residual stream [N, D]. */
export function recordForward(
  plan: Plan,
  model: Decoder,
  batch: TokenBatch,
  caches: LayerCaches,
  options: ForwardOptions = {},
): Tensor {
  let x = recordEmbedding(plan, model, batch);
  let attentionInput: Tensor | undefined;
  const next = !options.taps?.length; // which may change the residual stream between the layers
  for (let l = 0; l < model.config.layers; l++) {
    const neighbours = { attentionInput, next };
    const activations = recordLayer(plan, model, l, batch, x, caches[l]!, options, undefined, neighbours);
    recycleActivations(plan, activations, activations.out);
    ({ out: x, nextInput: attentionInput } = activations);
  }
  return x;
}

/** Records just what fills the caches: the last layer ends at its keys and values. */
export function recordPrefill(plan: Plan, model: Decoder, batch: TokenBatch, caches: LayerCaches) {
  let x = recordEmbedding(plan, model, batch);
  let attentionInput: Tensor | undefined;
  const last = model.config.layers - 1;
  for (let l = 0; l < last; l++) {
    const neighbours = { attentionInput, next: true };
    const activations = recordLayer(plan, model, l, batch, x, caches[l]!, {}, undefined, neighbours);
    recycleActivations(plan, activations, activations.out);
    ({ out: x, nextInput: attentionInput } = activations);
  }
  recordProjections(plan, model, last, batch, x, caches[last]!, {}, attentionInput);
}

/** Records the final norm and the logits [P, V] of the rows of x [P, D]. Soft-capped. */
export function recordLogits(plan: Plan, model: Decoder, x: Tensor): { normed: Tensor; logits: Tensor } {
  const { config, weights } = model;
  const rows = x.shape[0]!;
  const normed = plan.temp([rows, config.hiddenSize], "final norm");
  rmsNorm(plan, x, weights.finalNorm, normed, { rows });
  return { normed, logits: recordUnembedding(plan, model, normed) };
}

/** Records the logits [P, V] of normed rows [P, D]. Soft-capped. */
export function recordUnembedding(plan: Plan, { config, weights }: Decoder, normed: Tensor): Tensor {
  const logits = plan.temp([normed.shape[0]!, config.vocabSize], "logits", "logits");
  linear(plan, normed, weights.unembedding, logits);
  if (config.finalSoftCap > 0) softCap(plan, logits, config.finalSoftCap);
  return logits;
}

/** Gathers rows of x [N, D]; index u32 [P, 2] of (token, row). */
export function recordGather(plan: Plan, x: Tensor, index: Tensor): Tensor {
  const width = x.shape[1]!;
  const rows = plan.temp([index.shape[0]!, width], "chosen rows");
  copyRows(
    plan,
    index,
    { tensor: x, stride: width, offset: 0 },
    { tensor: rows, stride: width, offset: 0 },
    width,
  );
  return rows;
}

function recordTaps(
  plan: Plan,
  options: ForwardOptions,
  layer: number,
  kind: SiteKind,
  tensor: Tensor,
  stride: number,
  config: ModelConfig,
  offset = 0,
) {
  for (const action of ["patch", "capture"] as const) {
    for (const tap of options.taps ?? []) {
      if (tap.action !== action || tap.site.layer !== layer || tap.site.kind !== kind) continue;
      const width = siteWidth(kind, config);
      const site = { tensor, stride, offset };
      const buffer = { tensor: tap.buffer, stride: width, offset: 0 };
      copyRows(
        plan,
        tap.index,
        action === "patch" ? buffer : site,
        action === "patch" ? site : buffer,
        width,
      );
    }
  }
}
