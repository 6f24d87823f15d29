/** From float32 to the 16-bit formats that checkpoints are stored in: nearest (ties to even) or stochastic. */
import { type FloatType, widenToFloat32 } from "./safetensors_file.ts";

/** How a value between two numbers of a format is rounded to one of them. */
export const roundings = ["nearest", "stochastic"] as const;

/** `nearest`: ties to even. `stochastic`: up with the probability that makes the mean exact. */
export type Rounding = typeof roundings[number];

/** Values as bytes of a type, rounded to nearest; too large ones become infinity. The opposite of widenToFloat32. */
export function narrowFromFloat32(
  values: Float32Array<ArrayBuffer>,
  dtype: FloatType,
): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new Uint8Array(nearestBits(values, dtype).buffer);
}

/**
 * Values rounded to numbers that `dtype` holds, still as float32. Values too large for it become infinity in either
 * rounding. `random` gives numbers in [0, 1); stochastic rounding draws one for each value that lies between two numbers.
 */
export function roundToType(
  values: Float32Array<ArrayBuffer>,
  dtype: FloatType,
  rounding: Rounding,
  random: () => number,
): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return values.slice();
  const bits = nearestBits(values, dtype);
  const nearest = fromBits(bits, dtype);
  if (rounding === "nearest") return nearest;
  // Both formats are sign and magnitude, so the next bit pattern is the neighbour further from zero.
  const inner = bits.map((pattern, i) =>
    Math.abs(nearest[i]!) > Math.abs(values[i]!) ? pattern - 1 : pattern
  );
  const [near, far] = [fromBits(inner, dtype), fromBits(inner.map((pattern) => pattern + 1), dtype)];
  return nearest.map((rounded, i) => {
    const value = values[i]!;
    if (rounded === value || !Number.isFinite(rounded)) return rounded;
    const share = (value - near[i]!) / (far[i]! - near[i]!); // float64: exact
    return random() < share ? far[i]! : near[i]!;
  });
}

function nearestBits(values: Float32Array<ArrayBuffer>, dtype: "F16" | "BF16"): Uint16Array<ArrayBuffer> {
  if (dtype === "F16") return new Uint16Array(new Float16Array(values).buffer);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const noNumber = (word & 0x7fffffff) > 0x7f800000;
    bits[i] = noNumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

function fromBits(bits: Uint16Array<ArrayBuffer>, dtype: "F16" | "BF16"): Float32Array<ArrayBuffer> {
  return widenToFloat32(new Uint8Array(bits.buffer), dtype);
}
