/** Sampling and slot bookkeeping of decoding, all on the GPU. S slots, R requests, V vocabulary. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { variantFor } from "./variants.ts";

/** What is drawn where a logit is NaN or infinitely large, or all are infinitely small. */
export const noToken = 0xffffffff;

/** next u32 [S], noToken where not all logits are numbers, from logits [S, V]; sampling u32 [S, 8] of (temperature bits, top_k, top_p bits, 0, stream, draw, 0, 0). */
export function sample(plan: Plan, logits: Tensor, sampling: Tensor, next: Tensor, seed: number) {
  const [slots, width] = [logits.shape[0]!, logits.shape[1]!];
  // llvmpipe ends all loops of an invocation after 65,535 iterations, without a word; top-k and top-p together take up to
  // 67 passes of width / WG, so wide vocabularies get wide workgroups there.
  const widest = Math.min(512, plan.gpu.device.limits.maxComputeInvocationsPerWorkgroup);
  const WG = variantFor(plan.gpu) === "parallel" ? 256 : width <= 8192 ? 16 : widest;
  plan.dispatch(
    kernel("sample", { WG }),
    { logits, sampling, next },
    { slots, width, seed: seed >>> 0 },
    { workgroups: [slots] },
  );
}

/** What decoding keeps on the GPU; layouts in shaders/advance.wgsl. */
export interface DecodingState {
  readonly requests: Tensor;
  readonly tokens: Tensor;
  readonly sequences: Tensor;
  readonly sampling: Tensor;
  readonly slots: Tensor;
  readonly queue: Tensor;
  readonly output: Tensor;
}

/** Numbers of requests and cache rows that advance.wgsl needs to know. */
export interface AdvanceSizes {
  readonly requests: number;
  /** Words per request in `output`. */
  readonly stride: number;
  /** First cache row of slot 0, and rows per slot. */
  readonly firstRow: number;
  readonly rowsPerSlot: number;
  /** Cache row where idle slots write. */
  readonly idleRow: number;
}

/** Appends `next` to the outputs and gives free slots new requests; without `next` only the latter. */
export function advance(
  plan: Plan,
  state: DecodingState,
  sizes: AdvanceSizes,
  next?: Tensor,
) {
  const { requests, tokens, sequences, sampling, slots, queue, output } = state;
  const count = tokens.shape[0]!;
  plan.dispatch(
    kernel("advance", { START: next === undefined }),
    { requests, tokens, sequences, sampling, slots, queue, output, ...(next && { next }) },
    {
      slots: count,
      requests: sizes.requests,
      stride: sizes.stride,
      first_row: sizes.firstRow,
      rows_per_slot: sizes.rowsPerSlot,
      idle_row: sizes.idleRow,
    },
    { invocations: count },
  );
}
