/** Frequencies of rotary positions, by wavelengths as in the published releases, for comparison with engine/model/rope.ts. */
import type { Rope } from "../model/rope.ts";

/** Radians per position of each pair of channels. */
export function pairFrequency({ theta, scaling }: Rope, headWidth: number): (pair: number) => number {
  const plainAt = (pair: number) => 1 / Math.pow(theta, 2 * pair / headWidth);
  switch (scaling.type) {
    case "default":
      return plainAt;
    case "linear":
      return (pair) => plainAt(pair) / scaling.factor;
    case "longrope":
      return (pair) => plainAt(pair) / scaling.factors[pair]!;
    case "llama3": {
      const { factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } = scaling;
      const longest = originalPositions / lowFrequencyFactor;
      const shortest = originalPositions / highFrequencyFactor;
      return (pair) => {
        const plain = plainAt(pair);
        const wavelength = 2 * Math.PI / plain;
        if (wavelength < shortest) return plain;
        if (wavelength > longest) return plain / factor;
        const smooth = (originalPositions / wavelength - lowFrequencyFactor) /
          (highFrequencyFactor - lowFrequencyFactor);
        return (1 - smooth) * plain / factor + smooth * plain;
      };
    }
    case "yarn": {
      const { factor, originalPositions, fastTurns, slowTurns, wholePairs } = scaling;
      // theta^(2 i / C) is the wavelength over 2π; solved for the pair i whose wavelength fits `turns` times.
      const pairOf = (turns: number) =>
        headWidth / 2 * Math.log(originalPositions / turns / (2 * Math.PI)) / Math.log(theta);
      let low = pairOf(fastTurns), high = pairOf(slowTurns);
      if (wholePairs) [low, high] = [Math.floor(low), Math.ceil(high)];
      low = Math.max(low, 0);
      high = Math.min(high, headWidth - 1);
      if (high === low) high += 0.001;
      return (pair) => {
        const interpolated = Math.max(0, Math.min(1, (pair - low) / (high - low)));
        return (1 - interpolated) * plainAt(pair) + interpolated * plainAt(pair) / factor;
      };
    }
  }
}
