/** Selected rows in f32 beside their matrices, and reading rows back. R rows, I columns. */
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { embed } from "../ops/embedding.ts";
import { freeOverlay, type Weight } from "../ops/weight.ts";

/** Gathers rows of a matrix's base (not its overlay) as f32 [R, I]; the embedding kernel is just that. */
function gatherBaseRows(model: Model, weight: Weight, rows: Uint32Array): Tensor {
  const { gpu } = model;
  const values = gpu.tensor([rows.length, weight.columns], `${weight.name} rows`);
  const tokens = new Uint32Array(rows.length * 4);
  rows.forEach((row, r) => tokens[r * 4] = row);
  const index = gpu.upload(tokens, [rows.length, 4], "row numbers");
  using plan = new Plan(gpu, "gather rows");
  embed(plan, index, weight, values, 1);
  plan.run();
  gpu.free(index);
  return values;
}

/** The checkpoint's own values of some rows, [R, I], whatever overlays there are. */
export async function readBaseRows(
  model: Model,
  weight: Weight,
  rows: Uint32Array,
): Promise<Float32Array<ArrayBuffer>> {
  const values = gatherBaseRows(model, weight, rows);
  try {
    return await model.gpu.read(values);
  } finally {
    model.gpu.free(values);
  }
}

/** Overlays rows of a matrix, replacing an overlay it may have; values default to the checkpoint's own. */
export function overlayRows(model: Model, weight: Weight, rows: Uint32Array, values?: Float32Array) {
  const { gpu } = model;
  freeOverlay(gpu, weight);
  weight.overlay = {
    rows,
    index: gpu.upload(rows, [rows.length], `${weight.name} overlaid rows`),
    values: values
      ? gpu.upload(values, [rows.length, weight.columns], `${weight.name} overlay`)
      : gatherBaseRows(model, weight, rows),
  };
}
