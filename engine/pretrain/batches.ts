/** Training batches: sequences packed without gaps into the fixed shape of a recorded plan. N tokens, S sequences. */
import { encodeSequences, sequenceWords, tokenWords } from "../model/batch.ts";
import { encodeScatter, type ScatterImages } from "../ops/embedding.ts";

/** One training sequence, with the number of its first tokens that are the prompt. */
export interface TrainingSequence {
  /** Token ids, the end token included. */
  readonly ids: readonly number[];
  /** How many of them are the prompt, on which no loss is taken. */
  readonly promptLength: number;
}

/** The shape of a recorded training step: tokens and sequences of the largest batch, and ids in the vocabulary. */
export interface BatchShape {
  /** Token slots. */
  readonly tokens: number;
  /** Most sequences. */
  readonly sequences: number;
  /** Tokens of the vocabulary. */
  readonly vocabulary: number;
}

/** Contents of one batch. */
export interface PackedBatch {
  /** u32 [N, 4] and [S + 1, 8], as engine/model/batch.ts lays them out. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly sequences: Uint32Array<ArrayBuffer>;
  /** [N] */
  readonly targets: Uint32Array<ArrayBuffer>;
  readonly targetWeights: Float32Array<ArrayBuffer>;
  readonly scatter: ScatterImages;
}

/** Ids that a scatter lists: no more occur in a batch of this shape. */
export function scatteredIds({ tokens, vocabulary }: BatchShape): number {
  return Math.min(tokens, vocabulary);
}

/**
 * Packs a batch. Each token's target is the one after it; targets in a prompt weigh `promptWeight`, others 1, all over
 * the batch's sum of weights, so that the losses add up to a weighted mean. What is left of N belongs to one more
 * sequence: every token there stands at position 0, sees itself alone and has no loss, no gradient and no later query.
 */
export function packBatch(
  batch: readonly TrainingSequence[],
  shape: BatchShape,
  promptWeight: number,
): PackedBatch {
  let base = 0;
  const { tokens: used, entries } = encodeSequences(batch.map(({ ids }) => {
    base += ids.length;
    return { ids, base: base - ids.length };
  }));
  if (base > shape.tokens || batch.length > shape.sequences) {
    throw new RangeError(
      `${base} tokens of ${batch.length} sequences exceed [${shape.tokens}, ${shape.sequences}].`,
    );
  }
  const tokens = new Uint32Array(shape.tokens * tokenWords);
  tokens.set(used);
  for (let n = base; n < shape.tokens; n++) tokens[n * tokenWords + 2] = shape.sequences;
  const sequences = new Uint32Array((shape.sequences + 1) * sequenceWords);
  sequences.set(entries);
  sequences[shape.sequences * sequenceWords + 2] = shape.tokens; // the padding's cache row
  const targets = new Uint32Array(shape.tokens);
  const targetWeights = new Float32Array(shape.tokens);
  let n = 0;
  let total = 0;
  for (const { ids, promptLength } of batch) {
    for (let i = 1; i < ids.length; i++) {
      const weight = i < promptLength ? promptWeight : 1;
      targets[n + i - 1] = ids[i]!;
      targetWeights[n + i - 1] = weight;
      total += weight;
    }
    n += ids.length;
  }
  for (let i = 0; i < base; i++) targetWeights[i]! /= total;
  const occurring = encodeScatter(batch.flatMap(({ ids }) => ids), 1, scatteredIds(shape));
  return { tokens, sequences, targets, targetWeights, scatter: occurring };
}
