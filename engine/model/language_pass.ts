/**
 * One recorded training pass over whole sequences: forward, cross-entropy at every token, backward to every parameter.
 * Legend: N tokens, D hidden, V vocabulary, L layers.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { fill } from "../ops/elementwise.ts";
import { type Scatter, scatterGradient } from "../ops/embedding.ts";
import { crossEntropy } from "../ops/loss.ts";
import { linearBackward, weightGradient } from "../ops/matmul.ts";
import { rmsNormBackward } from "../ops/norm.ts";
import { type GradientSinks, recordLayerBackward } from "./backward.ts";
import type { TokenBatch } from "./batch.ts";
import {
  type LayerActivations,
  recordEmbedding,
  recordLayer,
  recordLogits,
  recycleActivations,
} from "./forward.ts";
import type { Decoder } from "./decoder.ts";

/** What to record. */
export interface LanguagePass {
  readonly batch: TokenBatch;
  /** Rows of the K/V cache that the batch's sequences use. */
  readonly cacheRows: number;
  /** u32 [N]: the id that should follow each token. */
  readonly targets: Tensor;
  /** f32 [N]: weight of each token's loss; 0 for a last token or padding. */
  readonly targetWeights: Tensor;
  /** Where the batch's ids scatter to in the embedding's gradient; padding may be left out. */
  readonly scatter: Scatter;
  readonly sinks: GradientSinks;
}

/** Records the pass; returns the weighted losses [N]. All activations are kept, about 11·D + 3·F floats a token and layer. */
export function recordLanguagePass(plan: Plan, model: Decoder, pass: LanguagePass): Tensor {
  const { batch, sinks } = pass;
  const { config, weights } = model;
  const { hiddenSize: D, keyValueHeads, headWidth } = config;
  const n = batch.count;
  const layers: { activations: LayerActivations; cache: Tensor }[] = [];
  let x = recordEmbedding(plan, model, batch);
  for (let l = 0; l < config.layers; l++) {
    const cache = plan.temp([pass.cacheRows, 2, keyValueHeads * headWidth], "cache", "cache");
    const activations = recordLayer(plan, model, l, batch, x, cache);
    layers.push({ activations, cache });
    x = activations.out;
  }

  const { normed, logits } = recordLogits(plan, model, x);
  const losses = plan.temp([n], "token losses");
  crossEntropy(plan, logits, pass.targets, pass.targetWeights, losses, config.finalSoftCap);
  const unembeddingGradient = sinks.weights?.get(weights.unembedding);
  if (unembeddingGradient) weightGradient(plan, logits, normed, unembeddingGradient, true);
  const dNormed = plan.temp([n, D], "d final norm");
  linearBackward(plan, logits, weights.unembedding, dNormed);
  let dx: Tensor = plan.temp([n, D], "d residual stream");
  const gradient = sinks.norms?.get(weights.finalNorm);
  rmsNormBackward(plan, x, weights.finalNorm, dNormed, dx, { rows: n, gradient });
  plan.recycle(normed, logits, dNormed);

  for (let l = config.layers - 1; l >= 0; l--) {
    const { activations, cache } = layers[l]!;
    dx = recordLayerBackward(plan, model, l, batch, activations, cache, dx, sinks)!;
    // A layer's output is the next one's input and was recycled with it.
    recycleActivations(plan, activations, ...(l < config.layers - 1 ? [activations.out] : []));
    plan.recycle(cache);
  }
  const embeddingGradient = sinks.weights?.get(weights.embedding);
  if (embeddingGradient) {
    const scale = plan.temp([n], "embedding scale");
    fill(plan, scale, config.architecture.scaleEmbedding ? Math.sqrt(D) : 1);
    scatterGradient(plan, pass.scatter, scale, dx, embeddingGradient);
    plan.recycle(scale);
  }
  plan.recycle(dx);
  return losses;
}
