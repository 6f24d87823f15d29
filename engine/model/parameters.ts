/**
 * The values of a model's parameters: to save trained ones.
 * Legend: D hidden, H query heads, K key/value heads, C head width, F MLP width, V vocabulary.
 */
import { InputError } from "../errors.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import type { Model } from "./model.ts";
import { allParameters, biasName, partsOf } from "./weights.ts";

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
