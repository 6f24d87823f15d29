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
  };

/** Base and stretching of rotary positions. */
export interface Rope {
  /** Base of the wavelengths. */
  readonly theta: number;
  /** How they are stretched. */
  readonly scaling: RopeScaling;
}

/** Radians per position of each of the C/2 channel pairs: theta^(-2i/C), stretched. */
export function ropeFrequencies({ theta, scaling }: Rope, headWidth: number): Float64Array {
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
    }
  });
}

/** f32 [T, C/2, 2] of (cos, sin), computed in float64: GPUs' own are inexact for large angles. */
export function ropeAngles(rope: Rope, headWidth: number, positions: number): Float32Array<ArrayBuffer> {
  const half = headWidth / 2;
  const frequencies = ropeFrequencies(rope, headWidth);
  const angles = new Float32Array(positions * half * 2);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      angles[(p * half + i) * 2] = Math.cos(p * frequencies[i]!);
      angles[(p * half + i) * 2 + 1] = Math.sin(p * frequencies[i]!);
    }
  }
  return angles;
}
