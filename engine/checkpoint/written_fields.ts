/**
 * Every field of the settings files that we write for other programs to read, with the type its readers demand. transformers
 * and PEFT check types: a soft cap of 30 is refused where 30.0 is read. README.md of this folder shows the same table.
 */
import { basename } from "node:path";
import { writeAtomically } from "../files.ts";

/** Types as Python reads them; `float` is written with a point or an exponent. */
export type FieldType = "int" | "float" | "str" | "bool" | "list" | "dict";

/** See file comment. */
export const writtenFields: Readonly<Record<string, Readonly<Record<string, FieldType>>>> = {
  "config.json": {
    architectures: "list",
    model_type: "str",
    hidden_act: "str",
    hidden_activation: "str",
    attn_logit_softcapping: "float",
    final_logit_softcapping: "float",
    query_pre_attn_scalar: "int",
    sliding_window: "int",
    hidden_size: "int",
    num_hidden_layers: "int",
    num_attention_heads: "int",
    num_key_value_heads: "int",
    head_dim: "int",
    intermediate_size: "int",
    vocab_size: "int",
    rms_norm_eps: "float",
    rope_theta: "float",
    max_position_embeddings: "int",
    tie_word_embeddings: "bool",
    attention_bias: "bool",
    pad_token_id: "int",
    bos_token_id: "int",
    eos_token_id: "int",
    torch_dtype: "str",
  },
  "generation_config.json": {
    bos_token_id: "int",
    eos_token_id: "int",
    pad_token_id: "int",
    do_sample: "bool",
  },
  "tokenizer_config.json": {
    tokenizer_class: "str",
    bos_token: "str",
    eos_token: "str",
    pad_token: "str",
    unk_token: "str",
    model_max_length: "int",
    clean_up_tokenization_spaces: "bool",
    add_bos_token: "bool",
  },
  "adapter_config.json": {
    peft_type: "str",
    task_type: "str",
    base_model_name_or_path: "str",
    revision: "str",
    r: "int",
    lora_alpha: "int",
    lora_dropout: "float",
    rank_pattern: "dict",
    alpha_pattern: "dict",
    target_modules: "list",
    bias: "str",
    fan_in_fan_out: "bool",
    inference_mode: "bool",
    init_lora_weights: "bool",
    use_rslora: "bool",
    use_dora: "bool",
  },
};

const fits: Readonly<Record<FieldType, (value: unknown) => boolean>> = {
  int: (value) => Number.isInteger(value),
  float: (value) => typeof value === "number",
  str: (value) => typeof value === "string",
  bool: (value) => typeof value === "boolean",
  list: Array.isArray,
  dict: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** JSON.rawJSON writes a number as it is spelled; TypeScript does not know it yet. */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/** The text of a file named in writtenFields. @throws {RangeError} for a field that the table lacks or has with another type. */
export function writtenText(name: string, values: Readonly<Record<string, unknown>>): string {
  const fields = writtenFields[name]!;
  const spelled = Object.entries(values).filter(([, value]) => value !== undefined).map(([field, value]) => {
    const type = fields[field];
    if (!type || !fits[type](value)) {
      throw new RangeError(`Field "${field}" of ${name} is no ${type ?? "known field"}.`);
    }
    return [field, type === "float" ? rawJSON(floatText(value as number)) : value];
  });
  return JSON.stringify(Object.fromEntries(spelled), null, 2) + "\n";
}

/** Contents of settings files by their names. */
export type SettingsFiles = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Writes a settings file whose fields writtenFields lists; other files as plain JSON. */
export async function writeSettings(path: string, values: Readonly<Record<string, unknown>>): Promise<void> {
  const name = basename(path);
  const text = name in writtenFields ? writtenText(name, values) : JSON.stringify(values, null, 2) + "\n";
  await writeAtomically(path, text);
}

/** A number as Python reads a float: with a point or an exponent. */
function floatText(value: number): string {
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}
