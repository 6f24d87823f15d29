/**
 * The parameters of a model by the names, shapes and order of its checkpoint.
 * Legend: D hidden, H query heads, K key/value heads, C head width, F MLP width, V vocabulary.
 */
import type { ModelConfig } from "./architecture.ts";
import { biasName, partsOf } from "./weights.ts";

/** A parameter's name and shape: [outputs, inputs] for a matrix, [width] for a norm or bias. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Every parameter that the checkpoint of such a model holds. */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F, vocabSize: V } = config;
  const { norms, queryKeyNorm } = config.architecture;
  const found: ParameterShape[] = [{ name: "model.embed_tokens.weight", shape: [V, D] }];
  for (let l = 0; l < config.layers; l++) {
    for (
      const { matrix, inputs, bias } of [
        { matrix: "qkv", inputs: D, bias: config.biases.qkv },
        { matrix: "output", inputs: H * C, bias: config.biases.output },
        { matrix: "gateUp", inputs: D, bias: false },
        { matrix: "down", inputs: F, bias: false },
      ] as const
    ) {
      for (const part of partsOf(config, l, matrix)) {
        found.push({ name: part.name, shape: [part.rows, inputs] });
        if (bias) found.push({ name: biasName(part), shape: [part.rows] });
      }
    }
    for (const norm of Object.values(norms)) {
      found.push({ name: `model.layers.${l}.${norm}.weight`, shape: [D] });
    }
    if (queryKeyNorm !== "none") {
      const [q, k] = queryKeyNorm === "head" ? [C, C] : [H * C, K * C];
      found.push({ name: `model.layers.${l}.self_attn.q_norm.weight`, shape: [q] });
      found.push({ name: `model.layers.${l}.self_attn.k_norm.weight`, shape: [k] });
    }
  }
  found.push({ name: "model.norm.weight", shape: [D] });
  if (!config.tiedEmbedding) found.push({ name: "lm_head.weight", shape: [V, D] });
  return found;
}
