import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import { architectures, type ModelConfig, ropeOf } from "../../engine/model/architecture.ts";
import { modelConfig, readConfig } from "../../engine/model/config.ts";
import { publishedShapes } from "../../engine/model/published_shapes.ts";

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

const plainRope = (theta: number) => ({ theta, scaling: { type: "default" as const } });

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

Deno.test("the rotary base is read from either place, the newer one first", async () => {
  const theta = async (config: unknown) => (await read(config)).rope.theta;
  assertEquals(await theta({ ...llama, rope_theta: 500 }), 500);
  const rope_parameters = { rope_theta: 700, rope_type: "default" };
  assertEquals(await theta({ ...llama, rope_parameters }), 700);
  assertEquals(await theta({ ...llama, rope_theta: 500, rope_parameters }), 700);
  assertEquals(await theta({ ...llama, rope_theta: 500, rope_scaling: null }), 500);
});

Deno.test("stretched rotary positions are read in every spelling", async () => {
  const linear = { type: "linear" as const, factor: 2 };
  assertEquals((await read({ ...llama, rope_scaling: linear })).rope.scaling, linear);
  assertEquals(
    (await read({ ...llama, rope_scaling: { rope_type: "linear", factor: 2 } })).rope.scaling,
    linear,
  );
  const llama3 = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const scaling = {
    type: "llama3" as const,
    factor: 8,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalPositions: 8192,
  };
  assertEquals((await read({ ...llama, rope_scaling: llama3 })).rope.scaling, scaling);
  const rope_parameters = { ...llama3, rope_theta: 700 };
  assertEquals((await read({ ...llama, rope_parameters })).rope, { theta: 700, scaling });
});

Deno.test("Gemma-3 has rotary positions of its own for sliding layers, in either spelling", async () => {
  const gemma3 = { ...gemma2, model_type: "gemma3_text", num_hidden_layers: 7 };
  const global = { theta: 1e6, scaling: { type: "linear" as const, factor: 8 } };
  const old = await read({ ...gemma3, rope_scaling: { rope_type: "linear", factor: 8 } });
  assertEquals([old.rope, old.slidingRope], [global, plainRope(10000)]);
  assertEquals(old.windows.map((window) => window > 0), [true, true, true, true, true, false, true]);
  assertEquals([old.attentionSoftCap, old.finalSoftCap], [0, 0]);
  const rope_parameters = {
    full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
    sliding_attention: { rope_type: "default", rope_theta: 10000 },
  };
  const recent = await read({ ...gemma3, rope_parameters });
  assertEquals([recent.rope, recent.slidingRope], [global, plainRope(10000)]);
  assertEquals(ropeOf(recent, 5), global);
  assertEquals(ropeOf(recent, 6), plainRope(10000));
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
  const path = join(fixtures, "gemma2-mini/README.md");
  const error = await assertRejects(() => readConfig(path), InputError);
  assertEquals(
    error.message,
    `File "${path}/config.json" does not exist; pass a model folder in Hugging Face layout.`,
  );
});

const supported = 'one of "gemma2", "gemma3_text", "llama", "mistral", "olmo2", "qwen2", "qwen3"';
const activations = 'one of "silu", "swish", "gelu_pytorch_tanh", "gelu_tanh"';
const scaled = 'one of "default", "linear", "dynamic", "yarn", "longrope", "llama3", ' +
  "because rotary positions scaled otherwise are not supported";
const noFactor = (type: string) => `a positive number, because rope_type is "${type}"`;
const unknown = "absent, because it is not known here and may change what the model computes";
const llama3Needs = 'a positive number, because rope_type is "llama3"';
const whole = "1 or absent, because partly rotated heads are not supported";
const noBias = "false or absent, because MLPs with a bias are not supported";
const even = "even, because rotary positions turn pairs of channels";
const types = '"full_attention" or "sliding_attention", because layers of other types are not supported';
const each = "one entry for each of the 3 layers that num_hidden_layers gives";

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
  [
    { final_logit_softcapping: -1 },
    "final_logit_softcapping",
    "-1",
    'absent, because model_type "llama" knows no such thing',
  ],
  [{ num_key_value_heads: 3 }, "num_key_value_heads", "3", "a divisor of num_attention_heads (4)"],
  [
    { hidden_size: 33 },
    "hidden_size",
    "33",
    "a multiple of num_attention_heads (4) unless head_dim is given",
  ],
  [{ head_dim: 7 }, "head_dim", "7", even],
  [{ rope_scaling: { rope_type: "su", factor: 8 } }, "rope_scaling.rope_type", '"su"', scaled],
  [{ rope_scaling: { type: "mrope", factor: 2 } }, "rope_scaling.type", '"mrope"', scaled],
  [{ rope_scaling: { rope_type: "linear", factor: 2, foo: 1 } }, "rope_scaling.foo", "1", unknown],
  [{ is_causal: false }, "is_causal", "false", "true or absent, because only causal attention is computed"],
  [
    { use_bidirectional_attention: true },
    "use_bidirectional_attention",
    "true",
    "false or absent, because only causal attention is computed",
  ],
  [
    { attn_temperature_tuning: true },
    "attn_temperature_tuning",
    "true",
    "false or 0 or absent, because attention scores are not scaled by position",
  ],
  [
    { use_qk_norm: true },
    "use_qk_norm",
    "true",
    'false or absent, because model_type "llama" has no norms on q and k',
  ],
  [{ attention_sink_size: 4 }, "attention_sink_size", "4", unknown],
  [{ rope_scaling: { factor: -2 } }, "rope_scaling.factor", "-2", "a positive number"],
  [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor", "0.5", whole],
  [{ hidden_act: "relu" }, "hidden_act", '"relu"', activations],
  [
    { hidden_activation: "gelu" },
    "hidden_activation",
    '"gelu"',
    'absent, because model_type "llama" takes its activation from "hidden_act"',
  ],
  [{ attention_bias: "no" }, "attention_bias", '"no"', "true or false"],
  [{ mlp_bias: true }, "mlp_bias", "true", noBias],
  [{ tie_word_embeddings: "yes" }, "tie_word_embeddings", '"yes"', "true or false"],
  [{ layer_types: ["full_attention", "linear_attention"] }, "layer_types.1", '"linear_attention"', types],
  [{ layer_types: ["full_attention"] }, "layer_types", '["full_attention"]', each],
  [
    { embedding_multiplier: 12 },
    "embedding_multiplier",
    "12",
    "1 or absent, because factors of that kind are not computed",
  ],
  [{ clip_qkv: 8 }, "clip_qkv", "8", "absent, because queries, keys and values are not clipped"],
  [
    { no_rope_layers: [1, 0] },
    "no_rope_layers",
    "[1,0]",
    "[] or 0 or absent, because layers without rotary positions are not supported",
  ],
  [{ rope_condense_ratio: 8 }, "rope_condense_ratio", "8", unknown],
  [
    { model_type: "qwen3", use_qk_norm: false },
    "use_qk_norm",
    "false",
    'true or absent, because model_type "qwen3" has norms on q and k',
  ],
  [
    { model_type: "qwen2", qkv_bias: false },
    "qkv_bias",
    "false",
    'true or absent, because model_type "qwen2" has biases on q, k and v',
  ],
  [
    { model_type: "qwen2", attention_bias: false },
    "attention_bias",
    "false",
    'true or absent, because model_type "qwen2" always has biases on q, k and v',
  ],
  [
    { model_type: "mistral", attention_bias: true },
    "attention_bias",
    "true",
    'false or absent, because model_type "mistral" never has biases',
  ],
  [
    { rope_parameters: { factor: 4, rope_type: "default" } },
    "rope_parameters.factor",
    "4",
    '1 or absent, because rope_type is "default"',
  ],
  [
    { rope_scaling: { rope_type: "default", mrope_section: [2, 2] } },
    "rope_scaling.mrope_section",
    "[2,2]",
    "absent, because rotary positions of several axes are not supported",
  ],
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

Deno.test("stretched rotary positions without their numbers are refused", () =>
  assertRefused(
    `Field "rope_scaling.low_freq_factor" is missing from file "DIR/config.json"; it must be ${llama3Needs}.`,
    { ...llama, rope_scaling: { rope_type: "llama3", factor: 8 } },
  ));

Deno.test("stretched rotary positions without their factor are refused", async () => {
  for (const type of ["linear", "dynamic", "yarn"]) {
    await assertRefused(
      `Field "rope_scaling.factor" is missing from file "DIR/config.json"; it must be ${noFactor(type)}.`,
      { ...llama, rope_scaling: { rope_type: type } },
    );
  }
});

Deno.test("two descriptions of rotary positions that contradict each other are refused", async () => {
  const rope_scaling = { rope_type: "linear", factor: 2 };
  assertEquals(
    (await read({ ...llama, rope_scaling, rope_parameters: { rope_theta: 10000 } })).rope.scaling.type,
    "linear",
  );
  await assertRefused(
    'Field "rope_parameters.rope_type" in file "DIR/config.json" is "default"; ' +
      'it must be "linear" or absent, because "rope_scaling" beside it takes the place of "rope_parameters".',
    { ...llama, rope_scaling, rope_parameters: { rope_type: "default" } },
  );
  await assertRefused(
    'Field "rope_parameters.rope_theta" in file "DIR/config.json" is 5; ' +
      'it must be 10000 or absent, because "rope_scaling" beside it takes the place of "rope_parameters".',
    { ...llama, rope_scaling, rope_parameters: { rope_theta: 5 } },
  );
});

Deno.test("a sliding layer is refused where no layer slides, or without a window", async () => {
  const layer_types = ["full_attention", "sliding_attention", "full_attention"];
  await assertRefused(
    'Field "layer_types.1" in file "DIR/config.json" is "sliding_attention"; ' +
      'it must be "full_attention", because no layer of model_type "llama" slides.',
    { ...llama, layer_types },
  );
  await assertRefused(
    'Field "sliding_window" in file "DIR/config.json" is null; ' +
      "it must be a positive integer, because layer 1 is a sliding one.",
    { ...llama, model_type: "qwen2", use_sliding_window: true, sliding_window: null, layer_types },
  );
});

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
