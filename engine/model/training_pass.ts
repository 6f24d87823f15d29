/**
 * One recorded training pass: forward, a loss on pairs of tokens at chosen positions, backward into gradient sinks.
 * Legend: N tokens, P chosen positions, J pairs a position, S shared positions, D hidden, L layers.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { copyRows, fill } from "../ops/elementwise.ts";
import { type Scatter, scatterGradient } from "../ops/embedding.ts";
import { klDivergence, type Objective, pairLoss, tokenLogits, tokenLogitsBackward } from "../ops/loss.ts";
import { linearBackward } from "../ops/matmul.ts";
import { rmsNorm, rmsNormBackward } from "../ops/norm.ts";
import type { GradientSinks } from "./backward.ts";
import type { TokenBatch } from "./batch.ts";
import type { Decoder } from "./decoder.ts";
import { type LastTokens, type LayerCaches, recordGather, recordUnembedding } from "./forward.ts";
import { type Lowest, recordLayers, recordLayersBackward } from "./layers.ts";

/** Pairs of (desired, undesired) token ids at each of P positions. */
export interface PairTensors {
  /** u32 [P, 2J] */
  readonly ids: Tensor;
  /** f32 [P, J]; 1/P each for a mean, 0 for padding. */
  readonly weights: Tensor;
}

/**
 * The last tokens of the sequences, whose final residual stream the loss reads. With `tokens` the top layer is computed
 * for them alone beyond its keys and values; without, for all tokens.
 */
export type ChosenTokens = Omit<LastTokens, "tokens"> & Partial<Pick<LastTokens, "tokens">>;

/** What to record. */
export interface PairPass {
  readonly batch: TokenBatch;
  readonly caches: LayerCaches;
  /** Default: every token of the batch, in order. */
  readonly chosen?: ChosenTokens;
  readonly pairs: PairTensors;
  readonly objective: Objective;
  readonly sinks: GradientSinks;
  /** Lowest layer that needs gradients and how deep into it; default: everything. */
  readonly lowest?: Lowest;
  /**
   * Layers from this one on keep their activations instead of having them recomputed in the backward pass: less work, more
   * memory. Default: none does.
   */
  readonly keepFrom?: number;
  /** Per layer [S, 2, K·C]: takes what the sequences send to the keys and values of a prefix that they share. */
  readonly dPrefix?: readonly Tensor[];
  /** Needed with sinks for the embedding matrices: where the batch's and the pairs' ids scatter to. */
  readonly scatters?: { readonly input: Scatter; readonly output: Scatter };
}

/** Records the pass; returns results [P, J, 2] of (weighted loss, logit difference). */
export function recordPairPass(plan: Plan, model: Decoder, pass: PairPass): Tensor {
  const { pairs, sinks } = pass;
  const { config, weights } = model;
  return recordChosenPass(plan, model, pass, (normed, dNormed) => {
    const count = normed.shape[0]!;
    const shape = [count, pairs.weights.elements / count, 2];
    const logits = plan.temp(shape, "pair logits");
    const dLogits = plan.temp(shape, "d pair logits");
    const results = plan.temp(shape, "pair results");
    tokenLogits(plan, normed, weights.unembedding, pairs.ids, logits);
    pairLoss(plan, pass.objective, logits, pairs.weights, config.finalSoftCap, dLogits, results);
    const unembeddingGradient = sinks.weights?.get(weights.unembedding);
    if (unembeddingGradient) {
      scatterGradient(plan, pass.scatters!.output, dLogits, normed, unembeddingGradient);
    }
    tokenLogitsBackward(plan, dLogits, weights.unembedding, pairs.ids, dNormed);
    plan.recycle(logits, dLogits);
    return results;
  });
}

/** What a pass over whole distributions records: like a pair pass, but its loss is the divergence from stored logits. */
export interface AnchorPass extends Omit<PairPass, "pairs" | "objective" | "scatters" | "dPrefix"> {
  readonly chosen: Omit<LastTokens, "tokens">;
  /** [P, V]: the logits to stay near, as the model gives them (capped where it caps). */
  readonly anchor: Tensor;
  /** [P]. */
  readonly rowWeights: Tensor;
}

/** Records the pass; returns the weighted divergences [P]. */
export function recordAnchorPass(plan: Plan, model: Decoder, pass: AnchorPass): Tensor {
  const { config, weights } = model;
  return recordChosenPass(plan, model, pass, (normed, dNormed) => {
    const count = normed.shape[0]!;
    const logits = recordUnembedding(plan, model, normed);
    const losses = plan.temp([count], "divergences");
    klDivergence(plan, pass.anchor, logits, pass.rowWeights, losses, config.finalSoftCap);
    linearBackward(plan, logits, weights.unembedding, dNormed);
    plan.recycle(logits);
    return losses;
  });
}

/** Records what comes before and after a loss on chosen rows: `head` takes the final norm of them and leaves its gradient. */
function recordChosenPass<T>(
  plan: Plan,
  model: Decoder,
  pass: Omit<PairPass, "pairs" | "objective">,
  head: (normed: Tensor, dNormed: Tensor) => T,
): T {
  const { batch, chosen, sinks } = pass;
  const { config, weights } = model;
  const last = chosen?.tokens && { ...chosen, tokens: chosen.tokens };
  const layers = { ...pass, last };
  const recorded = recordLayers(plan, model, layers);
  const x = recorded.out;

  const rows = chosen && !last ? recordGather(plan, x, chosen.gather) : x;
  const count = rows.shape[0]!;
  const normed = plan.temp([count, config.hiddenSize], "final norm");
  rmsNorm(plan, rows, weights.finalNorm, normed, { rows: count });
  const dNormed = plan.temp([count, config.hiddenSize], "d final norm");
  const result = head(normed, dNormed);
  const dRows = plan.temp([count, config.hiddenSize], "d chosen rows");
  const gradient = sinks.norms?.get(weights.finalNorm);
  rmsNormBackward(plan, rows, weights.finalNorm, dNormed, dRows, { rows: count, gradient });
  plan.recycle(normed, dNormed);

  let dOut = dRows;
  if (chosen && !last) {
    dOut = plan.temp([batch.count, config.hiddenSize], "d residual stream");
    fill(plan, dOut, 0);
    const whole = { stride: config.hiddenSize, offset: 0 };
    copyRows(
      plan,
      chosen.scatter,
      { tensor: dRows, ...whole },
      { tensor: dOut, ...whole },
      config.hiddenSize,
    );
    plan.recycle(rows, dRows);
  }
  const dx = recordLayersBackward(plan, model, layers, recorded, dOut, { dPrefix: pass.dPrefix });
  const embeddingGradient = sinks.weights?.get(weights.embedding);
  if (embeddingGradient && dx) {
    const scale = plan.temp([batch.count], "embedding scale");
    fill(plan, scale, config.architecture.scaleEmbedding ? Math.sqrt(config.hiddenSize) : 1);
    scatterGradient(plan, pass.scatters!.input, scale, dx, embeddingGradient);
  }
  return result;
}

/** Index tensors for the last token of each sequence of a batch given the sequences' lengths. */
export function lastTokens(model: Decoder, lengths: readonly number[]): ChosenTokens & Disposable {
  let end = 0;
  const last = lengths.map((length) => (end += length) - 1);
  const upload = (pairs: number[][], label: string) =>
    model.gpu.upload(Uint32Array.from(pairs.flat()), [last.length, 2], label);
  const gather = upload(last.map((token, row) => [token, row]), "gather last tokens");
  const scatter = upload(last.map((token, row) => [row, token]), "scatter last tokens");
  return {
    gather,
    scatter,
    [Symbol.dispose]() {
      model.gpu.free(gather);
      model.gpu.free(scatter);
    },
  };
}
