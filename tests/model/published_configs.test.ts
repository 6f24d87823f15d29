/** config.json files of published models of each architecture, as they are and changed the way model cards advise or reports tell. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { architectures } from "../../engine/model/architecture.ts";
import { honouredKeys, modelConfig } from "../../engine/model/config.ts";
import { keysOfSome, keyTables } from "../../engine/model/config_keys.ts";
import { publishedConfigs } from "./published_configs.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const configOf = (id: string, changes: Record<string, unknown> = {}) =>
  modelConfig({ ...publishedConfigs[id], ...changes }, "config.json");

Deno.test("a published config.json of every architecture is read", () => {
  const seen = new Set(Object.keys(publishedConfigs).map((id) => configOf(id).architecture.modelType));
  assertEquals([...seen].sort(), Object.keys(architectures).sort());
});

Deno.test("what published files leave to their classes is filled in as those do", () => {
  const { tiedEmbedding, windows, attentionSoftCap, eosTokens } = configOf("google/gemma-2-2b-it");
  assertEquals([tiedEmbedding, windows[0], windows[1], attentionSoftCap, eosTokens], [true, 4096, 0, 50, [
    1,
    107,
  ]]);
  const gemma3 = configOf("google/gemma-3-1b-it");
  assertEquals(gemma3.windows.slice(0, 7), [512, 512, 512, 512, 512, 0, 512]);
  assertEquals([gemma3.rope.theta, gemma3.slidingRope.theta, gemma3.tiedEmbedding], [1e6, 1e4, true]);
  assertEquals(configOf("Qwen/Qwen2.5-0.5B-Instruct").biases, { qkv: true, output: false });
  assertEquals(configOf("Qwen/Qwen2.5-0.5B-Instruct").windows.every((window) => window === 0), true);
  assertEquals(configOf("mistralai/Mistral-7B-v0.1").windows[31], 4096);
  assertEquals(configOf("meta-llama/Llama-3.2-1B-Instruct").rope.scaling.type, "llama3");
});

Deno.test("the stretching that Qwen's cards advise is computed", () => {
  const rope_scaling = { factor: 4.0, original_max_position_embeddings: 32768, type: "yarn" };
  const { rope } = configOf("Qwen/Qwen2.5-0.5B-Instruct", { rope_scaling });
  assertEquals(rope.scaling.type, "yarn");
});

Deno.test("published files that ask for what is not computed are refused by the key", () => {
  const refused: [string, Record<string, unknown>, string][] = [
    ["Qwen/Qwen3-0.6B", { quantization_config: { quant_method: "fp8" } }, "FP8"],
    [
      "meta-llama/Llama-2-7b-chat-hf",
      { quantization_config: { quant_method: "awq", bits: 4 } },
      "AWQ, 4 bits",
    ],
    [
      "meta-llama/Llama-2-7b-chat-hf",
      { quantization_config: { load_in_4bit: true } },
      "bitsandbytes, 4 bits",
    ],
    ["google/gemma-3-270m-it", { use_bidirectional_attention: true }, "use_bidirectional_attention"],
    ["meta-llama/Llama-3.2-1B-Instruct", { attn_temperature_tuning: 4 }, "attn_temperature_tuning"],
    ["meta-llama/Llama-3.2-1B-Instruct", { num_local_experts: 8 }, "num_local_experts"],
    ["Qwen/Qwen2.5-0.5B-Instruct", { rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] } }, "mrope"],
    ["Qwen/Qwen3-0.6B", { attention_bias: true, partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
    ["meta-llama/Llama-2-7b-chat-hf", { auto_map: { AutoModelForCausalLM: "modeling.Own" } }, "auto_map"],
    ["allenai/OLMo-2-0425-1B-Instruct", { clip_qkv: 8 }, "clip_qkv"],
    ["mistralai/Mistral-7B-v0.1", { model_type: "mixtral" }, "model_type"],
  ];
  for (const [id, changes, says] of refused) {
    const { message } = assertThrows(() => configOf(id, changes), InputError);
    assert(message.includes(says) && message.endsWith(".") && !message.includes("\n"), message);
  }
});

/** The table of keys as README.md shows it. */
function shown(): string {
  const list = (keys: Iterable<string>) => [...keys].sort().map((key) => `\`${key}\``).join(", ");
  return [
    "| keys of config.json | |",
    "|---|---|",
    `| read | ${list(honouredKeys)} |`,
    `| read in some architectures, refused in the others | ${list(keysOfSome)} |`,
    `| harmless: no influence on logits | ${list(keyTables.harmless)} |`,
    `| refused unless they say "no such thing" | ${list(keyTables.refused)} |`,
  ].join("\n");
}

Deno.test("the architecture guide lists every key that is known (UPDATE_TABLES=1 writes it)", async () => {
  const path = join(root, "engine/model/README.md");
  const text = await Deno.readTextFile(path);
  const whole = text.replace(/(?<=<!-- keys -->\n)[^]*(?=<!-- \/keys -->)/, `${shown()}\n`);
  assert(text.includes("<!-- keys -->"));
  if (Deno.env.get("UPDATE_TABLES")) await Deno.writeTextFile(path, whole);
  else assertEquals(text, whole);
  const known = [...honouredKeys, ...keyTables.harmless, ...keyTables.refused, ...keysOfSome];
  assertEquals(
    keyTables.harmless.filter((key) => honouredKeys.has(key) || keyTables.refused.includes(key)),
    [],
  );
  for (const [id, config] of Object.entries(publishedConfigs)) {
    assertEquals(Object.keys(config).filter((key) => !known.includes(key)), [], id);
  }
});
