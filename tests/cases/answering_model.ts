/** A model folder that answers every prompt with one text and then ends: what is done with a completion can be told from it. */
import { join } from "node:path";
import { writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const [D, V] = [8, 5];
const [eos, answer] = [2, 4];

/** Files of the folder that a case changes: fields over those of the file, or null for no file. */
export interface Changes {
  readonly config?: Record<string, unknown>;
  readonly prompt?: Record<string, unknown>;
  readonly tokenizer?: Record<string, unknown>;
  readonly tokenizerConfig?: Record<string, unknown>;
}

/** Writes such a model. Token 4 is the whole text, every other token leads to it, and it leads to the end. */
export async function answeringModel(text: string, changes: Changes = {}) {
  const folder = await temporaryFolder();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(join(folder.path, name), JSON.stringify(value));
  const special = ["<pad>", "<bos>", "<eos>", "<unk>"];
  const added = [...special, text].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: id < special.length,
  }));
  await write("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: D,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    head_dim: 2,
    intermediate_size: 2,
    vocab_size: V,
    rms_norm_eps: 1e-6,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
    rope_theta: 10000,
    bos_token_id: 1,
    eos_token_id: eos,
    hidden_act: "silu",
    ...changes.config,
  });
  await write("prompt.json", {
    template: "Q: {question}\nA:",
    shots: "none",
    max_new_tokens: 16,
    ...changes.prompt,
  });
  await write("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<bos>",
    eos_token: "<eos>",
    unk_token: "<unk>",
    ...changes.tokenizerConfig,
  });
  await write("tokenizer.json", {
    version: "1.0",
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: null,
    decoder: null,
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(special.map((token, id) => [token, id])),
      unk_token: "<unk>",
    },
    ...changes.tokenizer,
  });
  // Row t of the embedding is a unit vector, the same for all tokens but the answer; nothing else adds to it.
  const embedding = new Float32Array(V * D);
  const head = new Float32Array(V * D);
  for (let t = 0; t < V; t++) embedding[t * D + (t === answer ? 1 : 0)] = 1;
  head[answer * D] = 1;
  head[eos * D + 1] = 1;
  const zero = (...shape: number[]) => ({
    dtype: "F32" as const,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b)),
  });
  const ones = { dtype: "F32" as const, shape: [D], data: new Float32Array(D).fill(1) };
  const layer = (name: string) => `model.layers.0.${name}.weight`;
  await writeSafetensors(
    join(folder.path, "model.safetensors"),
    {
      "model.embed_tokens.weight": { ...zero(V, D), data: embedding },
      "lm_head.weight": { ...zero(V, D), data: head },
      "model.norm.weight": ones,
      [layer("input_layernorm")]: ones,
      [layer("post_attention_layernorm")]: ones,
      [layer("self_attn.q_proj")]: zero(2, D),
      [layer("self_attn.k_proj")]: zero(2, D),
      [layer("self_attn.v_proj")]: zero(2, D),
      [layer("self_attn.o_proj")]: zero(D, 2),
      [layer("mlp.gate_proj")]: zero(2, D),
      [layer("mlp.up_proj")]: zero(2, D),
      [layer("mlp.down_proj")]: zero(D, 2),
    },
  );
  return folder;
}
