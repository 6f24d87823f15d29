/** Configs of temporary model folders, good ones and what they are refused with. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import type { ModelConfig } from "../../engine/model/architecture.ts";
import { readConfig } from "../../engine/model/config.ts";

/** A good config of Llama's. */
export const llama = {
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
/** A good config of Gemma-2's. */
export const gemma2 = {
  ...llama,
  model_type: "gemma2",
  hidden_act: undefined,
  hidden_activation: "gelu_pytorch_tanh",
};

/** Reads the config of a temporary model folder; strings are written as they stand, objects as JSON. */
export async function read(config?: unknown, generation?: unknown): Promise<ModelConfig> {
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

/** Demands that a config is refused with this message, one sentence. */
export async function assertRefused(message: string, config?: unknown, generation?: unknown): Promise<void> {
  const error = await assertRejects(() => read(config, generation), InputError);
  assertEquals(error.message, message);
  assertMatch(error.message, /^[A-Z].*\.$/);
  assert(!/[.!?]\s/.test(error.message), "The message is one sentence");
}

/** Rotary positions that nothing stretches. */
export const plainRope = (theta: number) => ({ theta, scaling: { type: "default" as const } });
