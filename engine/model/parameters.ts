/**
 * A model's parameters by the names, shapes and order of its checkpoint: to make new ones and to save trained ones.
 * Legend: D hidden, H query heads, K key/value heads, C head width, F MLP width, V vocabulary.
 */
import { InputError } from "../errors.ts";
import type { ModelConfig } from "./architecture.ts";
import type { Model } from "./model.ts";
import { allParameters, biasName, partsOf } from "./weights.ts";

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

/**
 * The current values of every parameter, in checkpoint order. Throws InputError unless the model is stored in f32;
 * overlays are not looked at.
 */
export async function readParameters(model: Model): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  const { gpu, config, weights } = model;
  const read = new Map<string, Float32Array<ArrayBuffer>>();
  const { matrices, norms, biases } = allParameters(weights);
  for (const { name, storage, rows, columns, chunks } of matrices) {
    if (storage !== "f32") {
      throw new InputError(`${name} is stored as ${storage}; load the model with f32 storage.`);
    }
    const values = new Float32Array(rows * columns);
    for (const { tensor, firstRow, rows } of chunks) {
      values.set(await gpu.read(tensor, 0, rows * columns), firstRow * columns);
    }
    read.set(name, values);
  }
  for (const tensor of [...norms.map(({ weight }) => weight), ...biases]) {
    read.set(tensor.label, await gpu.read(tensor));
  }
  weights.layers.forEach((layer, l) => {
    for (const matrix of ["qkv", "output", "gateUp", "down"] as const) {
      const { name: first, columns } = layer[matrix];
      const parts = partsOf(config, l, matrix);
      const [values, bias] = [read.get(first)!, read.get(biasName(parts[0]!))];
      for (const part of parts) {
        const [from, to] = [part.firstRow, part.firstRow + part.rows];
        read.set(part.name, values.slice(from * columns, to * columns));
        if (bias) read.set(biasName(part), bias.slice(from, to));
      }
    }
  });
  return new Map(parameterShapes(config).map(({ name }) => [name, read.get(name)!]));
}
