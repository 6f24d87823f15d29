/** What all examples begin with, computed once a step: the same gradients as every example on its own, and far fewer tokens. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import type { TokenPair } from "../../engine/circuit/localization.ts";
import { SparseUpdate, type UpdateOptions } from "../../engine/circuit/update.ts";
import { updateLossAndGradients } from "../../engine/reference/objectives.ts";
import { Model } from "../../engine/model/model.ts";
import { PairPasses, type PairPassOptions } from "../../engine/circuit/pair_passes.ts";
import { randomModel, smallSizes } from "../model/random_model.ts";
import { goldenArchitectures, loadTwins } from "../model/model_fixture.ts";
import { assertClose, gpuTest, gpuTestOfVariants } from "../ops/gpu_fixture.ts";
import { flatten, goldenSelection, pickRows, plain, selectionOf, updateTwin } from "./update_fixture.ts";

const beginning = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9];
/** Examples behind a beginning of 13 tokens; the first has one token of its own, so that 13 is what all can share. */
const tails = [[7], [9, 3, 2, 3, 8, 4], [6, 2, 6], [7, 4, 3, 3, 8], [9, 5]];
const examples = tails.map((tail, e): TokenPair => ({
  prefix_ids: [...beginning, ...tail],
  desired_token: 10 + e,
  undesired_token: 20 - e,
}));
const referenceExamples = examples.map(({ prefix_ids: ids, desired_token, undesired_token }) => ({
  ids,
  desired: desired_token,
  undesired: undesired_token,
}));

for (const name of goldenArchitectures) {
  gpuTest(`gradients of ${name} are those of whole prefixes and of the twin`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const expected = updateLossAndGradients(twins.reference, referenceExamples, "preference");
    const gradient = async (options: Partial<UpdateOptions>) => {
      using update = new SparseUpdate(twins.model, selectionOf(twins, () => true), examples, {
        ...plain,
        objective: "preference",
        ...options,
      });
      const { loss, differences, gradients, squaredGradient } = await update.gradient();
      const rows = flatten(update, gradients);
      // Asking again gives the same: nothing is left over from before.
      assertEquals(flatten(update, (await update.gradient()).gradients), rows);
      assertClose("loss", [loss], [expected.loss], 1e-5);
      assertClose("differences", differences, expected.differences, 1e-4);
      assertClose("gradients", rows, pickRows(twins, update.rows, expected.gradients), 1e-4);
      return { rows, squaredGradient };
    };
    const whole = await gradient({ sharePrefix: false });
    for (const tokensPerPass of [1024, 7]) {
      const shared = await gradient({ sharePrefix: true, tokensPerPass });
      assertClose("against whole prefixes", shared.rows, whole.rows, 1e-5);
      assertClose("squared norm", [shared.squaredGradient], [whole.squaredGradient], 1e-5);
    }
  });
}

const windowed = {
  "Gemma-2": { model_type: "gemma2", sliding_window: 5, query_pre_attn_scalar: 9 },
  "Mistral in quads": { model_type: "mistral", sliding_window: 15, head_dim: 8, hidden_size: 24 },
  "Qwen3": { model_type: "qwen3", use_sliding_window: true, max_window_layers: 2, sliding_window: 5 },
  "OLMo-2 with biases": { model_type: "olmo2", attention_bias: true },
};

/** Gradients of every matrix, norm and bias of the model into fresh sinks. */
async function allGradients(model: Model, options: PairPassOptions): Promise<number[]> {
  const { gpu, weights } = model;
  const { layers } = weights;
  const zeros = (name: string, ...shape: number[]) => {
    return gpu.upload(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, name);
  };
  const matrices = layers.flatMap(({ qkv, output, gateUp, down }) => [qkv, output, gateUp, down]);
  const norms = layers.flatMap((layer) =>
    [
      layer.beforeAttention,
      layer.afterAttention,
      layer.beforeMlp,
      layer.afterMlp,
      layer.queryNorm,
      layer.keyNorm,
    ]
      .filter((norm) => norm !== undefined)
  );
  const biases = layers.flatMap(({ qkvBias, outputBias }) => [qkvBias, outputBias])
    .filter((bias) => bias !== undefined);
  const sinks = {
    weights: new Map(matrices.map((matrix) => [matrix, zeros(matrix.name, matrix.rows, matrix.columns)])),
    norms: new Map(norms.map((norm) => [norm, zeros("norm", norm.weight.elements)])),
    biases: new Map(biases.map((bias) => [bias, zeros("bias", bias.elements)])),
  };
  const tensors = [...sinks.weights.values(), ...sinks.norms.values(), ...sinks.biases.values()];
  using passes = new PairPasses(model, examples, "logit-difference", sinks, options);
  await passes.run();
  const values: number[] = [];
  for (const tensor of tensors) {
    values.push(...await gpu.read(tensor));
    gpu.free(tensor);
  }
  return values;
}

for (const [name, config] of Object.entries(windowed)) {
  gpuTestOfVariants(
    `gradients of every parameter of ${name} are those of whole prefixes`,
    async ({ gpu }) => {
      await using random = await randomModel({ ...smallSizes, ...config });
      using model = await Model.load(gpu, random.path);
      const whole = await allGradients(model, { sharePrefix: false });
      assertGreater(Math.max(...whole.map(Math.abs)), 0);
      for (const keptBytes of [2 ** 30, 30_000, 0]) { // all layers keep their activations, some, none
        const shared = await allGradients(model, { sharePrefix: true, keptBytes, tokensPerPass: 9 });
        assertClose(`keeping ${keptBytes} bytes`, shared, whole, 1e-5);
      }
    },
  );
}

gpuTest(
  "gradients of one layer's heads or neurons are the same wherever the backward pass ends",
  async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const expected = updateLossAndGradients(twins.reference, referenceExamples, "logit-difference");
    for (const lowest of [0, 1, 2]) {
      for (const component of [1, 6, 20]) { // a query head, a value head, a neuron
        const selection = selectionOf(twins, (c, l) => c === component && l === lowest);
        using update = new SparseUpdate(twins.model, selection, examples, { ...plain, sharePrefix: true });
        const { gradients } = await update.gradient();
        const wanted = pickRows(twins, update.rows, expected.gradients);
        assertClose(`component ${component} of layer ${lowest}`, flatten(update, gradients), wanted, 1e-4);
      }
    }
  },
);

gpuTest("equal prefixes, and one that others begin with, keep a last token of their own", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "olmo2-tiny");
  const pairs = [beginning, [...beginning, 7, 9], beginning].map((prefix_ids, e) => ({
    prefix_ids,
    desired_token: 10 + e,
    undesired_token: 20,
  }));
  const gradients: number[][] = [];
  for (const sharePrefix of [false, true]) {
    using update = new SparseUpdate(twins.model, goldenSelection(twins), pairs, { ...plain, sharePrefix });
    gradients.push(flatten(update, (await update.gradient()).gradients));
  }
  assertClose("gradients", gradients[1]!, gradients[0]!, 1e-5);
});

gpuTest("30 steps that share the beginning follow the twin", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const options = { ...plain, optimizer: "adamw", rate: 0.002, weightDecay: 0.1 } as const;
  using update = new SparseUpdate(twins.model, goldenSelection(twins), examples, {
    ...options,
    sharePrefix: true,
  });
  const losses: number[] = [];
  for (let step = 0; step < 30; step++) losses.push((await update.step()).loss);
  const twin = updateTwin({ ...twins, referenceExamples }, update.rows, options, 30);
  assertClose("losses", losses, twin.losses, 1e-3);
  assertClose("rows", flatten(update, await update.values()), twin.values, 1e-3);
  assertLess(losses.at(-1)!, losses[0]! - 0.1);
});

gpuTest("what is worth sharing is shared unasked, and the passes hold the rest alone", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const plans = (pairs: readonly TokenPair[], options: Partial<UpdateOptions> = {}) => {
    const all = selectionOf(twins, () => true);
    using update = new SparseUpdate(twins.model, all, pairs, { ...plain, ...options });
    return update.recorded.map(({ plan, passes }) => `${passes} x ${plan.label}`);
  };
  const shared = ["1 x shared beginning, forward", "1 x pair pass", "1 x shared beginning, backward"];
  assertEquals(plans(examples).slice(0, 3), shared);
  assert(!plans(examples, { sharePrefix: false }).some((plan) => plan.includes("shared")));
  // Two tokens of thirteen are not worth two plans.
  const others = tails.map((tail, e) => ({
    ...examples[e]!,
    prefix_ids: [1, 2, ...tail, ...Array(11).fill(5 + e)],
  }));
  assert(!plans(others).some((plan) => plan.includes("shared")));
  // Nobody reads keys and values below the lowest gradient, so the beginning of neurons of the top layer has no way back.
  const top = twins.model.config.layers - 1;
  const neuron = selectionOf(twins, (c, l) => c === 20 && l === top);
  using update = new SparseUpdate(twins.model, neuron, examples, plain);
  assertEquals(update.recorded[2]!.plan.length, 0);
});
