/** Frequencies of rotary positions, by wavelengths as in the Llama 3.1 release, for comparison with engine/model/rope.ts. */
import type { Rope } from "../model/rope.ts";

/** Radians per position of each pair of channels. */
export function pairFrequency({ theta, scaling }: Rope, headWidth: number): (pair: number) => number {
  return (pair) => {
    const plain = 1 / Math.pow(theta, 2 * pair / headWidth);
    if (scaling.type === "default") return plain;
    if (scaling.type === "linear") return plain / scaling.factor;
    const { factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } = scaling;
    const wavelength = 2 * Math.PI / plain;
    const longest = originalPositions / lowFrequencyFactor;
    const shortest = originalPositions / highFrequencyFactor;
    if (wavelength < shortest) return plain;
    if (wavelength > longest) return plain / factor;
    const smooth = (originalPositions / wavelength - lowFrequencyFactor) /
      (highFrequencyFactor - lowFrequencyFactor);
    return (1 - smooth) * plain / factor + smooth * plain;
  };
}
