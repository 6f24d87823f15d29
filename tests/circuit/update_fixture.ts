/** What tests of the sparse update share: rows by checkpoint name, and the update in float64. R rows, I columns. */
import type { SelectedRows, Selection } from "../../engine/circuit/components.ts";
import type { RowValues, SparseUpdate, UpdateOptions } from "../../engine/circuit/update.ts";
import { partsOf } from "../../engine/model/weights.ts";
import type { Twins } from "../model/model_fixture.ts";
import { adamwStep, sgdStep } from "../../engine/reference/optimizers.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";

/** Plain settings that a test overrides. */
export const plain: UpdateOptions = {
  objective: "logit-difference",
  optimizer: "sgd",
  rate: 0.05,
  weightDecay: 0,
};

/** A selection of every component for which `wanted` holds. */
export function selectionOf(
  { model }: Twins,
  wanted: (component: number, layer: number) => boolean,
): Selection {
  const perLayer = model.componentsPerLayer;
  return Array.from(
    { length: model.config.layers * perLayer },
    (_, i) => wanted(i % perLayer, Math.floor(i / perLayer)),
  );
}

/** The selection that the golden folder's own updates use. */
export function goldenSelection({ golden }: Twins): Selection {
  return Array.from(golden.expected.get("update_mask")!.data, (value) => value > 0.5);
}

/** Where each selected row lies in the checkpoint: parameter name and row number. */
function rowsInCheckpoint({ model }: Twins, { layer, matrix, rows }: SelectedRows) {
  return [...rows].map((row) => {
    const part = partsOf(model.config, layer, matrix)
      .find(({ firstRow, rows: count }) => row >= firstRow && row < firstRow + count)!;
    return { name: part.name, row: row - part.firstRow };
  });
}

/** The selected rows [R, I] of tensors by parameter name, in the order in which an update reads them out. */
export function pickRows(
  twins: Twins,
  rows: readonly SelectedRows[],
  tensors: ReadonlyMap<string, ArrayLike<number>>,
): number[] {
  return rows.flatMap((selected) => {
    const { columns } = selected.weight;
    return rowsInCheckpoint(twins, selected).flatMap(({ name, row }) =>
      Array.from({ length: columns }, (_, i) => tensors.get(name)![row * columns + i]!)
    );
  });
}

/** Row values of an update in one list. */
export function flatten(update: SparseUpdate, values: RowValues): number[] {
  return update.rows.flatMap(({ weight }) => [...values.get(weight)!]);
}

/** The same update in float64: losses before each step and the selected rows after the last. */
export function updateTwin(
  twins: Twins,
  rows: readonly SelectedRows[],
  options: UpdateOptions,
  steps: number,
): { losses: number[]; values: number[] } {
  const { golden, model, referenceExamples } = twins;
  const weights = new Map([...golden.weights].map(([name, data]) => [name, data.slice()]));
  const reference = new ReferenceModel(golden.config, weights);
  const columns = model.config.hiddenSize;
  const moving = rows.flatMap((selected) => rowsInCheckpoint(twins, selected)).map(({ name, row }) => ({
    name,
    range: [row * columns, (row + 1) * columns] as const,
    moments: [new Float64Array(columns), new Float64Array(columns)] as const,
  }));
  const adam = { learningRate: options.rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
  const losses: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const { loss, gradients } = updateLossAndGradients(reference, referenceExamples, options.objective);
    losses.push(loss);
    for (const { name, range, moments } of moving) {
      const row = weights.get(name)!.subarray(...range);
      const gradient = gradients.get(name)!.subarray(...range);
      if (options.optimizer === "sgd") sgdStep(row, gradient, options.rate);
      else adamwStep(row, gradient, ...moments, step, { ...adam, weightDecay: options.weightDecay });
    }
  }
  return { losses, values: pickRows(twins, rows, weights) };
}
