/**
 * Which keys of config.json are harmless and which are refused, so that none changes what a model computes elsewhere and
 * is passed over here. README.md has the same as tables, and a test compares them.
 */
import type { Architecture } from "./architecture.ts";
import { type JsonFile, refusal } from "./config_file.ts";
import { checkQuantization, quantizationKeys } from "./config_quantization.ts";

/** Keys without influence on the logits of a causal decoder at inference. */
const harmlessKeys: Readonly<Record<string, readonly string[]>> = {
  "names and versions": [
    ..."architectures _name_or_path name_or_path _commit_hash transformers_version transformers.js_config"
      .split(" "),
    ..."torch_dtype dtype tokenizer_class task_specific_params finetuning_task is_llama_config prefix".split(
      " ",
    ),
  ],
  "how it is run": [
    ..."use_cache cache_implementation _attn_implementation _attn_implementation_autoset".split(" "),
    ..."attn_implementation pretraining_tp torchscript use_bfloat16 tf_legacy_loss gradient_checkpointing"
      .split(" "),
    ..."output_attentions output_hidden_states output_past return_dict chunk_size_feed_forward".split(" "),
    ..."use_flash_attn _flash_attn_2_enabled keys_to_ignore_at_inference".split(" "),
  ],
  "training": [
    ..."initializer_range attention_dropout hidden_dropout hidden_dropout_prob resid_pdrop embd_pdrop".split(
      " ",
    ),
    ..."attn_pdrop mlp_dropout classifier_dropout attention_probs_dropout_prob".split(" "),
  ],
  "heads of other tasks": "id2label label2id num_labels problem_type is_decoder".split(" "),
  "lengths that nothing is made of": "model_max_length max_sequence_length".split(" "),
  "what layer_types says already": ["_sliding_window_pattern"],
  "tokens that the tokenizer decides about": [
    ..."bos_token_id pad_token_id sep_token_id unk_token_id decoder_start_token_id".split(" "),
  ],
  "settings of generation, which are given by the caller": [
    ..."assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens".split(" "),
    ..."diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size".split(" "),
    ..."encoder_repetition_penalty epsilon_cutoff eta_cutoff exponential_decay_length_penalty".split(" "),
    ..."forced_bos_token_id forced_eos_token_id length_penalty max_length max_new_tokens min_length".split(
      " ",
    ),
    ..."no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups".split(" "),
    ..."num_beams num_return_sequences output_scores remove_invalid_values repetition_penalty".split(" "),
    ..."return_dict_in_generate suppress_tokens target_lookbehind temperature top_k top_p typical_p".split(
      " ",
    ),
  ],
};

/** A key that is refused unless it is absent, null or has one of the values that change nothing. */
interface RefusedKey {
  readonly neutral: readonly unknown[];
  /** Follows "because". */
  readonly because: string;
}

const refusedGroups: readonly [keys: string, neutral: readonly unknown[], because: string][] = [
  ["is_causal", [true], "only causal attention is computed"],
  ["use_bidirectional_attention bidirectional", [false], "only causal attention is computed"],
  ["is_encoder_decoder add_cross_attention tie_encoder_decoder", [false], "only decoders are computed"],
  ["attn_temperature_tuning", [false, 0], "attention scores are not scaled by position"],
  ["partial_rotary_factor rotary_pct", [1], "partly rotated heads are not supported"],
  ["rope_interleaved use_mrope", [false], "rotary positions of that kind are not supported"],
  ["no_rope_layers no_rope_layer_interval", [[], 0], "layers without rotary positions are not supported"],
  ["use_alibi alibi", [false], "positions by attention bias are not supported"],
  ["attention_chunk_size", [0], "attention in chunks is not supported"],
  ["mlp_bias", [false], "MLPs with a bias are not supported"],
  ["bias use_bias", [false], "only attention can have biases"],
  ["clip_qkv", [], "queries, keys and values are not clipped"],
  [
    "attention_multiplier embedding_multiplier residual_multiplier logits_scaling logit_scale scale_emb",
    [1],
    "factors of that kind are not computed",
  ],
  ["scale_depth", [], "factors of that kind are not computed"],
  [
    "num_experts num_local_experts n_routed_experts num_experts_per_tok",
    [0],
    "mixtures of experts are not supported",
  ],
  ["kv_lora_rank q_lora_rank", [0], "latent attention is not supported"],
  ["use_parallel_residual parallel_attn", [false], "attention and MLP are computed one after the other"],
  ["pruned_heads", [{}], "layers with fewer heads than others are not supported"],
];

/** Refused keys by name. */
const refusedKeys: Readonly<Record<string, RefusedKey>> = Object.fromEntries(
  refusedGroups.flatMap(([keys, neutral, because]) =>
    keys.split(" ").map((key) => [key, { neutral, because }])
  ),
);

/** Keys that mean something in some architectures only; those name them as `ownKeys`. */
export const keysOfSome: readonly string[] = [
  ..."attn_logit_softcapping final_logit_softcapping query_pre_attn_scalar".split(" "),
  ..."rope_local_base_freq sliding_window_pattern".split(" "),
];

/** Flags of other architectures for what ours have or have not by themselves. */
const flagKeys: Readonly<Record<string, { readonly keys: readonly string[]; readonly what: string }>> = {
  queryKeyNorm: {
    keys: "use_qk_norm qk_norm qk_layernorm use_qk_layernorm query_key_norm".split(" "),
    what: "norms on q and k",
  },
  queryKeyValueBias: {
    keys: "qkv_bias use_qkv_bias attention_qkv_bias add_qkv_bias".split(" "),
    what: "biases on q, k and v",
  },
  outputBias: {
    keys: "attention_out_bias attention_output_bias".split(" "),
    what: "biases on attention's output",
  },
};

/** Beginnings of the words by which the name of an unknown key speaks of what is computed. */
const computing =
  /^(attn|attent|rope|rot|pos|norm|layernorm|rms|ln|bias|scal|multipl|cap|softcap|clip|window|causal|bidirect|mask|heads?$|layers?$|blocks?$|expert|moe|rout|mlp|ffn|act|embed|resid|logit|temperat|quant|alibi|spars|mup|conv|ssm|mamba|lora|adapter|theta|freq|interleav|parallel|gate|chunk|eps|kv|qk|qkv|q|k|v|dim|rank|tie|shared?$|loop|sink)/;

const harmless = new Set(Object.values(harmlessKeys).flat());
const metadata = /^(unsloth|_unsloth|mm_)/;

/**
 * Refuses every key that changes what a model computes and is not honoured; `honoured` are the keys that are read.
 * @throws {InputError} naming the key and what it must be.
 */
export function checkKeys(file: JsonFile, architecture: Architecture, honoured: ReadonlySet<string>) {
  checkQuantization(file);
  checkCode(file);
  for (const [key, value] of Object.entries(file.object)) {
    if (value === null || value === undefined) continue;
    const refused = Object.hasOwn(refusedKeys, key) ? refusedKeys[key] : undefined;
    if (refused) {
      const { neutral, because } = refused;
      const shown = neutral.map((one) => JSON.stringify(one));
      if (shown.includes(JSON.stringify(value))) continue;
      throw refusal(file, key, value, `${[...shown, "absent"].join(" or ")}, because ${because}`);
    }
    if (keysOfSome.includes(key) && !architecture.ownKeys.includes(key)) {
      const rule = `absent, because model_type "${architecture.modelType}" knows no such thing`;
      throw refusal(file, key, value, rule);
    }
    if (honoured.has(key) || harmless.has(key) || metadata.test(key) || isFlag(key)) continue;
    if (isNothing(value) || !key.split(/[_.-]/).some((word) => computing.test(word.toLowerCase()))) continue;
    const rule = "absent, because it is not known here and may change what the model computes";
    throw refusal(file, key, value, rule);
  }
}

/** Refuses flags that contradict what the model has. */
export function checkFlags(
  file: JsonFile,
  { modelType, queryKeyNorm }: Architecture,
  biases: { readonly qkv: boolean; readonly output: boolean },
) {
  const has: Record<string, boolean> = {
    queryKeyNorm: queryKeyNorm !== "none",
    queryKeyValueBias: biases.qkv,
    outputBias: biases.output,
  };
  for (const [what, { keys, what: words }] of Object.entries(flagKeys)) {
    for (const key of keys) {
      const value = file.object[key];
      if (value === null || value === undefined || Boolean(value) === has[what]) continue;
      const rule = `${has[what]} or absent, because model_type "${modelType}" has ${
        has[what] ? "" : "no "
      }${words}`;
      throw refusal(file, key, value, rule);
    }
  }
}

function isFlag(key: string): boolean {
  return Object.values(flagKeys).some(({ keys }) => keys.includes(key));
}

/** Values by which files say that they have no such thing. */
function isNothing(value: unknown): boolean {
  return ["null", "false", "0", '""', "[]", "{}"].includes(JSON.stringify(value));
}

/** Refuses models that bring Python code of their own, which `auto_map` names: theirs may compute anything. */
function checkCode(file: JsonFile) {
  const map = file.object.auto_map;
  if (typeof map !== "object" || map === null) return;
  const name = Object.keys(map).find((key) => key.startsWith("AutoModel"));
  if (name === undefined) return;
  const rule =
    `absent, because code of the model's own is never run; remove it if model_type "${file.object.model_type}" ` +
    "computes the same";
  throw refusal(file, `auto_map.${name}`, (map as Record<string, unknown>)[name], rule);
}

/** Every key whose treatment this file decides about, by what becomes of it. */
export const keyTables = {
  harmless: Object.values(harmlessKeys).flat(),
  refused: [
    ...Object.keys(refusedKeys),
    ...Object.values(flagKeys).flatMap(({ keys }) => keys),
    ...quantizationKeys,
    "auto_map",
  ],
};
