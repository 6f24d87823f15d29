/** Selected rows in f32 beside their matrices, and reading rows back. R rows, I columns. */
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { embed } from "../ops/embedding.ts";
import {
  freeOverlay,
  readRows,
  type RowChunk,
  type RowOverlay,
  splitRows,
  type Weight,
  writeRows,
} from "../ops/weight.ts";

/** Gathers rows of a matrix's base (not its overlay) as f32 [R, I]; the embedding kernel is just that. */
function gatherBaseRows({ gpu }: Model, weight: Weight, rows: Uint32Array, values: Tensor) {
  const tokens = new Uint32Array(rows.length * 4);
  rows.forEach((row, r) => tokens[r * 4] = row);
  const index = gpu.upload(tokens, [rows.length, 4], "row numbers");
  using plan = new Plan(gpu, "gather rows");
  embed(plan, index, weight, values, 1);
  plan.run();
  gpu.free(index);
}

/** Buffers for rows of a matrix in f32. Half a binding each, so that AdamW's two moments a value fit one as well. */
function makeRows({ gpu }: Model, { name, columns }: Weight, rows: Uint32Array): RowChunk[] {
  return splitRows(
    gpu,
    rows.length,
    columns * 8,
    (count) => gpu.tensor([count, columns], `${name} overlay`, { part: "rows" }),
  );
}

/** The checkpoint's own values of some rows, [R, I], whatever overlays there are. */
export async function readBaseRows(
  model: Model,
  weight: Weight,
  rows: Uint32Array,
): Promise<Float32Array<ArrayBuffer>> {
  const chunks = makeRows(model, weight, rows);
  try {
    for (const { tensor, firstRow, rows: count } of chunks) {
      gatherBaseRows(model, weight, rows.subarray(firstRow, firstRow + count), tensor);
    }
    return await readRows(model.gpu, chunks);
  } finally {
    chunks.forEach(({ tensor }) => model.gpu.free(tensor));
  }
}

/** Rows of a matrix as an overlay that is not in place yet; values default to the checkpoint's own. */
export function makeOverlay(
  model: Model,
  weight: Weight,
  rows: Uint32Array,
  values?: Float32Array,
): RowOverlay {
  const { gpu } = model;
  const made = makeRows(model, weight, rows);
  const upload = (part: Uint32Array) =>
    gpu.upload(part, [part.length], `${weight.name} overlaid rows`, { part: "rows" });
  const index = upload(rows);
  const chunks = made.map((chunk) => {
    const own = rows.subarray(chunk.firstRow, chunk.firstRow + chunk.rows);
    if (!values) gatherBaseRows(model, weight, own, chunk.tensor);
    return { ...chunk, index: made.length === 1 ? index : upload(own) };
  });
  if (values) writeRows(gpu, chunks, values);
  return { rows, index, chunks };
}

/** Overlays rows of a matrix, replacing an overlay it may have; values default to the checkpoint's own. */
export function overlayRows(model: Model, weight: Weight, rows: Uint32Array, values?: Float32Array) {
  freeOverlay(model.gpu, weight);
  weight.overlay = makeOverlay(model, weight, rows, values);
  model.weightsChanged();
}
