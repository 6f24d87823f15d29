/** Matrix products in the three layouts training needs. N tokens (rows), I inputs, O outputs, R overlaid rows. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import nn from "../../shaders/matmul_nn.wgsl" with { type: "text" };
import nt from "../../shaders/matmul_nt.wgsl" with { type: "text" };
import split from "../../shaders/matmul_split.wgsl" with { type: "text" };
import takeColumns from "../../shaders/take_columns.wgsl" with { type: "text" };
import tiled from "../../shaders/matmul_tiled.wgsl" with { type: "text" };
import weights from "../../shaders/weights.wgsl" with { type: "text" };
import { linearGrid } from "../gpu/plan.ts";
import { type Layout, matmulTile, variantFor } from "./variants.ts";
import { chunksOf, type Gradient, type RowOverlay, type Storage, type Weight } from "./weight.ts";

interface Right {
  readonly tensor: Tensor;
  readonly storage: Storage;
}

/** y[N, O] = x[N, I] · weight[O, I]ᵀ (+ residual[N, O]), overlaid rows included. */
export function linear(plan: Plan, x: Tensor, weight: Weight, y: Tensor, residual?: Tensor) {
  const n = x.shape[0]!;
  for (const { tensor, firstRow, rows } of weight.chunks) {
    matmulNT(plan, x, { tensor, storage: weight.storage }, y, {
      m: n,
      n: rows,
      k: weight.columns,
      yStride: weight.rows,
      yOffset: firstRow,
      ...(residual && { residual }),
    });
  }
  const { overlay } = weight;
  if (!overlay) return;
  if (residual) throw new Error(`${weight.name}: an overlay beside a residual is not supported.`);
  for (const { tensor, index, rows } of overlay.chunks) {
    matmulNT(plan, x, { tensor, storage: "f32" }, y, {
      m: n,
      n: rows,
      k: weight.columns,
      yStride: weight.rows,
      yOffset: 0,
      columns: index,
    });
  }
}

/**
 * dx[N, I] (+)= dy[N, O] · weight[O, I]. With an overlay its columns of dy are moved to the returned tensor [N, R]
 * (zero in dy afterwards), which is the dy of the overlaid rows' gradient; recycle it when done.
 */
export function linearBackward(
  plan: Plan,
  dy: Tensor,
  weight: Weight,
  dx: Tensor | undefined,
  accumulate = false,
): Tensor | undefined {
  const n = dy.shape[0]!;
  const { overlay } = weight;
  let taken: Tensor | undefined;
  if (overlay) {
    taken = plan.temp([n, overlay.rows.length], `${weight.name} overlaid columns`);
    plan.dispatch(
      { name: "take_columns", template: takeColumns, values: {} },
      [overlay.index, dy, taken],
      [taken.elements, overlay.rows.length, weight.rows],
      linearGrid(taken.elements, 64),
    );
  }
  if (!dx) return taken;
  weight.chunks.forEach(({ tensor, firstRow, rows }, i) => {
    matmulNN(plan, dy, { tensor, storage: weight.storage }, dx, {
      m: n,
      n: weight.columns,
      k: rows,
      aOffset: firstRow,
      aRow: weight.rows,
      aColumn: 1,
      accumulate: accumulate || i > 0,
    });
  });
  if (overlay && taken) {
    for (const { tensor, firstRow, rows } of overlay.chunks) {
      matmulNN(plan, taken, { tensor, storage: "f32" }, dx, {
        m: n,
        n: weight.columns,
        k: rows,
        aOffset: firstRow,
        aRow: overlay.rows.length,
        aColumn: 1,
        accumulate: true,
      });
    }
  }
  return taken;
}

/** gradient[O, I] (+)= dy[N, O]ᵀ · x[N, I]; with `taken` from linearBackward as dy, O counts the overlaid rows only. */
export function weightGradient(plan: Plan, dy: Tensor, x: Tensor, gradient: Gradient, accumulate: boolean) {
  const [n, outputs] = [dy.shape[0]!, dy.shape[1]!];
  for (const { tensor, firstRow, rows } of chunksOf(gradient)) {
    matmulNN(plan, dy, { tensor: x, storage: "f32" }, tensor, {
      m: rows,
      n: x.shape[1]!,
      k: n,
      aOffset: firstRow,
      aRow: 1,
      aColumn: outputs,
      accumulate,
    });
  }
}

/** Sizes of one y[m, n] = x[m, k] · b[n, k]ᵀ. */
export interface NTSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly yStride: number;
  readonly yOffset: number;
  /** Added to the product; laid out like y. */
  readonly residual?: Tensor;
  /** u32 [n]: column of y that row i of b yields. */
  readonly columns?: Tensor;
  readonly accumulate?: boolean;
}

/** Records y[m, n] = x[m, k] · b[n, k]ᵀ with the kernel that this adapter and shape get. */
export function matmulNT(plan: Plan, x: Tensor, b: Right, y: Tensor, sizes: NTSizes) {
  const { m, n, k, yStride, yOffset } = sizes;
  const vector = k % 4 === 0;
  const { kernel, WX, WY, TM, TN } = matmulTile(plan.gpu, "nt", m, n, vector);
  const options = {
    DTYPE: b.storage,
    VECTOR: vector,
    RESIDUAL: sizes.residual !== undefined,
    SCATTER: sizes.columns !== undefined,
    ACCUMULATE: sizes.accumulate ?? false,
    TM,
    TN,
  };
  const extra = sizes.residual ?? sizes.columns;
  const bindings = [b.tensor, x, y, ...(extra ? [extra] : [])];
  const walk = vector ? k / 4 : k;
  if (kernel === "tiled") {
    tiledProduct(plan, options, "nt", bindings, [m, n, k, 0, k, 1, yStride, yOffset]);
  } else if (kernel === "split") {
    const [groups, folds] = linearGrid(Math.ceil(n / TN), 1);
    plan.dispatch(
      { name: "matmul_split", template: weights + split, values: { ...options, WG: WX, SUMS: TM * TN * WX } },
      bindings,
      [m, n, walk, walk, yStride, yOffset],
      [groups, Math.ceil(m / TM), folds],
    );
  } else {
    const broadcast = k % 8 === 0 && variantFor(plan.gpu) === "broadcast";
    const values = { ...options, BROADCAST: broadcast, SCALARX: broadcast || !vector, WX, WY };
    plan.dispatch(
      { name: "matmul_nt", template: weights + nt, values },
      bindings,
      [m, n, walk, walk, yStride, yOffset],
      [Math.ceil(n / (WX * TN)), Math.ceil(m / (WY * TM))],
    );
  }
}

/** One matmul_tiled.wgsl; params as its struct. */
function tiledProduct(
  plan: Plan,
  options: Record<string, string | number | boolean> & { TM: number; TN: number },
  layout: Layout,
  bindings: readonly Tensor[],
  params: readonly number[],
) {
  const [width, height] = [16 * options.TN, 16 * options.TM];
  const values = { ...options, LAYOUT: layout, LEFT: 16 * height, RIGHT: 16 * width };
  plan.dispatch(
    { name: "matmul_tiled", template: weights + tiled, values },
    bindings,
    params,
    [Math.ceil(params[1]! / width), Math.ceil(params[0]! / height)],
  );
}

/** Sizes of one y[m, n] = a(m, k) · b[k, n]; see matmul_nn.wgsl for how a is indexed. */
export interface NNSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly aOffset: number;
  readonly aRow: number;
  readonly aColumn: number;
  readonly accumulate?: boolean;
}

/** Records y[m, n] = a(m, k) · b[k, n] with the kernel that this adapter and shape get. */
export function matmulNN(plan: Plan, a: Tensor, b: Right, y: Tensor, sizes: NNSizes) {
  const { m, n, k, aOffset, aRow, aColumn } = sizes;
  const vector = n % 4 === 0;
  const units = vector ? n / 4 : n;
  const { kernel, WX, WY, TM, TN } = matmulTile(plan.gpu, "nn", m, units, vector);
  const options = { DTYPE: b.storage, VECTOR: vector, ACCUMULATE: sizes.accumulate ?? false, TM, TN };
  if (kernel === "tiled") {
    const plain = { ...options, RESIDUAL: false, SCATTER: false };
    tiledProduct(plan, plain, "nn", [b.tensor, a, y], [m, n, k, aOffset, aRow, aColumn, n, 0]);
    return;
  }
  const values = { ...options, BROADCAST: variantFor(plan.gpu) === "broadcast", WX, WY };
  plan.dispatch(
    { name: "matmul_nn", template: weights + nn, values },
    [b.tensor, a, y],
    [m, units, k, aOffset, aRow, aColumn],
    [Math.ceil(units / (WX * TN)), Math.ceil(m / (WY * TM))],
  );
}

/** Makes an overlay record of one buffer from tensors; here so that circuit code need not know the layout. */
export function overlayOf(rows: Uint32Array, index: Tensor, values: Tensor): RowOverlay {
  return { rows, index, chunks: [{ index, tensor: values, firstRow: 0, rows: rows.length }] };
}
