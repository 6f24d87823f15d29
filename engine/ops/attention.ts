/** Rotary embedding, K/V cache append and causal attention. N tokens, H query heads, K key/value heads, C head width. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { elementOf, variantFor } from "./variants.ts";

/** Head counts and score function of one attention layer. */
export interface AttentionShape {
  readonly queryHeads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  /** Sliding window in tokens, 0 for none. */
  readonly window: number;
  /** Factor on q·k. */
  readonly scale: number;
  /** Soft cap on scores, 0 for none. */
  readonly softCap: number;
}

/** The tokens of a batch and where their sequences lie in the cache; layouts in shaders/cache.wgsl. */
export interface TokenLayout {
  /** u32 [N, 4]: id, position, sequence, flag. */
  readonly tokens: Tensor;
  /** u32 [S, 8]: table, split, base, 0, first token, end token, 0, 0. */
  readonly sequences: Tensor;
  /** u32: cache rows of shared positions. */
  readonly table: Tensor;
}

/**
 * Rotates queries and keys by position; q[N, H, C] receives the queries, cache[rows, 2, K, C] keys and values.
 * qk and v [N, H + 2K, C] are the (normed) projections; angles [positions, C/2, 2] of (cos, sin).
 */
export function rotaryAppend(
  plan: Plan,
  layout: TokenLayout,
  shape: AttentionShape,
  angles: Tensor,
  qk: Tensor,
  v: Tensor,
  q: Tensor,
  cache: Tensor,
) {
  const { T, per } = elementOf(shape.headWidth / 2);
  const half = shape.headWidth / 2 / per;
  const count = layout.tokens.shape[0]! * (shape.queryHeads + 2 * shape.keyValueHeads) * half;
  plan.dispatch(
    kernel("rotary_append", { T }),
    { ...bound(layout), angles, qk, v, q, cache },
    { count, query_heads: shape.queryHeads, key_value_heads: shape.keyValueHeads, half },
    { invocations: count },
  );
}

/** dqkv[N, H + 2K, C] from dq[N, H, C] and dkv[N, 2, K, C]: the inverse rotation. */
export function rotaryBackward(
  plan: Plan,
  layout: TokenLayout,
  shape: AttentionShape,
  angles: Tensor,
  dq: Tensor,
  dkv: Tensor,
  dqkv: Tensor,
) {
  const { T, per } = elementOf(shape.headWidth / 2);
  const count = dqkv.elements / 2 / per;
  plan.dispatch(
    kernel("rotary_backward", { T }),
    { tokens: layout.tokens, angles, dq, dkv, dqkv },
    {
      count,
      query_heads: shape.queryHeads,
      key_value_heads: shape.keyValueHeads,
      half: shape.headWidth / 2 / per,
    },
    { invocations: count },
  );
}

/** y[N, H, C] = softmax(cap(scale · q·k)) · v over the cache; stats[N, H, 2] keeps the log-sum-exp. */
export function attention(
  plan: Plan,
  layout: TokenLayout,
  shape: AttentionShape,
  q: Tensor,
  cache: Tensor,
  y: Tensor,
  stats: Tensor,
) {
  const many = variantFor(plan.gpu) === "parallel";
  const WG = many ? 64 : 8;
  const values = shaderValues(shape, WG, 48);
  const tokens = layout.tokens.shape[0]!;
  // Lanes share keys where most belong to one sequence; where they seldom do (decoding), each reads its own.
  const sequences = layout.sequences.shape[0]!;
  const pairs = tokens * shape.queryHeads / shape.keyValueHeads;
  if (variantFor(plan.gpu) === "broadcast" && values.VECTOR && pairs >= 8 * sequences) {
    plan.dispatch(
      kernel("attention_broadcast", slicedValues(values)),
      { ...bound(layout), q, cache, y, stats },
      params(tokens, shape),
      { workgroups: [Math.ceil(pairs / 8), shape.keyValueHeads] },
    );
    return;
  }
  const count = tokens * shape.queryHeads / (many ? 1 : values.SHARE);
  plan.dispatch(
    many
      ? kernel("attention_parallel", { ...values, SLICES: Math.ceil(values.UNITS / WG) })
      : kernel("attention", values),
    { ...bound(layout), q, cache, y, stats },
    params(count, shape),
    many ? { workgroups: count } : { invocations: count },
  );
}

/**
 * dq[N, H, C] and dkv[N, 2, K, C] (of this batch's own tokens) from dy[N, H, C]; y and stats as the forward left them.
 * With `queryTokens` [P, 4], the last token of each sequence, q, y, stats, dy and dq have only those P rows.
 */
export function attentionBackward(
  plan: Plan,
  layout: TokenLayout,
  shape: AttentionShape,
  forward: { q: Tensor; cache: Tensor; y: Tensor; stats: Tensor },
  dy: Tensor,
  dq: Tensor,
  dkv: Tensor,
  queryTokens: Tensor = layout.tokens,
) {
  const queries = queryTokens.shape[0]! * shape.queryHeads;
  const WG = variantFor(plan.gpu) === "parallel" ? 64 : 8;
  const values = shaderValues(shape, WG);
  plan.dispatch(
    kernel("attention_delta"),
    { y: forward.y, dy, stats: forward.stats },
    { count: queries, width: shape.headWidth },
    { invocations: queries },
  );
  const { q, cache, stats } = forward;
  const rest = { ...bound(layout), q, cache, stats, dy };
  plan.dispatch(
    kernel("attention_backward_query", values),
    { ...rest, tokens: queryTokens, dq },
    params(queries / values.SHARE, shape),
    { invocations: queries / values.SHARE },
  );
  const tokens = layout.tokens.shape[0]!;
  if (variantFor(plan.gpu) === "broadcast" && values.VECTOR && queryTokens === layout.tokens) {
    plan.dispatch(
      kernel("attention_backward_key_value_broadcast", slicedValues(values)),
      { ...rest, dkv },
      params(tokens, shape),
      { workgroups: [Math.ceil(tokens / 8), shape.keyValueHeads] },
    );
    return;
  }
  const keys = tokens * shape.keyValueHeads;
  plan.dispatch(
    kernel("attention_backward_key_value", { ...values, LAST: queryTokens !== layout.tokens }),
    { ...rest, dkv },
    params(keys, shape),
    { invocations: keys },
  );
}

/** `most`: quads of a vector (scalars where C is no multiple of 4) that a thread holds, all its query heads together. */
function shaderValues(shape: AttentionShape, WG: number, most = 32) {
  const vector = shape.headWidth % 4 === 0;
  const units = vector ? shape.headWidth / 4 : shape.headWidth;
  const group = shape.queryHeads / shape.keyValueHeads;
  // As many heads of a group as that read keys and values together. Forward, spilled registers cost less than loads.
  const share = [8, 4, 3, 2].find((s) => group % s === 0 && s * units <= most) ?? 1;
  return {
    VECTOR: vector,
    UNITS: units,
    SHARE: share,
    SOFT_CAP: shape.softCap > 0,
    WG,
  };
}

/** How the lanes of a subgroup of 8 divide a head's quads. */
function slicedValues({ UNITS, SOFT_CAP }: { UNITS: number; SOFT_CAP: boolean }) {
  const LANES = [8, 7, 6, 5, 4, 3, 2, 1].find((lanes) => UNITS % lanes === 0)!;
  return { UNITS, LANES, SLICES: UNITS / LANES, SOFT_CAP };
}

function params(count: number, shape: AttentionShape) {
  return {
    count,
    query_heads: shape.queryHeads,
    key_value_heads: shape.keyValueHeads,
    window: shape.window,
    scale: shape.scale,
    soft_cap: shape.softCap || 1,
  };
}

/** The bindings of cache.wgsl. */
const bound = ({ tokens, sequences, table }: TokenLayout) => ({ tokens, sequences, table });
