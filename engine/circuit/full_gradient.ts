/** The gradient with respect to every parameter: what the sparse update saves. Used to verify and to compare. */
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { TokenBatch } from "../model/batch.ts";
import type { Model } from "../model/model.ts";
import { lastTokens, recordPairPass } from "../model/training_pass.ts";
import { allParameters, biasName, partsOf } from "../model/weights.ts";
import { fill } from "../ops/elementwise.ts";
import { prepareScatter } from "../ops/embedding.ts";
import type { Objective } from "../ops/loss.ts";
import type { Norm } from "../ops/norm.ts";
import { type Gradient, readRows, splitRows, type Weight } from "../ops/weight.ts";
import { pairIds } from "./mask_pass.ts";
import { checkPairs, type TokenPair } from "./localization.ts";

/**
 * Mean loss over the examples and its gradient by the checkpoint's parameter names, row-major.
 *
 * @throws {InputError} for an example that is empty, too long for the context, or holds an unknown id.
 *
 * @example The gradient of all parameters
 * ```ts
 * import { fullGradient, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?\nA: 3 + 4 =");
 * const [seven, eight] = ["7", "8"].map((digit) => model.tokenizer.encode(` ${digit}`).at(-1)!);
 * const examples = [{ prefix_ids: ids, desired_token: seven!, undesired_token: eight! }];
 * const { loss, gradients } = await fullGradient(model, examples, "preference");
 * console.log(loss, gradients.size);
 * ```
 */
export async function fullGradient(
  model: Model,
  examples: readonly TokenPair[],
  objective: Objective,
): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  checkPairs(model, examples);
  const { gpu, config } = model;
  const { matrices, norms, biases } = allParameters(model.weights);
  const prefixes = examples.map(({ prefix_ids }) => prefix_ids);
  const ids = pairIds(examples);
  using batch = TokenBatch.wholeSequences(gpu, prefixes);
  using chosen = lastTokens(model, prefixes.map(({ length }) => length));
  using input = prepareScatter(gpu, prefixes.flat());
  using output = prepareScatter(gpu, ids, 2);
  using plan = new Plan(gpu, "full gradient");
  const owned: Tensor[] = [];
  const own = (tensor: Tensor) => (owned.push(tensor), tensor);
  const sink = (shape: number[], name: string) => {
    const gradient = own(gpu.tensor(shape, `${name} gradient`, { part: "gradients" }));
    fill(plan, gradient, 0);
    return gradient;
  };
  try {
    const weights = new Map<Weight, Gradient>();
    for (const weight of matrices) {
      const { name, rows, columns } = weight;
      weights.set(weight, splitRows(gpu, rows, columns * 4, (count) => sink([count, columns], name)));
    }
    const gains = new Map<Norm, Tensor>();
    for (const norm of norms) gains.set(norm, sink([norm.weight.elements], norm.weight.label));
    const biasSinks = new Map<Tensor, Tensor>();
    for (const bias of biases) biasSinks.set(bias, sink([bias.elements], bias.label));
    const results = recordPairPass(plan, model, {
      batch,
      caches: Array(config.layers).fill(own(model.cache(batch.count, "cache"))),
      chosen,
      pairs: {
        ids: own(gpu.upload(ids, [examples.length, 2], "pair ids")),
        weights: own(
          gpu.upload(
            new Float32Array(examples.length).fill(1 / examples.length),
            [examples.length, 1],
            "weights",
          ),
        ),
      },
      objective,
      sinks: { weights, norms: gains, biases: biasSinks },
      scatters: { input, output },
    });
    plan.run();
    const gradients = new Map<string, Float32Array>();
    for (const [norm, gradient] of gains) gradients.set(norm.weight.label, await gpu.read(gradient));
    const embedding = model.weights.embedding;
    gradients.set(embedding.name, await readRows(gpu, weights.get(embedding)!));
    if (!config.tiedEmbedding) {
      const unembedding = model.weights.unembedding;
      gradients.set(unembedding.name, await readRows(gpu, weights.get(unembedding)!));
    }
    for (const [l, layer] of model.weights.layers.entries()) {
      for (const matrix of ["qkv", "output", "gateUp", "down"] as const) {
        const weight = layer[matrix];
        const fused = await readRows(gpu, weights.get(weight)!);
        for (const { name, firstRow, rows } of partsOf(config, l, matrix)) {
          gradients.set(name, fused.subarray(firstRow * weight.columns, (firstRow + rows) * weight.columns));
        }
        const bias = matrix === "qkv" ? layer.qkvBias : matrix === "output" ? layer.outputBias : undefined;
        if (!bias) continue;
        const fusedBias = await gpu.read(biasSinks.get(bias)!);
        for (const part of partsOf(config, l, matrix)) {
          gradients.set(biasName(part), fusedBias.subarray(part.firstRow, part.firstRow + part.rows));
        }
      }
    }
    const values = await gpu.read(results);
    return { loss: values.filter((_, i) => i % 2 === 0).reduce((sum, value) => sum + value, 0), gradients };
  } finally {
    owned.forEach((tensor) => gpu.free(tensor));
  }
}
