/** Small random models of any architecture, written as Hugging Face folders, and their float64 twins. */
import { join } from "node:path";
import type { ModelConfig } from "../../engine/model/architecture.ts";
import { modelConfig } from "../../engine/model/config.ts";
import { type TensorToWrite, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { seededRandom } from "../../engine/random.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { temporaryFolder } from "./model_fixture.ts";

/** Sizes that no tile divides; override what a test is about. */
export const smallSizes = {
  hidden_size: 20,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  intermediate_size: 22,
  vocab_size: 37,
  rms_norm_eps: 1e-3, // large enough to show when it is left out
  max_position_embeddings: 64,
  rope_theta: 100,
};

/** Shapes of all parameters by their names in a checkpoint, as the published implementations have them. */
function parameterShapes(config: ModelConfig): [string, number[]][] {
  const { hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F, vocabSize: V } = config;
  const { norms, queryKeyNorm } = config.architecture;
  const shapes: [string, number[]][] = [["model.embed_tokens.weight", [V, D]], ["model.norm.weight", [D]]];
  if (!config.tiedEmbedding) shapes.push(["lm_head.weight", [V, D]]);
  for (let l = 0; l < config.layers; l++) {
    const add = (name: string, ...shape: number[]) => shapes.push([`model.layers.${l}.${name}`, shape]);
    for (const [part, outputs] of [["q", H * C], ["k", K * C], ["v", K * C]] as const) {
      add(`self_attn.${part}_proj.weight`, outputs, D);
      if (config.biases.qkv) add(`self_attn.${part}_proj.bias`, outputs);
    }
    add("self_attn.o_proj.weight", D, H * C);
    if (config.biases.output) add("self_attn.o_proj.bias", D);
    if (queryKeyNorm !== "none") {
      add("self_attn.q_norm.weight", queryKeyNorm === "head" ? C : H * C);
      add("self_attn.k_norm.weight", queryKeyNorm === "head" ? C : K * C);
    }
    add("mlp.gate_proj.weight", F, D);
    add("mlp.up_proj.weight", F, D);
    add("mlp.down_proj.weight", D, F);
    for (const norm of Object.values(norms)) add(`${norm}.weight`, D);
  }
  return shapes;
}

/** Writes a random model of this config.json in float32; returns its folder, to be held with `await using`, and its twin. */
export async function randomModel(config: Record<string, unknown>, seed = 0) {
  const folder = await temporaryFolder();
  const parsed = modelConfig(config, "config.json");
  const random = seededRandom(`${seed}/random model`);
  const tensors: Record<string, TensorToWrite> = {};
  const weights = new Map<string, Float64Array>();
  for (const [name, shape] of parameterShapes(parsed)) {
    const count = shape.reduce((a, b) => a * b, 1);
    const centre = name.endsWith("norm.weight") && parsed.architecture.normOffset === 0 ? 1 : 0;
    const spread = shape.length > 1 ? 1.5 / Math.sqrt(shape[1]!) : 0.5;
    const data = Float32Array.from({ length: count }, () => centre + spread * (2 * random() - 1));
    tensors[name] = { dtype: "F32", shape, data };
    weights.set(name, Float64Array.from(data));
  }
  await writeSafetensors(join(folder.path, "model.safetensors"), tensors);
  await Deno.writeTextFile(join(folder.path, "config.json"), JSON.stringify(config));
  return {
    path: folder.path,
    reference: new ReferenceModel(parsed, weights),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
