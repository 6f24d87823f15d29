/**
 * What queries send back to the keys and values of a prefix that their sequences share.
 * N query tokens, S shared positions, H query heads, K key/value heads, C head width.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { AttentionShape } from "./attention.ts";
import { kernel } from "./kernels.ts";
import { variantFor } from "./variants.ts";

/** The queries of a pass as attention's backward pass left them: q and dy [N, H·C], stats [N, H, 2] of (lse, delta). */
export interface BackwardQueries {
  /** u32 [N, 4] and [S, 8]: layouts in shaders/cache.wgsl. */
  readonly tokens: Tensor;
  readonly sequences: Tensor;
  readonly q: Tensor;
  readonly cache: Tensor;
  readonly stats: Tensor;
  readonly dy: Tensor;
}

/**
 * Adds to dPrefix [S, 2, K·C] the gradient of the keys and values at the shared positions 0 … S - 1, which lie in the cache's
 * rows of the same numbers. A sequence shares the positions below its split; `attentionBackward` must have run before.
 */
export function prefixGradient(
  plan: Plan,
  shape: AttentionShape,
  { tokens, sequences, q, cache, stats, dy }: BackwardQueries,
  dPrefix: Tensor,
) {
  const VECTOR = shape.headWidth % 4 === 0;
  const UNITS = VECTOR ? shape.headWidth / 4 : shape.headWidth;
  const SOFT_CAP = shape.softCap > 0;
  const variant = variantFor(plan.gpu);
  const count = dPrefix.shape[0]!;
  const bindings = { tokens, sequences, q, cache, stats, dy, dprefix: dPrefix };
  const params = {
    count,
    queries: tokens.shape[0]!,
    query_heads: shape.queryHeads,
    key_value_heads: shape.keyValueHeads,
    window: shape.window,
    scale: shape.scale,
    soft_cap: shape.softCap || 1,
  };
  if (variant === "parallel") {
    const WG = 64;
    plan.dispatch(
      kernel("attention_backward_prefix_parallel", {
        VECTOR,
        UNITS,
        SLICES: Math.ceil(UNITS / WG),
        SOFT_CAP,
        WG,
      }),
      bindings,
      params,
      { workgroups: [count, shape.keyValueHeads] },
    );
    return;
  }
  const BROADCAST = variant === "broadcast" && VECTOR;
  const LANES = BROADCAST ? [8, 7, 6, 5, 4, 3, 2, 1].find((lanes) => UNITS % lanes === 0)! : UNITS;
  const WG = 8;
  plan.dispatch(
    kernel("attention_backward_prefix", {
      VECTOR,
      BROADCAST,
      UNITS,
      LANES,
      SLICES: UNITS / LANES,
      SOFT_CAP,
      WG,
    }),
    bindings,
    params,
    { workgroups: [Math.ceil(count / WG), shape.keyValueHeads] },
  );
}
