import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import { architectures, type ModelConfig } from "../../engine/model/architecture.ts";
import { readConfig } from "../../engine/model/config.ts";

const fixtures = new URL("../../fixtures/", import.meta.url).pathname;

const llama = {
  model_type: "llama",
  hidden_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  vocab_size: 67,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 512,
  hidden_act: "silu",
};
const gemma2 = {
  ...llama,
  model_type: "gemma2",
  hidden_act: undefined,
  hidden_activation: "gelu_pytorch_tanh",
};

/** Reads the config of a temporary model folder; strings are written as they stand, objects as JSON. */
async function read(config?: unknown, generation?: unknown): Promise<ModelConfig> {
  const dir = await Deno.makeTempDir();
  try {
    for (const [name, value] of [["config.json", config], ["generation_config.json", generation]] as const) {
      if (value === undefined) continue;
      await Deno.writeTextFile(join(dir, name), typeof value === "string" ? value : JSON.stringify(value));
    }
    return await readConfig(dir);
  } catch (error) {
    // Messages name the folder, which differs from run to run.
    if (error instanceof InputError) error.message = error.message.replaceAll(dir, "DIR");
    throw error;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function assertRefused(message: string, config?: unknown, generation?: unknown): Promise<void> {
  const error = await assertRejects(() => read(config, generation), InputError);
  assertEquals(error.message, message);
  assertMatch(error.message, /^[A-Z].*\.$/);
  assert(!/[.!?]\s/.test(error.message), "The message is one sentence");
}

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
    ropeTheta: 10000,
    maxPositions: 512,
    attentionScale: 24 ** -0.5,
    attentionSoftCap: 50,
    finalSoftCap: 30,
    slidingWindow: 8,
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
    ropeTheta: 500000,
    maxPositions: 512,
    attentionScale: 8 ** -0.5,
    attentionSoftCap: 0,
    finalSoftCap: 0,
    slidingWindow: 0,
    activation: "silu",
    tiedEmbedding: false,
    eosTokens: [2],
  });
});

for (const folder of ["golden/gemma2-bf16-sharded", "golden/llama-tiny", "tiny-model"]) {
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
  assertEquals(config.ropeTheta, 10000);
  assertEquals(config.attentionScale, 8 ** -0.5);
  assertEquals(config.tiedEmbedding, false);
  assertEquals(config.slidingWindow, 0);
  assertEquals(config.eosTokens, []);
});

Deno.test("Gemma-2 keys left out of config.json get Gemma-2's values", async () => {
  const config = await read(gemma2);
  assertEquals(config.tiedEmbedding, true);
  assertEquals(config.attentionSoftCap, 50);
  assertEquals(config.finalSoftCap, 30);
  assertEquals(config.slidingWindow, 4096);
  assertAlmostEquals(config.attentionScale, 1 / 16);
});

Deno.test("null switches soft caps and the sliding window off", async () => {
  const off = { attn_logit_softcapping: null, final_logit_softcapping: null, sliding_window: null };
  const config = await read({ ...gemma2, ...off });
  assertEquals([config.attentionSoftCap, config.finalSoftCap, config.slidingWindow], [0, 0, 0]);
});

Deno.test("a sliding window is ignored where the architecture has none", async () => {
  assertEquals((await read({ ...llama, sliding_window: 128 })).slidingWindow, 0);
});

Deno.test("the rotary base is read from either place, the newer one first", async () => {
  assertEquals((await read({ ...llama, rope_theta: 500 })).ropeTheta, 500);
  const rope_parameters = { rope_theta: 700, rope_type: "default" };
  assertEquals((await read({ ...llama, rope_parameters })).ropeTheta, 700);
  assertEquals((await read({ ...llama, rope_theta: 500, rope_parameters })).ropeTheta, 700);
  assertEquals((await read({ ...llama, rope_theta: 500, rope_scaling: null })).ropeTheta, 500);
});

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

Deno.test("ids that end a generation come from both files, each once", async () => {
  assertEquals((await read({ ...llama, eos_token_id: [2, 5] })).eosTokens, [2, 5]);
  assertEquals((await read({ ...llama, eos_token_id: 2 }, { eos_token_id: [2, 7] })).eosTokens, [2, 7]);
  assertEquals((await read({ ...llama, eos_token_id: null }, { eos_token_id: 7 })).eosTokens, [7]);
  assertEquals((await read({ ...llama, eos_token_id: 2 }, {})).eosTokens, [2]);
});

Deno.test("layer types are accepted when even layers slide", async () => {
  const layer_types = ["sliding_attention", "full_attention", "sliding_attention"];
  assertEquals((await read({ ...gemma2, layer_types })).layers, 3);
});

Deno.test("a folder without config.json is refused", () =>
  assertRefused('File "DIR/config.json" does not exist; pass a model folder in Hugging Face layout.'));

Deno.test("a file in the place of the model folder is refused", async () => {
  const path = join(fixtures, "tiny-model/README.md");
  const error = await assertRejects(() => readConfig(path), InputError);
  assertEquals(
    error.message,
    `File "${path}/config.json" does not exist; pass a model folder in Hugging Face layout.`,
  );
});

const supported = 'one of "gemma2", "llama", "olmo2"';
const activations = 'one of "silu", "swish", "gelu_pytorch_tanh", "gelu_tanh"';
const unscaled = '"default", because scaled rotary positions are not supported';
const unfactored = "1 or absent, because scaled rotary positions are not supported";
const noBias = "false, because layers with a bias are not supported";
const even = "even, because rotary positions turn pairs of channels";
const windows = '"full_attention", because only even layers can have a sliding window';
const twice = ["sliding_attention", "sliding_attention"];

/** A change to a good config, the field that the message names, its value there, and what it must be. */
const refusals: [Record<string, unknown>, string, string, string][] = [
  [{ model_type: "mamba" }, "model_type", '"mamba"', supported],
  [{ model_type: "constructor" }, "model_type", '"constructor"', supported],
  [{ hidden_size: -3 }, "hidden_size", "-3", "a positive integer"],
  [{ vocab_size: 0 }, "vocab_size", "0", "a positive integer"],
  [{ intermediate_size: 6.5 }, "intermediate_size", "6.5", "a positive integer"],
  [{ num_hidden_layers: "3" }, "num_hidden_layers", '"3"', "a positive integer"],
  [{ rms_norm_eps: 0 }, "rms_norm_eps", "0", "a positive number"],
  [{ rope_theta: -1 }, "rope_theta", "-1", "a positive number"],
  [{ final_logit_softcapping: -1 }, "final_logit_softcapping", "-1", "a positive number or null"],
  [{ num_key_value_heads: 3 }, "num_key_value_heads", "3", "a divisor of num_attention_heads (4)"],
  [
    { hidden_size: 33 },
    "hidden_size",
    "33",
    "a multiple of num_attention_heads (4) unless head_dim is given",
  ],
  [{ head_dim: 7 }, "head_dim", "7", even],
  [{ rope_scaling: { rope_type: "llama3", factor: 8 } }, "rope_scaling.rope_type", '"llama3"', unscaled],
  [{ rope_scaling: { type: "linear", factor: 2 } }, "rope_scaling.type", '"linear"', unscaled],
  [{ rope_scaling: { factor: 2 } }, "rope_scaling.factor", "2", unfactored],
  [{ rope_parameters: { rope_type: "yarn" } }, "rope_parameters.rope_type", '"yarn"', unscaled],
  [{ hidden_act: "relu" }, "hidden_act", '"relu"', activations],
  [{ hidden_activation: "gelu" }, "hidden_activation", '"gelu"', activations],
  [{ attention_bias: true }, "attention_bias", "true", noBias],
  [{ mlp_bias: true }, "mlp_bias", "true", noBias],
  [{ tie_word_embeddings: "yes" }, "tie_word_embeddings", '"yes"', "true or false"],
  [{ model_type: "gemma2", layer_types: twice }, "layer_types.1", '"sliding_attention"', windows],
  [{ eos_token_id: [2, -1] }, "eos_token_id.1", "-1", "a token id"],
  [{ eos_token_id: "</s>" }, "eos_token_id", '"</s>"', "a token id or a list of token ids"],
];

for (const [change, field, value, rule] of refusals) {
  Deno.test(`a config.json whose ${field} is ${value} is refused, naming file, field and value`, () =>
    assertRefused(
      `Field "${field}" in file "DIR/config.json" is ${value}; it must be ${rule}.`,
      { ...llama, ...change },
    ));
}

for (const field of Object.keys(llama)) {
  // These have a usual value to fall back on.
  if (field === "num_key_value_heads" || field === "hidden_act") continue;
  const rule = { model_type: supported, rms_norm_eps: "a positive number" }[field] ?? "a positive integer";
  Deno.test(`a config without ${field} is refused`, () =>
    assertRefused(
      `Field "${field}" is missing from file "DIR/config.json"; it must be ${rule}.`,
      { ...llama, [field]: undefined },
    ));
}

Deno.test("a config.json that is not JSON is refused", () =>
  assertRefused(
    'File "DIR/config.json" is not valid JSON; download it again or mend it.',
    '{"model_type": ',
  ));

Deno.test("a config.json that is no object is refused", () =>
  assertRefused(
    'File "DIR/config.json" holds 7 where a JSON object is needed; download it again.',
    "7",
  ));

Deno.test("a malformed generation_config.json is refused", async () => {
  await assertRefused(
    'Field "eos_token_id" in file "DIR/generation_config.json" is "</s>"; it must be a token id or a list of token ids.',
    llama,
    { eos_token_id: "</s>" },
  );
  await assertRefused(
    'File "DIR/generation_config.json" is not valid JSON; download it again or mend it.',
    llama,
    "{",
  );
});
