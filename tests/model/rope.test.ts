/** Frequencies of stretched rotary positions against those of transformers 5.24 (ROPE_INIT_FUNCTIONS), and how long they hold. */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { modelConfig } from "../../engine/model/config.ts";
import { Model } from "../../engine/model/model.ts";
import { ropeAngles, ropeFrequencies } from "../../engine/model/rope.ts";
import cases from "./rope_golden.json" with { type: "json" };
import { copyOf, golden } from "./model_fixture.ts";

const base = {
  model_type: "llama",
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  intermediate_size: 8,
  vocab_size: 8,
  rms_norm_eps: 1e-6,
};

for (const { name, config, inverse_frequencies, attention_factor } of cases) {
  Deno.test(`rotary positions stretched by ${name} turn as in transformers`, () => {
    const { rope } = modelConfig({ ...base, ...config, hidden_size: 4 * config.head_dim }, "config.json");
    const frequencies = ropeFrequencies(rope, config.head_dim);
    inverse_frequencies.forEach((expected, i) => {
      assertAlmostEquals(frequencies[i]! / expected, 1, 2e-6, `pair ${i}`);
    });
    assertAlmostEquals(rope.attentionFactor ?? 1, attention_factor, 1e-9);
    const [cosine, sine] = ropeAngles(rope, config.head_dim, 2).subarray(config.head_dim);
    assertAlmostEquals(cosine!, attention_factor * Math.cos(inverse_frequencies[0]!), 1e-6);
    assertAlmostEquals(sine!, attention_factor * Math.sin(inverse_frequencies[0]!), 1e-6);
  });
}

Deno.test("a context beyond what frequencies hold for is refused", async () => {
  await using folder = await copyOf((await golden("llama-tiny")).dir);
  const path = join(folder.path, "config.json");
  const config = JSON.parse(await Deno.readTextFile(path));
  const stretched = {
    ...config,
    max_position_embeddings: 64,
    rope_scaling: { rope_type: "dynamic", factor: 2 },
  };
  await Deno.writeTextFile(path, JSON.stringify(stretched));
  using gpu = await Gpu.open();
  using model = await Model.load(gpu, folder.path);
  assertEquals(model.contextLength, 64);
  await assertRejects(() => Model.load(gpu, folder.path, { contextLength: 65 }), InputError, "64");
});
