/** Sampling and slot bookkeeping of decoding, all on the GPU. S slots, R requests, V vocabulary. */
import { linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import advanceShader from "../../shaders/advance.wgsl" with { type: "text" };
import sampleShader from "../../shaders/sample.wgsl" with { type: "text" };
import { variantFor } from "./variants.ts";

/** next u32 [S] from logits [S, V]; sampling u32 [S, 8] of (temperature bits, top_k, top_p bits, 0, stream, draw, 0, 0). */
export function sample(plan: Plan, logits: Tensor, sampling: Tensor, next: Tensor, seed: number) {
  const [slots, width] = [logits.shape[0]!, logits.shape[1]!];
  const WG = variantFor(plan.gpu) === "parallel" ? 256 : 16;
  plan.dispatch(
    { name: "sample", template: sampleShader, values: { WG } },
    [logits, sampling, next],
    [slots, width, seed >>> 0],
    [slots],
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

/** Appends `next` to the outputs and gives free slots new requests; without `next` only the latter. */
export function advance(
  plan: Plan,
  state: DecodingState,
  sizes: { slots: number; requests: number; stride: number; firstRow: number; rowsPerSlot: number },
  next?: Tensor,
) {
  const { requests, tokens, sequences, sampling, slots, queue, output } = state;
  plan.dispatch(
    { name: "advance", template: advanceShader, values: { START: next === undefined } },
    [requests, tokens, sequences, sampling, slots, queue, output, ...(next ? [next] : [])],
    [sizes.slots, sizes.requests, sizes.stride, sizes.firstRow, sizes.rowsPerSlot],
    linearGrid(sizes.slots, 64),
  );
}
