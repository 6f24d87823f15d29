/** What config.json and generation_config.json are read as; what is refused stands in config_refusals.test.ts. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { architectures } from "../../engine/model/architecture.ts";
import { modelConfig, readConfig } from "../../engine/model/config.ts";
import { publishedShapes } from "../../engine/model/published_shapes.ts";
import { assertRefused, gemma2, llama, plainRope, read } from "./config_fixture.ts";

const fixtures = new URL("../../fixtures/", import.meta.url).pathname;

Deno.test("a Gemma-2 config is read in full", async () => {
  assertEquals(await readConfig(join(fixtures, "golden/gemma2-tiny")), {
    architecture: architectures.gemma2!,
    hiddenSize: 32,
    layers: 3,
    queryHeads: 4,
    keyValueHeads: 2,
    headWidth: 16,
    mlpWidth: 48,
    vocabSize: 67,
    normEpsilon: 1e-6,
    rope: plainRope(10000),
    slidingRope: plainRope(10000),
    maxPositions: 512,
    attentionScale: 24 ** -0.5,
    attentionSoftCap: 50,
    finalSoftCap: 30,
    windows: [8, 0, 8],
    biases: { qkv: false, output: false },
    activation: "gelu_tanh",
    tiedEmbedding: true,
    eosTokens: [2],
  });
});

Deno.test("an OLMo-2 config is read in full", async () => {
  assertEquals(await readConfig(join(fixtures, "golden/olmo2-tiny")), {
    architecture: architectures.olmo2!,
    hiddenSize: 32,
    layers: 3,
    queryHeads: 4,
    keyValueHeads: 4,
    headWidth: 8,
    mlpWidth: 56,
    vocabSize: 71,
    normEpsilon: 1e-6,
    rope: plainRope(500000),
    slidingRope: plainRope(500000),
    maxPositions: 512,
    attentionScale: 8 ** -0.5,
    attentionSoftCap: 0,
    finalSoftCap: 0,
    windows: [0, 0, 0],
    biases: { qkv: false, output: false },
    activation: "silu",
    tiedEmbedding: false,
    eosTokens: [2],
  });
});

for (const folder of ["golden/gemma2-bf16-sharded", "golden/llama-tiny", "gemma2-mini"]) {
  Deno.test(`the config of fixtures/${folder} is accepted`, async () => {
    const config = await readConfig(join(fixtures, folder));
    assert(config.tiedEmbedding);
    assertEquals(config.eosTokens, [2]);
  });
}

Deno.test("keys left out of config.json get their usual values", async () => {
  const { num_key_value_heads: _, ...rest } = llama;
  const config = await read(rest);
  assertEquals(config.keyValueHeads, 4);
  assertEquals(config.headWidth, 8);
  assertEquals(config.rope, plainRope(10000));
  assertEquals(config.attentionScale, 8 ** -0.5);
  assertEquals(config.tiedEmbedding, false);
  assertEquals(config.windows, [0, 0, 0]);
  assertEquals(config.eosTokens, []);
});

Deno.test("Gemma-2 keys left out of config.json get Gemma-2's values", async () => {
  const config = await read(gemma2);
  assertEquals(config.tiedEmbedding, true);
  assertEquals(config.attentionSoftCap, 50);
  assertEquals(config.finalSoftCap, 30);
  assertEquals(config.windows, [4096, 0, 4096]);
  assertAlmostEquals(config.attentionScale, 1 / 16);
});

Deno.test("null switches soft caps and the sliding window off", async () => {
  const off = { attn_logit_softcapping: null, final_logit_softcapping: null, sliding_window: null };
  const config = await read({ ...gemma2, ...off });
  assertEquals([config.attentionSoftCap, config.finalSoftCap, ...config.windows], [0, 0, 0, 0, 0]);
});

Deno.test("a sliding window is refused where the architecture has none, unless it reaches over every position", async () => {
  assertEquals((await read({ ...llama, sliding_window: llama.max_position_embeddings })).windows, [0, 0, 0]);
  await assertRefused(
    'Field "sliding_window" in file "DIR/config.json" is 128; it must be absent or max_position_embeddings at least, ' +
      'because no layer of model_type "llama" slides.',
    { ...llama, sliding_window: 128 },
  );
});

Deno.test("which layers slide follows the architecture's rule where no layer types are listed", async () => {
  const windows = async (config: Record<string, unknown>) =>
    (await read({ ...llama, num_hidden_layers: 4, ...config })).windows;
  assertEquals(await windows({ model_type: "mistral", sliding_window: 9 }), [9, 9, 9, 9]);
  assertEquals(await windows({ model_type: "mistral", sliding_window: null }), [0, 0, 0, 0]);
  const qwen = { model_type: "qwen2", sliding_window: 9, max_window_layers: 3 };
  assertEquals(await windows(qwen), [0, 0, 0, 0]);
  assertEquals(await windows({ ...qwen, use_sliding_window: true }), [0, 0, 0, 9]);
  const pattern = { model_type: "gemma3_text", sliding_window: 9, sliding_window_pattern: 3 };
  assertEquals(await windows(pattern), [9, 9, 0, 9]);
});

Deno.test("layer types outrank the architecture's rule", async () => {
  const layer_types = ["full_attention", "sliding_attention", "sliding_attention"];
  assertEquals((await read({ ...gemma2, sliding_window: 5, layer_types })).windows, [0, 5, 5]);
});

Deno.test("biases are those of the architecture or of attention_bias", async () => {
  assertEquals((await read({ ...llama, model_type: "qwen2" })).biases, { qkv: true, output: false });
  assertEquals((await read({ ...llama, attention_bias: true })).biases, { qkv: true, output: true });
});

for (const name of Object.keys(publishedShapes)) {
  Deno.test(`the published configuration of ${name} is understood`, () => {
    const config = modelConfig(publishedShapes[name]!, name);
    assertEquals(config.windows.length, config.layers);
    assertEquals(config.queryHeads % config.keyValueHeads, 0);
  });
}

Deno.test("every spelling of the two activations is understood", async () => {
  for (const hidden_act of ["silu", "swish"]) {
    assertEquals((await read({ ...llama, hidden_act })).activation, "silu");
  }
  for (const hidden_act of ["gelu_pytorch_tanh", "gelu_tanh"]) {
    assertEquals((await read({ ...llama, hidden_act })).activation, "gelu_tanh");
  }
});

Deno.test("hidden_activation outranks a hidden_act of gelu", async () => {
  assertEquals((await read({ ...gemma2, hidden_act: "gelu" })).activation, "gelu_tanh");
});

Deno.test("an activation left out is the architecture's own", async () => {
  assertEquals((await read({ ...gemma2, hidden_activation: null })).activation, "gelu_tanh");
  assertEquals((await read({ ...llama, hidden_act: undefined })).activation, "silu");
});

Deno.test("ids that end a generation are those of generation_config.json alone where it names some", async () => {
  assertEquals((await read({ ...llama, eos_token_id: [2, 5] })).eosTokens, [2, 5]);
  assertEquals((await read({ ...llama, eos_token_id: 2 }, { eos_token_id: [5, 7] })).eosTokens, [5, 7]);
  assertEquals((await read({ ...llama, eos_token_id: null }, { eos_token_id: 7 })).eosTokens, [7]);
  assertEquals((await read({ ...llama, eos_token_id: 2 }, {})).eosTokens, [2]);
});

Deno.test("layer types are accepted when even layers slide", async () => {
  const layer_types = ["sliding_attention", "full_attention", "sliding_attention"];
  assertEquals((await read({ ...gemma2, layer_types })).layers, 3);
});
