/**
 * Rotary positions: the angle of each pair of channels at each position, plain or stretched over longer contexts.
 * Legend: C head width, T positions.
 */

/** How frequencies are stretched, by `rope_type` in config.json. */
export type RopeScaling =
  | { readonly type: "default" }
  /** All frequencies divided by `factor`. */
  | { readonly type: "linear"; readonly factor: number }
  /** Low frequencies divided by `factor`, high ones kept, those between blended (Llama 3.1). */
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalPositions: number;
  }
  /**
   * Pairs of channels that turn less than `slowTurns` times over the original context have their frequency divided by
   * `factor`, those that turn more than `fastTurns` times keep it, those between are blended by their index (YaRN,
   * arXiv 2309.00071). `wholePairs` widens the blend to whole indices.
   */
  | {
    readonly type: "yarn";
    readonly factor: number;
    readonly originalPositions: number;
    readonly fastTurns: number;
    readonly slowTurns: number;
    readonly wholePairs: boolean;
  }
  /** Each pair's frequency divided by a factor of its own: [C/2] (LongRoPE, arXiv 2402.13753). */
  | { readonly type: "longrope"; readonly factors: readonly number[] };

/** Base and stretching of rotary positions. */
export interface Rope {
  /** Base of the wavelengths. */
  readonly theta: number;
  /** How they are stretched. */
  readonly scaling: RopeScaling;
  /** Cosine and sine are multiplied by it, so scores by its square; absent for 1. */
  readonly attentionFactor?: number;
  /** Tokens of the longest sequence for which these are the frequencies; absent where any is. */
  readonly longestSequence?: number;
}

/** Radians per position of each of the C/2 channel pairs: theta^(-2i/C), stretched. */
export function ropeFrequencies(rope: Rope, headWidth: number): Float64Array {
  const { theta, scaling } = rope;
  const blend = scaling.type === "yarn" ? yarnBlend(theta, headWidth, scaling) : undefined;
  return Float64Array.from({ length: headWidth / 2 }, (_, i) => {
    const frequency = theta ** (-2 * i / headWidth);
    switch (scaling.type) {
      case "default":
        return frequency;
      case "linear":
        return frequency / scaling.factor;
      case "llama3": {
        const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
        const turns = originalPositions * frequency / (2 * Math.PI); // over the context of the first training
        if (turns < low) return frequency / factor;
        if (turns > high) return frequency;
        const kept = (turns - low) / (high - low);
        return frequency * (kept + (1 - kept) / factor);
      }
      case "yarn": {
        const stretched = blend!(i);
        return frequency * (1 - stretched + stretched / scaling.factor);
      }
      case "longrope":
        return frequency / scaling.factors[i]!;
    }
  });
}

/** How far the frequency of a pair is stretched, from 0 to 1: a ramp over the pairs' indices. */
function yarnBlend(
  theta: number,
  headWidth: number,
  { originalPositions, fastTurns, slowTurns, wholePairs }: Extract<RopeScaling, { type: "yarn" }>,
): (pair: number) => number {
  // The index, a fraction as a rule, of the pair that turns so often over the original context.
  const pairOf = (turns: number) =>
    headWidth * Math.log(originalPositions / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const [from, to] = [pairOf(fastTurns), pairOf(slowTurns)];
  const first = Math.max(wholePairs ? Math.floor(from) : from, 0);
  const last = Math.min(wholePairs ? Math.ceil(to) : to, headWidth - 1);
  // transformers' way around a ramp of no width
  const width = first === last ? 0.001 : last - first;
  return (pair) => Math.min(Math.max((pair - first) / width, 0), 1);
}

/** f32 [T, C/2, 2] of (cos, sin), computed in float64: GPUs' own are inexact for large angles. */
export function ropeAngles(rope: Rope, headWidth: number, positions: number): Float32Array<ArrayBuffer> {
  const half = headWidth / 2;
  const frequencies = ropeFrequencies(rope, headWidth);
  const { attentionFactor = 1 } = rope;
  const angles = new Float32Array(positions * half * 2);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      angles[(p * half + i) * 2] = attentionFactor * Math.cos(p * frequencies[i]!);
      angles[(p * half + i) * 2 + 1] = attentionFactor * Math.sin(p * frequencies[i]!);
    }
  }
  return angles;
}
