/** Matrix products in the three layouts training needs. N tokens (rows), I inputs, O outputs, R overlaid rows. */
import { type Bindings, folded, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { add } from "./elementwise.ts";
import { kernel } from "./kernels.ts";
import { type Layout, loadsWide, matmulTile, rowsToMatch } from "./variants.ts";
import { chunksOf, type Gradient, type RowOverlay, type Storage, type Weight } from "./weight.ts";

interface Right {
  readonly tensor: Tensor;
  readonly storage: Storage;
}

/** y[N, O] = x[N, I] · weight[O, I]ᵀ (+ residual[N, O]), overlaid rows included. */
export function linear(plan: Plan, x: Tensor, weight: Weight, y: Tensor, residual?: Tensor) {
  const n = x.shape[0]!;
  const { overlay } = weight;
  for (const { tensor, firstRow, rows } of weight.chunks) {
    matmulNT(plan, x, { tensor, storage: weight.storage }, y, {
      m: n,
      n: rows,
      k: weight.columns,
      yStride: weight.rows,
      yOffset: firstRow,
      ...(residual && !overlay && { residual }), // overlaid columns are yet to be put in their places
    });
  }
  if (!overlay) return;
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
  if (residual) add(plan, residual, y);
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
  let overlaid: Tensor | undefined;
  if (overlay) {
    overlaid = plan.temp([n, overlay.rows.length], `${weight.name} overlaid columns`);
    plan.dispatch(
      kernel("take_columns"),
      { columns: overlay.index, dy, selected: overlaid },
      { count: overlaid.elements, selected_width: overlay.rows.length, width: weight.rows },
      { invocations: overlaid.elements },
    );
  }
  if (!dx) return overlaid;
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
  if (overlay && overlaid) {
    for (const { tensor, firstRow, rows } of overlay.chunks) {
      matmulNN(plan, overlaid, { tensor, storage: "f32" }, dx, {
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
  return overlaid;
}

/** gradient[O, I] (+)= dy[N, O]ᵀ · x[N, I]; with `overlaid` from linearBackward as dy, O counts the overlaid rows only. */
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
  const tile = matmulTile(plan.gpu, "nt", rowsToMatch(plan, m), n, vector);
  const { WX, WY, TM, TN } = tile;
  const options = {
    DTYPE: b.storage,
    VECTOR: vector,
    RESIDUAL: sizes.residual !== undefined,
    SCATTER: sizes.columns !== undefined,
    ACCUMULATE: sizes.accumulate ?? false,
    TM,
    TN,
  };
  const extra = {
    ...(sizes.residual && { residual: sizes.residual }),
    ...(sizes.columns && { columns: sizes.columns }),
  };
  const product = { m, n, k, aOffset: 0, aRow: k, aColumn: 1, yStride, yOffset };
  if (tile.kernel === "tiled") {
    tiledProduct(plan, options, "nt", { weights: b.tensor, a: x, y, ...extra }, product);
    return;
  }
  if (tile.kernel === "broadcast") {
    const quads = { ...options, TN: TN / 4 };
    broadcastProduct(plan, quads, "nt", { weights: b.tensor, a: x, y, ...extra }, product);
    return;
  }
  const walk = vector ? k / 4 : k;
  const bindings = { weights: b.tensor, x, y, ...extra };
  const params = { m, n, k: walk, x_stride: walk, y_stride: yStride, y_offset: yOffset };
  if (tile.kernel === "split") {
    const [groups, folds] = folded(Math.ceil(n / TN));
    plan.dispatch(
      kernel("matmul_split", { ...options, WG: WX, SUMS: TM * TN * WX }),
      bindings,
      params,
      { workgroups: [groups, Math.ceil(m / TM), folds] },
    );
  } else {
    plan.dispatch(
      kernel("matmul_nt", { ...options, WX, WY }),
      bindings,
      params,
      { workgroups: [Math.ceil(n / (WX * TN)), Math.ceil(m / (WY * TM))] },
    );
  }
}

/** Values of the kernels that serve both layouts, and the tile among them. */
type ProductValues = Record<string, string | number | boolean> & { TM: number; TN: number };

/** Sizes of a product in those kernels. */
type ProductSizes = NNSizes & { readonly yStride: number; readonly yOffset: number };

/** One matmul_tiled.wgsl. */
function tiledProduct(
  plan: Plan,
  options: ProductValues,
  layout: Layout,
  bindings: Bindings,
  { m, n, k, aOffset, aRow, aColumn, yStride, yOffset }: ProductSizes,
) {
  const [width, height] = [16 * options.TN, 16 * options.TM];
  plan.dispatch(
    kernel("matmul_tiled", { ...options, LAYOUT: layout, LEFT: 16 * height, RIGHT: 16 * width }),
    bindings,
    { m, n, k, a_offset: aOffset, a_row: aRow, a_column: aColumn, y_stride: yStride, y_offset: yOffset },
    { workgroups: [Math.ceil(n / width), Math.ceil(m / height)] },
  );
}

/** One matmul_broadcast.wgsl, with its left operand and its result in quads where their layout allows it. */
function broadcastProduct(
  plan: Plan,
  options: ProductValues,
  layout: Layout,
  bindings: Bindings,
  sizes: ProductSizes,
) {
  const { TM, TN } = options;
  const { m, n, k, aOffset, aRow, aColumn, yStride, yOffset } = sizes;
  const inFours = (...counts: number[]) => counts.every((count) => count % 4 === 0);
  const LEFT = aColumn === 1 && inFours(k, aOffset, aRow)
    ? "k"
    : aRow === 1 && inFours(m, aOffset, aColumn)
    ? "m"
    : "scalar";
  const [rowUnit, columnUnit] = [LEFT === "k" ? 4 : 1, LEFT === "m" ? 4 : 1];
  const EIGHT = (options.DTYPE !== "f32" || loadsWide(plan.gpu)) &&
    (layout === "nt" ? k : TN === 2 ? n : 1) % 8 === 0;
  const STOREQUADS = !options.SCATTER && inFours(n, yStride, yOffset);
  const yUnit = STOREQUADS ? 4 : 1;
  const values = {
    ...options,
    LAYOUT: layout,
    LEFT,
    EIGHT,
    STOREQUADS,
    QUADS: Math.ceil(TM / 4),
    ROWS: Math.min(4, TM),
  };
  plan.dispatch(
    kernel("matmul_broadcast", values),
    bindings,
    {
      m,
      n,
      k,
      a_offset: aOffset / rowUnit / columnUnit,
      a_row: aRow / rowUnit,
      a_column: aColumn / columnUnit,
      y_stride: yStride / yUnit,
      y_offset: yOffset / yUnit,
    },
    { workgroups: [Math.ceil(n / (32 * TN)), Math.ceil(m / TM)] },
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
  const tile = matmulTile(plan.gpu, "nn", rowsToMatch(plan, m), units, vector);
  const { WX, WY, TM, TN } = tile;
  const options = {
    DTYPE: b.storage,
    VECTOR: vector,
    RESIDUAL: false,
    SCATTER: false,
    ACCUMULATE: sizes.accumulate ?? false,
    TM,
    TN,
  };
  const bindings = { weights: b.tensor, a, y };
  if (tile.kernel === "tiled" || tile.kernel === "broadcast") {
    const record = tile.kernel === "tiled" ? tiledProduct : broadcastProduct;
    record(plan, options, "nn", bindings, { ...sizes, yStride: n, yOffset: 0 });
    return;
  }
  plan.dispatch(
    kernel("matmul_nn", { ...options, WX, WY }),
    bindings,
    { m, n: units, k, a_offset: aOffset, a_row: aRow, a_column: aColumn },
    { workgroups: [Math.ceil(units / (WX * TN)), Math.ceil(m / (WY * TM))] },
  );
}

/** Makes an overlay record of one buffer from tensors; here so that circuit code need not know the layout. */
export function overlayOf(rows: Uint32Array, index: Tensor, values: Tensor): RowOverlay {
  return { rows, index, chunks: [{ index, tensor: values, firstRow: 0, rows: rows.length }] };
}
