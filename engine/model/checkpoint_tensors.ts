/**
 * Every tensor of a checkpoint is used, knowingly ignored, or named: extra layers, biases that config.json lacks and a head of
 * its own beside a tied embedding would otherwise make another model than the one that was trained.
 */
import type { Checkpoint, FloatType, TensorInfo } from "../checkpoint/checkpoint.ts";
import { isFloat, widenToFloat32 } from "../checkpoint/checkpoint.ts";
import { InputError } from "../errors.ts";
import type { ModelConfig } from "./architecture.ts";
import { packedTensor } from "./config_quantization.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import type { WeightSource } from "./weights.ts";

const headName = "lm_head.weight", embeddingName = "model.embed_tokens.weight";

/** Tensors that some files hold and no decoder needs: tables of rotary positions, masks, heads that predict further tokens. */
const ignoredTensors = [
  "*.rotary_emb.inv_freq",
  "*.rotary_emb.cos_cached",
  "*.rotary_emb.sin_cached",
  "*.position_ids",
  "*.attn.bias",
  "*.attn.masked_bias",
  "*.attention.bias",
  "*.attention.masked_bias",
  "mtp.*",
  "model.mtp.*",
];

/** What a checkpoint makes of a configuration. */
export interface CheckedTensors {
  /** The configuration, with a head of its own where the checkpoint has one that differs from the embedding. */
  readonly config: ModelConfig;
  /** The checkpoint, in which a tied embedding that was stored by the head's name alone has its own. */
  readonly source: WeightSource;
  /** Names of tensors outside of the decoder that nothing uses. */
  readonly unused: readonly string[];
}

/**
 * Goes through the names of a checkpoint. `ignore` holds names, with `*` for any characters, that are passed over.
 * @throws {InputError} naming a tensor of the decoder that the configuration has no place for.
 */
export async function checkTensors(
  config: ModelConfig,
  checkpoint: Checkpoint,
  ignore: readonly string[] = [],
): Promise<CheckedTensors> {
  const checked = await hasOwnHead(config, checkpoint) ? { ...config, tiedEmbedding: false } : config;
  const source = isStoredAsHead(config, checkpoint) ? withEmbedding(checkpoint) : checkpoint;
  const expected = new Set(parameterShapes(checked).map(({ name }) => name));
  const passed = [...ignoredTensors, ...ignore, ...(checked.tiedEmbedding ? [headName] : [])].map(
    pattern,
  );
  const names = checkpoint.names();
  const others = names.filter((name) => !expected.has(name) && !passed.some((one) => one.test(name)));
  const packed = packedTensor(others);
  const foreign = others.filter((name) => /^(model\.|lm_head\.)/.test(name));
  // Where needed tensors are missing too, that is the better thing to say.
  const isWhole = [...expected].every((name) => source.tensor(name));
  const isUsable = isWhole && [...expected].every((name) => isFloat(source.tensor(name)!.dtype));
  if (packed !== undefined && !isUsable) {
    throw new InputError(
      `Tensor "${packed}" in "${
        checkpoint.tensor(packed)!.file
      }" belongs to quantized weights, and only weights in F32, ` +
        "F16 and BF16 are computed with; use the model that was quantized, or a copy with dequantized weights.",
    );
  }
  const [first, ...more] = foreign;
  if (first !== undefined && isWhole) {
    throw new InputError(
      `Tensor "${first}" in "${checkpoint.tensor(first)!.file}"${
        more.length > 0 ? ` and ${more.length} more have` : " has"
      } no place in the model that config.json describes; correct config.json, or ignore ${
        more.length > 0 ? "them" : "it"
      } by name.`,
      "ignore-tensors",
    );
  }
  return { config: checked, source, unused: others };
}

/** A name with `*` for any characters as a regular expression. */
function pattern(name: string): RegExp {
  return new RegExp(
    `^${name.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`,
  );
}

/** Whether the one matrix of embedding and head is stored by the latter's name, as safetensors' own save_model does it. */
function isStoredAsHead(config: ModelConfig, checkpoint: Checkpoint): boolean {
  return config.tiedEmbedding && !checkpoint.tensor(embeddingName) &&
    checkpoint.tensor(headName) !== undefined;
}

/** A checkpoint in which the head answers to the embedding's name too. */
function withEmbedding(checkpoint: Checkpoint): WeightSource {
  const stored = (name: string) => name === embeddingName ? headName : name;
  return {
    names: () => checkpoint.names(),
    tensor: (name) => checkpoint.tensor(stored(name)),
    require: (name, shape) => checkpoint.require(stored(name), shape),
    readRaw: (info, from, count) => checkpoint.readRaw(info, from, count),
  };
}

/** Whether a checkpoint brings another output matrix than the embedding, though config.json ties the two; transformers 5 keeps it. */
async function hasOwnHead(config: ModelConfig, checkpoint: Checkpoint): Promise<boolean> {
  const [head, embedding] = [headName, embeddingName].map((name) => checkpoint.tensor(name));
  if (!config.tiedEmbedding || !head || !embedding) return false;
  if (!isFloat(head.dtype) || !isFloat(embedding.dtype)) return true; // as is its type
  const count = (info: TensorInfo) => info.shape.reduce((product, size) => product * size, 1);
  if (count(head) !== count(embedding)) return true; // its shape is refused where it is loaded
  const piece = 2 ** 20;
  for (let from = 0; from < count(head); from += piece) {
    const length = Math.min(piece, count(head) - from);
    const [a, b] = await Promise.all(
      [head, embedding].map(async (info) =>
        widenToFloat32(await checkpoint.readRaw(info, from, length), info.dtype as FloatType)
      ),
    );
    if (a!.some((value, i) => value !== b![i])) return true;
  }
  return false;
}
