/** Token embedding and the scatter of gradients into embedding-shaped matrices. N tokens, D width, V vocabulary. */
import type { Gpu } from "../gpu/gpu.ts";
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import forward from "../../shaders/embedding.wgsl" with { type: "text" };
import gradientShader from "../../shaders/embedding_gradient.wgsl" with { type: "text" };
import weights from "../../shaders/weights.wgsl" with { type: "text" };
import { chunksOf, type Gradient, type Weight } from "./weight.ts";

/** y[N, D] = scale · table[tokens[N].id]. */
export function embed(plan: Plan, tokens: Tensor, table: Weight, y: Tensor, scale: number) {
  for (const { tensor, firstRow, rows } of table.chunks) {
    plan.dispatch(
      { name: "embedding", template: weights + forward, values: { DTYPE: table.storage, VECTOR: false } },
      [tensor, tokens, y],
      [y.elements, table.columns, firstRow, rows, f32(scale)],
      linearGrid(y.elements, 64),
    );
  }
}

/** Which rows of dy go, with which coefficient, to which row of an embedding gradient: sorted by id, without atomics. */
export interface Scatter extends Disposable {
  readonly ids: Tensor;
  readonly starts: Tensor;
  readonly entries: Tensor;
  readonly unique: number;
}

/** Prepares the scatter of rows 0 … ids.length / perRow - 1 of dy: entry e belongs to row ⌊e / perRow⌋. */
export function prepareScatter(gpu: Gpu, ids: ArrayLike<number>, perRow = 1): Scatter {
  const order = Array.from({ length: ids.length }, (_, e) => e).sort((a, b) => ids[a]! - ids[b]! || a - b);
  const unique: number[] = [];
  const starts: number[] = [];
  const entries = new Uint32Array(order.length * 2);
  order.forEach((entry, at) => {
    const id = ids[entry]!;
    if (unique.at(-1) !== id) {
      unique.push(id);
      starts.push(at);
    }
    entries.set([Math.floor(entry / perRow), entry], at * 2);
  });
  starts.push(order.length);
  const tensors = {
    ids: gpu.upload(Uint32Array.from(unique), [unique.length], "scatter ids"),
    starts: gpu.upload(Uint32Array.from(starts), [starts.length], "scatter starts"),
    entries: gpu.upload(entries, [order.length, 2], "scatter entries"),
  };
  return {
    ...tensors,
    unique: unique.length,
    [Symbol.dispose]() {
      Object.values(tensors).forEach((tensor) => gpu.free(tensor));
    },
  };
}

/** gradient[V, D] += coefficients[e] · dy[row of e] summed over the entries e of each id. */
export function scatterGradient(
  plan: Plan,
  scatter: Scatter,
  coefficients: Tensor,
  dy: Tensor,
  gradient: Gradient,
) {
  const width = dy.shape[1]!;
  for (const { tensor, firstRow, rows } of chunksOf(gradient)) {
    plan.dispatch(
      { name: "embedding_gradient", template: gradientShader, values: {} },
      [scatter.ids, scatter.starts, scatter.entries, coefficients, dy, tensor],
      [scatter.unique * width, width, firstRow, rows],
      linearGrid(scatter.unique * width, 64),
    );
  }
}
