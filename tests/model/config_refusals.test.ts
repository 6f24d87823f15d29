/** What is refused in config.json and generation_config.json, with which words. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { readConfig } from "../../engine/model/config.ts";
import { assertRefused, llama } from "./config_fixture.ts";

const fixtures = new URL("../../fixtures/", import.meta.url).pathname;

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
const unknown = "absent, because it is not known here and may change what the model computes";
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
