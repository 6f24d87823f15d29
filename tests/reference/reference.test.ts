import { assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { examplesOf, type Golden, goldenNames, loadGolden, relativeError } from "./golden.ts";
import { adamwStep, maskAdamStep, pairLoss, sgdStep } from "../../engine/reference/ops.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import {
  greedyTokens,
  maskLossAndGradient,
  type ReferenceExample,
  updateLossAndGradients,
} from "../../engine/reference/objectives.ts";

/** Limit on the error against golden tensors, which were computed in float32. */
const LIMIT = 1e-4;

const verbose = Deno.args.includes("--errors");

/** Compares with an expected tensor by its name; `--errors` after `--` prints every error. */
function check(golden: Golden, name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  const error = relativeError(actual, expected);
  if (verbose) console.log(`${golden.name}\t${name}\t${error.toExponential(2)}`);
  assertLess(error, LIMIT, `${golden.name}: "${name}" is off by ${error} of its largest value`);
}

/** The values of an expected tensor. */
function expected(golden: Golden, name: string): Float64Array {
  const tensor = golden.expected.get(name);
  if (!tensor) throw new Error(`${golden.name} has no expected tensor "${name}".`);
  return tensor.data;
}

/** A tensor [L, components] as one view a layer. */
function byLayer(golden: Golden, values: Float64Array): Float64Array[] {
  const { layers } = golden.config;
  const width = values.length / layers;
  return Array.from({ length: layers }, (_, l) => values.subarray(l * width, (l + 1) * width));
}

function flat(layers: readonly Float64Array[]): Float64Array {
  return Float64Array.from(layers.flatMap((layer) => [...layer]));
}

/** The rows of q, k, v and up projections that belong to selected components, as [weight name, rows]. */
function selectedRows(golden: Golden): [name: string, rows: number[]][] {
  const { queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F } = golden.config;
  const parts = [
    { part: "self_attn.q_proj", count: H, width: C },
    { part: "self_attn.k_proj", count: K, width: C },
    { part: "self_attn.v_proj", count: K, width: C },
    { part: "mlp.up_proj", count: F, width: 1 },
  ];
  return byLayer(golden, expected(golden, "update_mask")).flatMap((mask, layer) => {
    let component = 0;
    return parts.map(({ part, count, width }): [string, number[]] => {
      const rows: number[] = [];
      for (let i = 0; i < count; i++, component++) {
        if (mask[component]! > 0.5) { for (let c = 0; c < width; c++) rows.push(i * width + c); }
      }
      return [`model.layers.${layer}.${part}.weight`, rows];
    });
  });
}

/** A model whose weights may be changed without touching the golden ones. */
function copyOf(golden: Golden): ReferenceModel {
  return new ReferenceModel(
    golden.config,
    new Map([...golden.weights].map(([name, w]) => [name, w.slice()])),
  );
}

/** Runs masked update steps on a copy; `move` changes one selected row, given its weight and gradient. */
function updated(
  golden: Golden,
  steps: number,
  move: (row: Float64Array, gradient: Float64Array, id: string, step: number) => void,
): ReferenceModel {
  const model = copyOf(golden);
  const examples = examplesOf(golden.cases.update.localization);
  const width = golden.config.hiddenSize;
  for (let step = 1; step <= steps; step++) {
    const { gradients } = updateLossAndGradients(model, examples);
    for (const [name, rows] of selectedRows(golden)) {
      for (const row of rows) {
        const view = (of: Float64Array) => of.subarray(row * width, (row + 1) * width);
        move(view(model.weights.get(name)!), view(gradients.get(name)!), `${name}:${row}`, step);
      }
    }
  }
  return model;
}

/** Compares every updated matrix with its golden values, and demands that unselected rows kept their bits. */
function checkUpdate(golden: Golden, prefix: string, model: ReferenceModel): void {
  const width = golden.config.hiddenSize;
  for (const [name, rows] of selectedRows(golden)) {
    const actual = model.weights.get(name)!;
    const moved = new Set(rows);
    check(golden, `${prefix}.${name}`, actual, expected(golden, `${prefix}.${name}`));
    actual.forEach((value, i) => {
      if (!moved.has(Math.floor(i / width))) assertEquals(value, golden.weights.get(name)![i]);
    });
  }
}

for (const name of goldenNames) {
  const golden = await loadGolden(name);
  const { config, cases } = golden;
  const model = new ReferenceModel(config, golden.weights);
  const maskExamples = examplesOf(cases.dcm.localization);
  const updateExamples = examplesOf(cases.update.localization);

  Deno.test(`${name}: the reference reproduces logits and greedy tokens`, () => {
    const all = expected(golden, "logits");
    cases.logits.input_ids.forEach((padded, b) => {
      const padding = cases.logits.left_padding[b]!;
      const row = all.subarray(
        (b * padded.length + padding) * config.vocabSize,
        (b + 1) * padded.length * config.vocabSize,
      );
      check(golden, `logits[${b}]`, model.forward(padded.slice(padding)).logits, row);
    });
    cases.greedy.prompts.forEach((prompt, p) => {
      assertEquals(greedyTokens(model, prompt, cases.greedy.max_new_tokens), cases.greedy.expected[p]);
    });
  });

  for (const mask of ["half", "ones", "rand"]) {
    Deno.test(`${name}: the reference reproduces the ${mask} mask's differences and gradient`, () => {
      const layers = byLayer(golden, expected(golden, `dcm_${mask}_mask`));
      const { differences, gradient } = maskLossAndGradient(model, maskExamples, layers);
      check(golden, `dcm_${mask}_logit_diff`, differences, expected(golden, `dcm_${mask}_logit_diff`));
      check(golden, `dcm_${mask}_mask_grad`, flat(gradient), expected(golden, `dcm_${mask}_mask_grad`));
    });
  }

  Deno.test(`${name}: a mask of 0.5 is the unmasked model`, () => {
    const half = byLayer(golden, expected(golden, "dcm_half_mask"));
    const masked = maskLossAndGradient(model, maskExamples, half);
    assertEquals(masked.differences, updateLossAndGradients(model, maskExamples).differences);
  });

  Deno.test(`${name}: the reference reproduces ten steps of mask training`, () => {
    const { reg_coeff: regularization, steps, losses_with_l1 } = cases.dcm.train;
    const components = expected(golden, "dcm_train_mask").length;
    const mask = new Float64Array(components).fill(1);
    const [first, second] = [new Float64Array(components), new Float64Array(components)];
    const constants = { learningRate: 0.05, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, regularization };
    const losses: number[] = [];
    for (let step = 1; step <= steps; step++) {
      const { loss, gradient } = maskLossAndGradient(model, maskExamples, byLayer(golden, mask));
      losses.push(loss + regularization * mask.reduce((sum, value) => sum + Math.abs(value), 0));
      maskAdamStep(mask, flat(gradient), first, second, step, constants);
    }
    check(golden, "losses_with_l1", losses, losses_with_l1);
    check(golden, "dcm_train_mask", mask, expected(golden, "dcm_train_mask"));
  });

  Deno.test(`${name}: the reference reproduces the update gradient of every parameter`, () => {
    const { gradients } = updateLossAndGradients(model, updateExamples);
    assertEquals([...gradients.keys()].sort(), [...golden.fullGradients.keys()].sort());
    for (const [weight, tensor] of golden.fullGradients) {
      check(golden, `full_grads ${weight}`, gradients.get(weight)!, tensor.data);
    }
    for (const key of golden.expected.keys()) {
      if (key.startsWith("grad.")) {
        check(golden, key, gradients.get(key.slice("grad.".length))!, expected(golden, key));
      }
    }
  });

  Deno.test(`${name}: the reference reproduces one masked gradient step`, () => {
    const { steps, lr } = cases.update.sgd;
    checkUpdate(golden, "sgd1", updated(golden, steps, (row, gradient) => sgdStep(row, gradient, lr)));
  });

  Deno.test(`${name}: the reference reproduces three masked AdamW steps`, () => {
    const { steps, lr: learningRate, betas: [beta1, beta2], eps: epsilon, weight_decay } = cases.update.adamw;
    const constants = { learningRate, beta1, beta2, epsilon, weightDecay: weight_decay };
    const moments = new Map<string, [Float64Array, Float64Array]>();
    const model = updated(golden, steps, (row, gradient, id, step) => {
      const held = moments.get(id) ?? [new Float64Array(row.length), new Float64Array(row.length)];
      moments.set(id, held);
      adamwStep(row, gradient, ...held, step, constants);
    });
    checkUpdate(golden, "adamw3", model);
  });

  Deno.test(`${name}: parameter gradients agree with finite differences`, () => {
    const copy = copyOf(golden);
    const example = updateExamples.slice(-1);
    const { gradients } = updateLossAndGradients(copy, example, "preference");
    for (const [weight, gradient] of gradients) {
      const values = copy.weights.get(weight)!;
      const largest = gradient.reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
      const at = gradient.findIndex((g) => Math.abs(g) === largest);
      for (const i of [at, Math.floor(gradient.length / 3)]) {
        const numeric = slope(values, i, () => preferenceLoss(copy, example));
        assertAlmostEquals(numeric, gradient[i]!, 1e-6 * largest, `${weight}[${i}]`);
      }
    }
  });

  Deno.test(`${name}: mask gradients agree with finite differences at any position`, () => {
    const { ids, desired, undesired } = maskExamples.at(-1)!;
    const mask = byLayer(golden, expected(golden, "dcm_rand_mask").slice());
    const { vocabSize } = config;
    for (const maskPosition of [ids.length - 1, 5]) {
      const forward = () => model.forward(ids, { mask, maskPosition });
      const lossOf = (logits: Float64Array) =>
        pairLoss(logits.subarray(-vocabSize), [desired], [undesired], vocabSize);
      const result = forward();
      const dlogits = new Float64Array(result.logits.length);
      dlogits.set(lossOf(result.logits).dlogits, dlogits.length - vocabSize);
      const gradient = model.backward(result, dlogits).mask!;
      const largest = flat(gradient).reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
      mask.forEach((layer, l) => {
        for (let c = 0; c < layer.length; c += 5) {
          const numeric = slope(layer, c, () => lossOf(forward().logits).loss);
          assertAlmostEquals(numeric, gradient[l]![c]!, 1e-6 * largest, `layer ${l}, component ${c}`);
        }
      });
    }
  });
}

/** The preference loss alone, without a backward pass. */
function preferenceLoss(model: ReferenceModel, examples: readonly ReferenceExample[]): number {
  return examples.reduce((loss, { ids, desired, undesired }) => {
    const { vocabSize } = model.config;
    const last = model.forward(ids).logits.subarray(-vocabSize);
    return loss + pairLoss(last, [desired], [undesired], vocabSize, "preference").loss / examples.length;
  }, 0);
}

/** Central difference of `value` by values[i], fourth order, which is put back. */
function slope(values: Float64Array, i: number, value: () => number): number {
  const held = values[i]!;
  const at = (offset: number) => {
    values[i] = held + offset;
    return value();
  };
  const h = 1e-4;
  const result = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  values[i] = held;
  return result;
}
