/**
 * Squared gradients by component, over the rows that an update may move: what selections by gradient are made from.
 * Legend: L layers, P components a layer, H query heads, K key/value heads, C head width, F MLP neurons, D hidden, N tokens.
 */
import { InputError, NonFiniteError } from "../../errors.ts";
import { Plan } from "../../gpu/plan.ts";
import { TokenBatch } from "../../model/batch.ts";
import { recordLanguagePass } from "../../model/language_pass.ts";
import type { Model } from "../../model/model.ts";
import { fill } from "../../ops/elementwise.ts";
import { prepareScatter } from "../../ops/embedding.ts";
import type { Objective } from "../../ops/loss.ts";
import { readRows, type RowChunk, splitRows, type Weight } from "../../ops/weight.ts";
import type { SelectedRows } from "../components.ts";
import { componentAt, selectedRows } from "../components.ts";
import type { TokenPair } from "../localization.ts";
import { SparseUpdate } from "../update.ts";
import { componentParameters } from "./budget.ts";

/** Most bytes of gradients held at once; layers beyond it take further passes. */
const mostBytes = 2 ** 30;

/** Groups of consecutive layers whose movable rows fit `mostBytes`, one layer at least. */
function layerGroups(model: Model): { first: number; last: number }[] {
  const { layers } = model.config;
  const parameters = componentParameters(model.config).reduce((sum, count) => sum + count, 0);
  const each = Math.max(1, Math.floor(mostBytes / (4 * parameters / layers)));
  return Array.from({ length: Math.ceil(layers / each) }, (_, g) => ({
    first: g * each,
    last: Math.min(layers, (g + 1) * each),
  }));
}

/** Adds the squares of gradient rows to the components they belong to. `gradient` is [R, D] of the rows. */
function addSquares(
  model: Model,
  { layer, matrix, rows, weight }: SelectedRows,
  gradient: Float32Array,
  add: (component: number, square: number) => void,
) {
  const { queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F } = model.config;
  rows.forEach((row, r) => {
    let square = 0;
    for (let at = r * weight.columns; at < (r + 1) * weight.columns; at++) square += gradient[at]! ** 2;
    const own = matrix === "qkv" ? Math.floor(row / C) : H + 2 * K + row - F;
    add(layer * model.componentsPerLayer + own, square);
  });
}

/**
 * Squared norm of the gradient of the mean pair loss, by component [L · P], at the checkpoint's own values. The model carries
 * no overlays afterwards.
 *
 * @throws {InputError} without examples, for one that does not fit the model, or where the gradient is not finite.
 */
export async function taskEnergies(
  model: Model,
  examples: readonly TokenPair[],
  objective: Objective,
): Promise<Float64Array> {
  const perLayer = model.componentsPerLayer;
  const energies = new Float64Array(model.config.layers * perLayer);
  for (const { first, last } of layerGroups(model)) {
    const wanted = Array.from(energies, (_, i) => i >= first * perLayer && i < last * perLayer);
    await model.gpu.fence(); // what came before is free for this group
    try {
      using update = new SparseUpdate(model, wanted, examples, {
        objective,
        optimizer: "sgd",
        rate: 1,
        weightDecay: 0,
      });
      const { gradients } = await update.gradient();
      for (const rows of update.rows) {
        addSquares(model, rows, gradients.get(rows.weight)!, (component, square) => {
          energies[component] = energies[component]! + square;
        });
      }
    } finally {
      model.revert();
    }
  }
  requireFinite(model, energies, "task");
  return energies;
}

/** Energies of the log-likelihood of some sequences, by component [L · P]. */
export interface LanguageEnergies {
  /** Mean over the sequences of each one's squared gradient: the diagonal of the empirical Fisher matrix, summed by component. */
  readonly fisher: Float64Array;
  /** Squared gradient of the mean. */
  readonly mean: Float64Array;
}

/**
 * Squared gradients of the mean negative log-likelihood of the tokens of `sequences`, each but its first `skip` tokens.
 *
 * @throws {InputError} where no sequence has a token to predict, or the gradient is not finite.
 */
export async function languageEnergies(
  model: Model,
  sequences: readonly { readonly ids: readonly number[]; readonly skip: number }[],
  onProgress?: (done: number, total: number) => void,
): Promise<LanguageEnergies> {
  const { gpu } = model;
  const usable = sequences.filter(({ ids, skip }) => ids.length > Math.max(1, skip));
  if (usable.length === 0) {
    throw new InputError("There is no text whose likelihood could be kept; give other abilities.");
  }
  usable.forEach(({ ids }) => model.checkSequence(ids));
  const size = model.config.layers * model.componentsPerLayer;
  const fisher = new Float64Array(size), mean = new Float64Array(size);
  const all = selectedRows(model, new Array<boolean>(size).fill(true));
  for (const { first, last } of layerGroups(model)) {
    const own = all.filter(({ layer }) => layer >= first && layer < last);
    const sums = new Map(own.map((rows) => [rows, new Float32Array(rows.rows.length * rows.weight.columns)]));
    for (const [done, { ids, skip }] of usable.entries()) {
      const gradients = await sequenceGradients(model, ids, skip, own);
      for (const rows of own) {
        const gradient = gradients.get(rows.weight)!;
        const sum = sums.get(rows)!;
        for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + gradient[i]! / usable.length;
        addSquares(model, rows, gradient, (component, square) => {
          fisher[component] = fisher[component]! + square / usable.length;
        });
      }
      onProgress?.(first * usable.length + (done + 1) * (last - first), model.config.layers * usable.length);
    }
    for (const [rows, sum] of sums) {
      addSquares(model, rows, sum, (component, square) => mean[component] = mean[component]! + square);
    }
  }
  await gpu.fence();
  requireFinite(model, fisher, "text");
  return { fisher, mean };
}

/** Gradients of the movable rows [R, D], per matrix, of one sequence's mean negative log-likelihood. */
async function sequenceGradients(
  model: Model,
  ids: readonly number[],
  skip: number,
  wanted: readonly SelectedRows[],
): Promise<Map<Weight, Float32Array>> {
  const { gpu } = model;
  const from = Math.max(1, skip);
  using batch = TokenBatch.wholeSequences(gpu, [ids]);
  using scatter = prepareScatter(gpu, [...ids]);
  using plan = new Plan(gpu, "language gradient");
  const targets = gpu.upload(Uint32Array.from(ids, (_, t) => ids[t + 1] ?? 0), [ids.length], "targets");
  const weight = 1 / (ids.length - from);
  const targetWeights = gpu.upload(
    Float32Array.from(ids, (_, t) => t + 1 < ids.length && t + 1 >= from ? weight : 0),
    [ids.length],
    "target weights",
  );
  const sinks = new Map<Weight, readonly RowChunk[]>();
  try {
    for (const { weight } of wanted) {
      const { name, rows, columns } = weight;
      sinks.set(
        weight,
        splitRows(gpu, rows, columns * 4, (count) => {
          const tensor = gpu.tensor([count, columns], `${name} gradient`, { part: "gradients" });
          fill(plan, tensor, 0);
          return tensor;
        }),
      );
    }
    recordLanguagePass(plan, model, {
      batch,
      cacheRows: batch.count,
      targets,
      targetWeights,
      scatter,
      sinks: { weights: sinks },
    });
    plan.run();
    const gradients = new Map<Weight, Float32Array>();
    for (const { weight, rows } of wanted) {
      const whole = await readRows(gpu, sinks.get(weight)!);
      const { columns } = weight;
      const first = rows[0]! * columns; // all heads, or all of up_proj: one run of rows
      gradients.set(weight, whole.subarray(first, first + rows.length * columns));
    }
    return gradients;
  } finally {
    const held = [...sinks.values()].flat().map(({ tensor }) => tensor);
    for (const tensor of [targets, targetWeights, ...held]) gpu.free(tensor);
  }
}

function requireFinite({ config }: Model, energies: Float64Array, of: string) {
  const bad = energies.findIndex((energy) => !Number.isFinite(energy));
  if (bad < 0) return;
  const { layer, kind, number } = componentAt(config, bad);
  throw new NonFiniteError(
    `The gradient of the ${of} is NaN or infinite at ${kind} ${number} of layer ${layer}, so nothing can be chosen by it; hold the weights in f32.`,
    "storage",
  );
}
