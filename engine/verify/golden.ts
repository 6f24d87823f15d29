/** Checks the engine on this adapter against a golden folder: expected logits, gradients and updates of a tiny model. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import type { Selection } from "../circuit/components.ts";
import { fullGradient } from "../circuit/full_gradient.ts";
import type { TokenPair } from "../circuit/localization.ts";
import { evaluateMask } from "../circuit/mask_pass.ts";
import { learnMask } from "../circuit/mask_training.ts";
import { readBaseRows } from "../circuit/overlay.ts";
import { type RowValues, SparseUpdate } from "../circuit/update.ts";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { generate } from "../model/generate.ts";
import { Model } from "../model/model.ts";
import { readTensors } from "../checkpoint/checkpoint.ts";
import { partsOf } from "../model/weights.ts";
import { readWholeText } from "../whole_file.ts";

/** One check's outcome; `error` is the largest difference relative to the largest expected value. */
export interface Check {
  /** What was compared. */
  readonly name: string;
  /** Largest relative error. */
  readonly error: number;
  /** Largest error that passes. */
  readonly limit: number;
  /** Whether it is within the limit. */
  readonly passed: boolean;
}

/** Largest relative errors allowed; greedy ids and untouched rows must be exact. */
export const limits = { forward: 1e-3, gradient: 2e-3 } as const;

const example = z.object({
  prefix_ids: z.array(z.int()),
  desired_token: z.int(),
  undesired_token: z.int(),
});
const casesSchema = z.object({
  logits: z.object({ input_ids: z.array(z.array(z.int())), left_padding: z.array(z.int()) }),
  greedy: z.object({
    prompts: z.array(z.array(z.int())),
    max_new_tokens: z.int(),
    expected: z.array(z.array(z.int())),
  }),
  dcm: z.object({
    localization: z.array(example),
    train: z.object({
      init: z.number(),
      optimizer: z.string(),
      reg_coeff: z.number(),
      steps: z.int(),
      losses_with_l1: z.array(z.number()),
    }),
  }),
  update: z.object({
    localization: z.array(example),
    sgd: z.object({ steps: z.int(), lr: z.number() }),
    adamw: z.object({
      steps: z.int(),
      lr: z.number(),
      betas: z.tuple([z.literal(0.9), z.literal(0.999)]),
      eps: z.literal(1e-8),
      weight_decay: z.number(),
    }),
  }),
});

/**
 * Runs every check of one golden folder, reporting each as it is done.
 *
 * @example Check this adapter
 * ```ts
 * import { Gpu, verifyGolden } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * await verifyGolden(gpu, "fixtures/golden/llama-tiny", ({ name, passed }) => console.log(name, passed));
 * ```
 */
export async function verifyGolden(
  gpu: Gpu,
  directory: string,
  report: (check: Check) => void,
): Promise<void> {
  const cases = await readCases(directory);
  const expected = await readTensors(join(directory, "expected.safetensors"));
  const fullGradients = await readTensors(join(directory, "full_grads.safetensors"));
  const want = (name: string): Float32Array => {
    const tensor = expected.get(name);
    if (!tensor) throw new InputError(`${join(directory, "expected.safetensors")} has no tensor "${name}".`);
    return tensor.data as Float32Array;
  };
  const compare = (name: string, limit: number, ...pairs: [ArrayLike<number>, ArrayLike<number>][]) => {
    const error = Math.max(...pairs.map(([actual, wanted]) => relativeError(actual, wanted)));
    report({ name, error, limit, passed: error <= limit });
  };
  const exact = (name: string, differing: number) => {
    report({ name, error: differing, limit: 0, passed: differing === 0 });
  };
  // The golden values are those of the stored weights, so 16-bit storage is exercised where the folder has it.
  using model = await Model.load(gpu, directory, { storage: "checkpoint" });

  const { input_ids, left_padding } = cases.logits;
  const vocab = model.config.vocabSize;
  const logitPairs: [Float32Array, Float32Array][] = [];
  for (const [row, ids] of input_ids.entries()) {
    const padding = left_padding[row]!;
    const { logits } = await model.run(ids.slice(padding));
    const from = (row * ids.length + padding) * vocab;
    logitPairs.push([logits, want("logits").subarray(from, from + logits.length)]);
  }
  compare("logits", limits.forward, ...logitPairs);

  const { prompts, max_new_tokens: maxNewTokens } = cases.greedy;
  const generated = await generate(model, prompts.map((ids) => ({ ids })), { maxNewTokens, stopTokens: [] });
  exact("greedy ids", differences(generated.flat(), cases.greedy.expected.flat()));

  const examples = cases.dcm.localization;
  for (const kind of ["half", "ones", "rand"]) {
    const mask = want(`dcm_${kind}_mask`);
    const ours = await evaluateMask(model, examples, mask);
    compare(`dcm_${kind}_logit_diff`, limits.forward, [ours.differences, want(`dcm_${kind}_logit_diff`)]);
    compare(`dcm_${kind}_mask_grad`, limits.gradient, [ours.gradient, want(`dcm_${kind}_mask_grad`)]);
  }
  const { init, optimizer, reg_coeff, steps, losses_with_l1 } = cases.dcm.train;
  const learned = await learnMask(model, examples, {
    rate: Number(optimizer.match(/lr=([\d.e-]+)/)?.[1]),
    strength: reg_coeff,
    initial: init,
    epochs: steps,
    batch: examples.length,
    decay: 1,
    patience: 0,
  });
  compare("dcm_train_mask", limits.gradient, [learned.mask, want("dcm_train_mask")]);
  compare("dcm_train losses", limits.forward, [learned.losses, losses_with_l1]);

  const { localization, sgd, adamw } = cases.update;
  const full = await fullGradient(model, localization, "logit-difference");
  const named = [...full.gradients].map(([name, gradient]) => {
    const wanted = fullGradients.get(name);
    if (!wanted) {
      throw new InputError(`${join(directory, "full_grads.safetensors")} has no tensor "${name}".`);
    }
    return { name, error: relativeError(gradient, wanted.data) };
  });
  const worst = named.reduce((a, b) => a.error >= b.error ? a : b);
  report({
    name: `full gradients of ${named.length} parameters, worst ${worst.name}`,
    error: worst.error,
    limit: limits.gradient,
    passed: worst.error <= limits.gradient && named.length === fullGradients.size,
  });

  const selection = Array.from(want("update_mask"), (value) => value > 0.5);
  const everything = selection.map(() => true);
  const gradient = await sparse(model, everything, localization, "sgd", 0, 0, 0);
  compare("grad of q, k, v and up", limits.gradient, ...rowPairs(model, gradient, want, "grad"));
  for (
    const [name, optimizer, settings, decay] of [
      ["sgd1", "sgd", sgd, 0],
      ["adamw3", "adamw", adamw, adamw.weight_decay],
    ] as const
  ) {
    const values = await sparse(
      model,
      selection,
      localization,
      optimizer,
      settings.steps,
      settings.lr,
      decay,
    );
    compare(`${name} of selected rows`, limits.gradient, ...rowPairs(model, values, want, name));
    exact(`${name} leaves other rows alone`, await movedOutside(model, values, want, name));
    model.revert();
  }
}

/** Row values (or, after 0 steps, gradients) of an update, by row number. */
type Rows = { values: RowValues; rows: SparseUpdate["rows"] };

async function sparse(
  model: Model,
  selection: Selection,
  examples: readonly TokenPair[],
  optimizer: "sgd" | "adamw",
  steps: number,
  rate: number,
  weightDecay: number,
): Promise<Rows> {
  using update = new SparseUpdate(model, selection, examples, {
    objective: "logit-difference",
    optimizer,
    rate,
    weightDecay,
    tokensPerPass: 64, // several passes, so that accumulation is part of the check
  });
  for (let step = 0; step < steps; step++) await update.step();
  return { values: steps ? await update.values() : (await update.gradient()).gradients, rows: update.rows };
}

/** Pairs of (our rows, expected rows) for the parameters that the rows belong to. */
function rowPairs(
  model: Model,
  { values, rows }: Rows,
  want: (name: string) => Float32Array,
  prefix: string,
) {
  return rows.flatMap(({ layer, matrix, weight, rows }) => {
    const own = values.get(weight)!;
    return partsOf(model.config, layer, matrix).flatMap((part): [Float32Array, Float32Array][] => {
      const inside = [...rows.keys()].filter((r) =>
        rows[r]! >= part.firstRow && rows[r]! < part.firstRow + part.rows
      );
      if (inside.length === 0) return [];
      const wanted = want(`${prefix}.${part.name}`);
      const take = (source: Float32Array, row: (r: number) => number) =>
        Float32Array.from(inside.flatMap((r) => [
          ...source.subarray(row(r) * weight.columns, (row(r) + 1) * weight.columns),
        ]));
      return [[take(own, (r) => r), take(wanted, (r) => rows[r]! - part.firstRow)]];
    });
  });
}

/** Number of rows outside the update that differ in any bit between the expected result and the model on the GPU. */
async function movedOutside(
  model: Model,
  { rows }: Rows,
  want: (name: string) => Float32Array,
  prefix: string,
) {
  let moved = 0;
  for (const { layer, matrix, weight, rows: selected } of rows) {
    const inside = new Set(selected);
    for (const part of partsOf(model.config, layer, matrix)) {
      if (part.name.includes("gate_proj")) continue;
      const all = Uint32Array.from({ length: part.rows }, (_, r) => part.firstRow + r);
      const base = await readBaseRows(model, weight, all);
      const wanted = want(`${prefix}.${part.name}`);
      all.forEach((row, r) => {
        if (inside.has(row)) return;
        const range = [r * weight.columns, (r + 1) * weight.columns] as const;
        if (differences(base.subarray(...range), wanted.subarray(...range)) > 0) moved++;
      });
    }
  }
  return moved;
}

async function readCases(directory: string): Promise<z.infer<typeof casesSchema>> {
  const path = join(directory, "cases.json");
  let text: string;
  try {
    text = await readWholeText(path);
  } catch {
    throw new InputError(
      `"${path}" cannot be read; a golden folder holds cases.json, expected.safetensors and a model.`,
      "golden",
    );
  }
  try {
    return casesSchema.parse(JSON.parse(text));
  } catch (error) {
    const issue = error instanceof z.ZodError ? `field ${error.issues[0]?.path.join(".")}` : "it is not JSON";
    throw new InputError(`${path} is not a golden case file: ${issue}.`);
  }
}

/** Largest difference relative to the largest expected value; infinite for a NaN or another length. */
export function relativeError(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (actual.length !== wanted.length) return Infinity;
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, Math.abs(wanted[i]!));
    const difference = Math.abs(actual[i]! - wanted[i]!);
    if (Number.isNaN(difference)) return Infinity;
    worst = Math.max(worst, difference);
  }
  return worst / (largest || 1);
}

function differences(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let count = Math.abs(a.length - b.length);
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) count++;
  return count;
}
