/** Operators without a reduction across tokens: gated MLP, soft cap, fill, and row copies. N tokens, F MLP width. */
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import capBackward from "../../shaders/soft_cap_backward.wgsl" with { type: "text" };
import capShader from "../../shaders/soft_cap.wgsl" with { type: "text" };
import copyShader from "../../shaders/copy_rows.wgsl" with { type: "text" };
import fillShader from "../../shaders/fill.wgsl" with { type: "text" };
import gatedBackward from "../../shaders/gated_mlp_backward.wgsl" with { type: "text" };
import gatedShader from "../../shaders/gated_mlp.wgsl" with { type: "text" };
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
    {
      name: "gated_mlp",
      template: gatedShader,
      values: { ACTIVATION: activation, T, MASK: masked !== undefined },
    },
    [gateUp, y, ...(masked ? [masked.tokens, masked.slice.mask, masked.y] : [])],
    [y.elements / per, y.shape[1]! / per, ...(masked ? [masked.slice.first] : [])],
    linearGrid(y.elements / per, 64),
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
    { name: "gated_mlp_backward", template: gatedBackward, values: { ACTIVATION: activation, T } },
    [gateUp, dy, dGateUp],
    [dy.elements / per, dy.shape[1]! / per],
    linearGrid(dy.elements / per, 64),
  );
}

/** y = cap · tanh(y / cap), in place. */
export function softCap(plan: Plan, y: Tensor, cap: number) {
  plan.dispatch(
    { name: "soft_cap", template: capShader, values: {} },
    [y],
    [y.elements, f32(cap)],
    linearGrid(y.elements, 64),
  );
}

/** dy · (1 - (y / cap)²), in place in dy; y is the capped value. */
export function softCapBackward(plan: Plan, y: Tensor, dy: Tensor, cap: number) {
  plan.dispatch(
    { name: "soft_cap_backward", template: capBackward, values: {} },
    [y, dy],
    [y.elements, f32(cap)],
    linearGrid(y.elements, 64),
  );
}

/** y[…] = value. */
export function fill(plan: Plan, y: Tensor, value: number) {
  plan.dispatch(
    { name: "fill", template: fillShader, values: {} },
    [y],
    [y.elements, f32(value)],
    linearGrid(y.elements, 64),
  );
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
    { name: "copy_rows", template: copyShader, values: {} },
    [index, from.tensor, to.tensor],
    [count, width, from.stride, from.offset, to.stride, to.offset],
    linearGrid(count, 64),
  );
}
