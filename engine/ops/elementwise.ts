/** Operators without a reduction across tokens: gated MLP, soft cap, fill, sums, and row copies. N tokens, F MLP width. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import type { MaskSlice } from "./component_mask.ts";
import { elementOf } from "./variants.ts";

/** The gate's elementwise function. */
export type GateActivation = "silu" | "gelu_tanh";

/** Neurons scaled by a component mask on the way: see scaleByMask. */
export interface MaskedNeurons {
  readonly tokens: Tensor;
  readonly slice: MaskSlice;
  /** [N, F] */
  readonly y: Tensor;
}

/** y[N, F] = activation(gate) · up; gateUp [N, 2F]. With `masked` its y is y · 2·mask at flagged tokens, y elsewhere. */
export function gatedMlp(
  plan: Plan,
  gateUp: Tensor,
  y: Tensor,
  activation: GateActivation,
  masked?: MaskedNeurons,
) {
  const { T, per } = elementOf(y.shape[1]!);
  plan.dispatch(
    kernel("gated_mlp", { ACTIVATION: activation, T, MASK: masked !== undefined }),
    {
      gate_up: gateUp,
      y,
      ...(masked && { tokens: masked.tokens, mask: masked.slice.mask, masked: masked.y }),
    },
    { count: y.elements / per, width: y.shape[1]! / per, ...(masked && { first: masked.slice.first }) },
    { invocations: y.elements / per },
  );
}

/** dGateUp[N, 2F] from dy[N, F]. */
export function gatedMlpBackward(
  plan: Plan,
  gateUp: Tensor,
  dy: Tensor,
  dGateUp: Tensor,
  activation: GateActivation,
) {
  const { T, per } = elementOf(dy.shape[1]!);
  plan.dispatch(
    kernel("gated_mlp_backward", { ACTIVATION: activation, T }),
    { gate_up: gateUp, dy, dgate_up: dGateUp },
    { count: dy.elements / per, width: dy.shape[1]! / per },
    { invocations: dy.elements / per },
  );
}

/** y = cap · tanh(y / cap), in place. */
export function softCap(plan: Plan, y: Tensor, cap: number) {
  plan.dispatch(kernel("soft_cap"), { y }, { count: y.elements, cap }, { invocations: y.elements });
}

/** dy · (1 - (y / cap)²), in place in dy; y is the capped value. */
export function softCapBackward(plan: Plan, y: Tensor, dy: Tensor, cap: number) {
  plan.dispatch(kernel("soft_cap_backward"), { y, dy }, { count: y.elements, cap }, {
    invocations: y.elements,
  });
}

/** y[…] = value. */
export function fill(plan: Plan, y: Tensor, value: number) {
  plan.dispatch(kernel("fill"), { y }, { count: y.elements, value }, { invocations: y.elements });
}

/** y += x, of equal sizes. */
export function add(plan: Plan, x: Tensor, y: Tensor) {
  plan.dispatch(kernel("add"), { x, y }, { count: y.elements }, { invocations: y.elements });
}

/** A rectangle of columns in rows of a matrix. */
export interface RowSlice {
  readonly tensor: Tensor;
  readonly stride: number;
  readonly offset: number;
}

/** Copies `width` channels from row index[i].0 of `from` to row index[i].1 of `to`; index u32 [count, 2]. */
export function copyRows(plan: Plan, index: Tensor, from: RowSlice, to: RowSlice, width: number) {
  const count = index.shape[0]! * width;
  plan.dispatch(
    kernel("copy_rows"),
    { index, from_rows: from.tensor, to_rows: to.tensor },
    {
      count,
      width,
      from_stride: from.stride,
      from_offset: from.offset,
      to_stride: to.stride,
      to_offset: to.offset,
    },
    { invocations: count },
  );
}
