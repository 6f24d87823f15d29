/** Token embedding and the scatter of gradients into embedding-shaped matrices. N tokens, D width, V vocabulary. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { chunksOf, type Gradient, type Weight } from "./weight.ts";

/** y[N, D] = scale · table[tokens[N].id]. */
export function embed(plan: Plan, tokens: Tensor, table: Weight, y: Tensor, scale: number) {
  for (const { tensor, firstRow, rows } of table.chunks) {
    plan.dispatch(
      kernel("embedding", { DTYPE: table.storage, VECTOR: false }),
      { weights: tensor, tokens, y },
      { count: y.elements, width: table.columns, first_row: firstRow, rows, scale },
      { invocations: y.elements },
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
  const images = encodeScatter(ids, perRow);
  const scatter = emptyScatter(gpu, images.ids.length, ids.length);
  writeScatter(gpu, scatter, images);
  return scatter;
}

/** Room for a scatter of up to `entries` entries of `unique` ids, written before every run of a plan. */
export function emptyScatter(gpu: Gpu, unique: number, entries: number): Scatter {
  const tensors = {
    ids: gpu.tensor([unique], "scatter ids"),
    starts: gpu.tensor([unique + 1], "scatter starts"),
    entries: gpu.tensor([entries, 2], "scatter entries"),
  };
  return {
    ...tensors,
    unique,
    [Symbol.dispose]() {
      Object.values(tensors).forEach((tensor) => gpu.free(tensor));
    },
  };
}

/** Contents of a scatter: ids [U], starts [U + 1], entries [E, 2]. */
export type ScatterImages = Readonly<Record<"ids" | "starts" | "entries", Uint32Array<ArrayBuffer>>>;

/**
 * The scatter of `ids` sorted by id. With `unique`, exactly so many ids are listed: some that do not occur, without
 * entries, make up the number, so there must be that many in the vocabulary.
 */
export function encodeScatter(ids: ArrayLike<number>, perRow = 1, unique = 0): ScatterImages {
  const order = Array.from({ length: ids.length }, (_, e) => e).sort((a, b) => ids[a]! - ids[b]! || a - b);
  const listed: number[] = [];
  const starts: number[] = [];
  const entries = new Uint32Array(order.length * 2);
  order.forEach((entry, at) => {
    const id = ids[entry]!;
    if (listed.at(-1) !== id) {
      listed.push(id);
      starts.push(at);
    }
    entries.set([Math.floor(entry / perRow), entry], at * 2);
  });
  const occurring = new Set(listed);
  for (let id = 0; listed.length < unique; id++) {
    if (occurring.has(id)) continue;
    listed.push(id);
    starts.push(order.length);
  }
  starts.push(order.length);
  return { ids: Uint32Array.from(listed), starts: Uint32Array.from(starts), entries };
}

/** Writes a scatter's contents, ordered before anything submitted later. */
export function writeScatter(gpu: Gpu, scatter: Scatter, images: ScatterImages) {
  for (const name of ["ids", "starts", "entries"] as const) gpu.write(scatter[name], images[name]);
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
      kernel("embedding_gradient"),
      {
        ids: scatter.ids,
        starts: scatter.starts,
        entries: scatter.entries,
        coefficients,
        dy,
        gradient: tensor,
      },
      { count: scatter.unique * width, width, first_row: firstRow, rows },
      { invocations: scatter.unique * width },
    );
  }
}
