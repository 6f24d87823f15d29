/**
 * Float64 twin of training on whole sequences: weighted cross-entropy, clipping by the norm of all gradients together,
 * AdamW on every parameter. Legend: T tokens, V vocabulary.
 */
import { adamwStep, crossEntropy } from "../../engine/reference/ops.ts";
import { accumulate } from "../../engine/reference/matrices.ts";
import type { ReferenceModel } from "../../engine/reference/transformer.ts";

/** One sequence and the number of its first tokens that are the prompt. */
export interface TwinSequence {
  readonly ids: readonly number[];
  readonly promptLength: number;
}

/** Constants of a training. */
export interface TwinOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly clip: number;
  readonly promptWeight: number;
}

type Gradients = Map<string, Float64Array>;

/** Weighted mean cross-entropy of the next tokens over a batch, and its gradient by parameter name. */
export function languageLoss(
  model: ReferenceModel,
  batch: readonly TwinSequence[],
  promptWeight: number,
): { loss: number; gradients: Gradients } {
  const weightsOf = ({ ids, promptLength }: TwinSequence) =>
    ids.map((_, t) => t + 1 === ids.length ? 0 : t + 1 < promptLength ? promptWeight : 1);
  const total = batch.flatMap(weightsOf).reduce((a, b) => a + b, 0);
  const gradients: Gradients = new Map();
  let loss = 0;
  for (const sequence of batch) {
    const { ids } = sequence;
    const forward = model.forward(ids);
    const targets = ids.map((_, t) => ids[t + 1] ?? 0);
    const weights = weightsOf(sequence).map((weight) => weight / total);
    const result = crossEntropy(forward.logits, targets, weights, model.config.vocabSize);
    loss += result.loss;
    for (const [name, gradient] of model.backward(forward, result.dlogits).gradients) {
      accumulate(gradients, name, gradient);
    }
  }
  return { loss, gradients };
}

/** Norm of all gradients together; above `limit` they are scaled down to it, in place. */
export function clipGradients(gradients: Gradients, limit: number): number {
  let squares = 0;
  for (const gradient of gradients.values()) for (const value of gradient) squares += value * value;
  const norm = Math.sqrt(squares);
  for (const gradient of gradients.values()) {
    for (let i = 0; norm > limit && i < gradient.length; i++) gradient[i]! *= limit / norm;
  }
  return norm;
}

/** Trains the weights that `model` holds, in place. */
export class TrainingTwin {
  private taken = 0;
  private readonly moments = new Map<string, [Float64Array, Float64Array]>();

  constructor(readonly model: ReferenceModel, private readonly options: TwinOptions) {}

  /** One step; returns what was found before it. */
  step(batch: readonly TwinSequence[], learningRate: number): { loss: number; gradientNorm: number } {
    const { betas: [beta1, beta2], epsilon, weightDecay, clip, promptWeight } = this.options;
    const { loss, gradients } = languageLoss(this.model, batch, promptWeight);
    const gradientNorm = clipGradients(gradients, clip);
    this.taken++;
    for (const [name, values] of this.model.weights) {
      const gradient = gradients.get(name)!;
      const held = this.moments.get(name) ??
        [new Float64Array(values.length), new Float64Array(values.length)] as const;
      this.moments.set(name, [...held]);
      adamwStep(values, gradient, ...held, this.taken, {
        learningRate,
        beta1,
        beta2,
        epsilon,
        weightDecay: /norm|bias/.test(name) ? 0 : weightDecay,
      });
    }
    return { loss, gradientNorm };
  }
}
