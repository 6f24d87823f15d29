/** Each architecture against its float64 twin: logits, mask gradients, gradients of every parameter, decoding. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { fullGradient } from "../../engine/circuit/full_gradient.ts";
import { evaluateMask } from "../../engine/circuit/mask_pass.ts";
import { architectures } from "../../engine/model/architecture.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { seededRandom } from "../../engine/random.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { relativeError } from "../reference/golden.ts";
import {
  greedyTokens,
  maskLossAndGradient,
  updateLossAndGradients,
} from "../../engine/reference/objectives.ts";
import { randomModel, smallSizes } from "./random_model.ts";

const llama3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};
const qwen3 = { model_type: "qwen3", use_sliding_window: true, max_window_layers: 2, sliding_window: 5 };

/** What makes each architecture itself, in its config.json. Together they cover every architecture. */
const cases: Record<string, Record<string, unknown>> = {
  "Gemma-2": { model_type: "gemma2", sliding_window: 5, query_pre_attn_scalar: 9 },
  "Gemma-3": {
    model_type: "gemma3_text",
    sliding_window: 5,
    sliding_window_pattern: 3,
    query_pre_attn_scalar: 9,
    rope_local_base_freq: 20,
    rope_scaling: { rope_type: "linear", factor: 8 },
  },
  "Llama": { model_type: "llama" },
  "Llama with stretched positions": { model_type: "llama", rope_scaling: llama3, tie_word_embeddings: true },
  "Llama with YaRN": {
    model_type: "llama",
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, beta_fast: 2 },
  },
  "Llama with biases": { model_type: "llama", attention_bias: true },
  "Mistral": { model_type: "mistral", sliding_window: 5 },
  "OLMo-2": { model_type: "olmo2" },
  "OLMo-2 with biases": { model_type: "olmo2", attention_bias: true },
  "Qwen2": { model_type: "qwen2", use_sliding_window: true, max_window_layers: 1, sliding_window: 5 },
  "Qwen3": qwen3,
  "Qwen3 with heads in quads": { ...qwen3, head_dim: 8, hidden_size: 24, intermediate_size: 32 },
};

const prefixes = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [8, 9, 7, 9], [2, 7, 1, 8, 2, 8, 1, 8]];
const examples = prefixes.map((prefix_ids, e) => ({
  prefix_ids,
  desired_token: 10 + e,
  undesired_token: 20,
}));
const referenceExamples = examples.map(({ prefix_ids: ids, desired_token: desired, undesired_token }) => ({
  ids,
  desired,
  undesired: undesired_token,
}));

for (const [name, config] of Object.entries(cases)) {
  gpuTest(`${name} computes what its float64 twin computes, gradients included`, async ({ gpu }) => {
    await using random = await randomModel({ ...smallSizes, ...config });
    const { reference } = random;
    using model = await Model.load(gpu, random.path);
    const { layers } = model.config;

    const ids = prefixes[0]!;
    const { logits } = await model.run(ids);
    assertLess(relativeError(logits, reference.forward(ids).logits), 1e-5, "logits");

    const [tokens] = await generate(model, [{ ids }], { maxNewTokens: 12, stopTokens: [] });
    assertEquals(tokens, greedyTokens(reference, ids, 12));

    const draw = seededRandom("mask");
    const mask = Float32Array.from({ length: layers * model.componentsPerLayer }, draw);
    const perLayer = Array.from(
      { length: layers },
      (_, l) => mask.subarray(l * model.componentsPerLayer, (l + 1) * model.componentsPerLayer),
    );
    const ours = await evaluateMask(model, examples, mask);
    const wanted = maskLossAndGradient(reference, referenceExamples, perLayer);
    assertLess(relativeError(ours.differences, wanted.differences), 1e-5, "differences under the mask");
    const wantedGradient = wanted.gradient.flatMap((layer) => [...layer]);
    assertLess(relativeError(ours.gradient, wantedGradient), 1e-4, "mask gradient");

    const full = await fullGradient(model, examples, "preference");
    const { loss, gradients } = updateLossAndGradients(reference, referenceExamples, "preference");
    assertLess(Math.abs(full.loss - loss), 1e-5 * Math.abs(loss));
    assertEquals([...full.gradients.keys()].sort(), [...gradients.keys()].sort());
    for (const [parameter, gradient] of gradients) {
      assertLess(relativeError(full.gradients.get(parameter)!, gradient), 1e-4, parameter);
    }
  });
}

Deno.test("every architecture has a twin to compare with", () => {
  const covered = new Set(Object.values(cases).map(({ model_type }) => model_type));
  assertEquals([...covered].sort(), Object.keys(architectures).sort());
});

/** What an architecture is distinguished by, and the same model without it. */
const distinctions: [string, string, Record<string, unknown>][] = [
  ["stretched positions", "Llama with stretched positions", { rope_scaling: null }],
  ["the factor on scores", "Llama with YaRN", {
    rope_scaling: { ...cases["Llama with YaRN"]!.rope_scaling as object, attention_factor: 1 },
  }],
  ["a window", "Mistral", { sliding_window: null }],
  ["positions of their own for sliding layers", "Gemma-3", { rope_local_base_freq: 100 }],
];

for (const [what, name, without] of distinctions) {
  Deno.test(`${what} make a difference to ${name} that the comparison would notice`, async () => {
    await using random = await randomModel({ ...smallSizes, ...cases[name] });
    await using other = await randomModel({ ...smallSizes, ...cases[name], ...without });
    const [a, b] = [random, other].map(({ reference }) => reference.forward(prefixes[0]!).logits);
    assert(a && b);
    assertGreater(relativeError(a, b), 1e-3);
  });
}
