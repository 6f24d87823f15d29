/** RMSNorm and its gradients. R rows of W channels; rows may be columns or heads of a wider matrix. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { elementOf, variantFor } from "./variants.ts";

/** The learned gain [W] and constants of one norm: gain is offset + weight (offset 1 for Gemma). */
export interface Norm {
  /** f32 [W] */
  readonly weight: Tensor;
  /** Added to each weight. */
  readonly offset: 0 | 1;
  /** Added to the mean square before its root. */
  readonly epsilon: number;
}

/** A column range of a matrix: rows of `width` at row * stride + offset. */
export interface Columns {
  readonly stride: number;
  readonly offset: number;
}

/** Which rows are normed: R in all, `heads` (default 1) side by side in each row of the matrices. */
export interface NormRows {
  readonly rows: number;
  readonly heads?: number;
  /** Default: whole rows, [R / heads, heads · W]. */
  readonly x?: Columns;
  readonly y?: Columns;
  readonly residual?: Tensor | undefined;
}

/** A norm of what another norm yields, its residual included; `y` is laid out like the other's. */
export interface NextNorm {
  readonly norm: Norm;
  readonly y: Tensor;
}

/** y = x / rms(x) · (offset + weight) (+ residual), and beside a residual `next` of that. Columns default to whole rows. */
export function rmsNorm(
  plan: Plan,
  x: Tensor,
  norm: Norm,
  y: Tensor,
  options: NormRows & { readonly next?: NextNorm | undefined },
) {
  const { residual, next } = options;
  if (next && !residual) throw new Error("A next norm without a residual is not supported.");
  const { values, params, grid } = launch(plan, norm, options);
  plan.dispatch(
    kernel("rmsnorm", { ...values, RESIDUAL: residual !== undefined, NEXT: next !== undefined }),
    {
      x,
      gain: norm.weight,
      y,
      ...(residual && { residual }),
      ...(next && { next_gain: next.norm.weight, z: next.y }),
    },
    { ...params, ...(next && { next_epsilon: next.norm.epsilon, next_offset: next.norm.offset }) },
    grid,
  );
}

/**
 * dx (+ residual) from dy; `dx` may be `dy` itself. `x` is the norm's input. With `gradient` [W] the gain's gradient is
 * added to it; dy must then be a tensor other than dx.
 */
export function rmsNormBackward(
  plan: Plan,
  x: Tensor,
  norm: Norm,
  dy: Tensor,
  dx: Tensor,
  options: NormRows & { readonly gradient?: Tensor | undefined },
) {
  const { values, params, grid, width, from, to, heads } = launch(plan, norm, options);
  const inPlace = dx === dy;
  if (inPlace && options.gradient) {
    throw new Error("The gain's gradient needs dy, which an in-place dx overwrites.");
  }
  const scales = plan.temp([options.rows], "norm scales");
  plan.dispatch(
    kernel("rmsnorm_backward", { ...values, IN_PLACE: inPlace, RESIDUAL: options.residual !== undefined }),
    {
      x,
      gain: norm.weight,
      scales,
      dx,
      ...(!inPlace && { dy }),
      ...(options.residual && { residual: options.residual }),
    },
    params,
    grid,
  );
  if (options.gradient) {
    plan.dispatch(
      kernel("rmsnorm_gain_gradient"),
      { x, dy, scales, gradient: options.gradient },
      {
        rows: options.rows,
        width,
        x_stride: from.stride,
        x_offset: from.offset,
        y_stride: to.stride,
        y_offset: to.offset,
        heads,
      },
      { invocations: width },
    );
  }
  plan.recycle(scales);
}

/** Values, parameters and grid of the row kernels. */
function launch(plan: Plan, norm: Norm, options: NormRows) {
  const width = norm.weight.elements;
  const heads = options.heads ?? 1;
  const whole = { stride: heads * width, offset: 0 };
  const [from, to] = [options.x ?? whole, options.y ?? whole];
  const parallel = variantFor(plan.gpu) === "parallel";
  const WG = parallel ? 128 : 8;
  const { T, per } = elementOf(width, from.stride, from.offset, to.stride, to.offset);
  return {
    width,
    from,
    to,
    heads,
    values: { PARALLEL: parallel, WG, T, PER: per },
    params: {
      rows: options.rows,
      width: width / per,
      x_stride: from.stride / per,
      x_offset: from.offset / per,
      y_stride: to.stride / per,
      y_offset: to.offset / per,
      epsilon: norm.epsilon,
      offset: norm.offset,
      heads,
    },
    grid: parallel ? { workgroups: options.rows } : { invocations: options.rows },
  };
}
