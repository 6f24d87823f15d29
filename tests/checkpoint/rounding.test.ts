/** Rounding to 16 bits against arithmetic in float64: both neighbours of a value are found by division, not by bits. */
import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { narrowFromFloat32, roundToType } from "../../engine/checkpoint/rounding.ts";
import { widenToFloat32 } from "../../engine/checkpoint/checkpoint.ts";
import { seededRandom } from "../../engine/random.ts";

const formats = {
  F16: { digits: 11, least: -14, largest: 65504 },
  BF16: { digits: 8, least: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
} as const;
type Format = keyof typeof formats;

/** The numbers of a format on both sides of a value, nearer to zero first. */
function neighbours(value: number, format: Format): [number, number] {
  const { digits, least } = formats[format];
  const magnitude = Math.abs(value);
  let exponent = Math.max(least, Math.floor(Math.log2(magnitude || 2 ** least)));
  if (2 ** exponent > magnitude) exponent = Math.max(least, exponent - 1);
  if (2 ** (exponent + 1) <= magnitude) exponent++;
  const step = 2 ** (exponent - digits + 1);
  const lower = Math.floor(magnitude / step) * step;
  return [Math.sign(value) * lower, Math.sign(value) * (lower === magnitude ? lower : lower + step)];
}

/** Half the step between the format's largest numbers: from there on beyond the largest, nearest is infinity. */
const halfStep = (format: Format) =>
  formats[format].largest * 2 ** -formats[format].digits / (2 - 2 ** (1 - formats[format].digits));

function nearest(value: number, format: Format): number {
  const { largest } = formats[format];
  const [near, far] = neighbours(value, format);
  if (Math.abs(value) >= largest + halfStep(format)) return Math.sign(value) * Infinity;
  const [toNear, toFar] = [Math.abs(value - near), Math.abs(far - value)];
  if (toNear !== toFar) return toNear < toFar ? near : far;
  const step = Math.abs(far - near);
  return near === far || (Math.abs(near) / step) % 2 === 0 ? near : far;
}

/** Values of all sizes, halfway cases, and the edges of each format. */
function samples(format: Format): Float32Array<ArrayBuffer> {
  const random = seededRandom(`samples of ${format}`);
  const { digits, least, largest } = formats[format];
  const values = [
    0,
    -0,
    1,
    -1,
    largest,
    -largest,
    2 ** least,
    2 ** (least - digits + 1),
    2 ** (least - digits),
  ];
  values.push(largest + halfStep(format), -largest - halfStep(format), largest + halfStep(format) * 0.99);
  const [lowest, highest] = format === "F16" ? [-28, 17] : [-135, 128];
  for (let i = 0; i < 20000; i++) {
    const value = (1 + random()) * 2 ** (lowest + Math.floor(random() * (highest - lowest)));
    values.push(i % 2 ? value : -value);
  }
  for (let i = 0; i < 2000; i++) { // halfway between two numbers
    const whole = 2 ** (digits - 1) + Math.floor(random() * 2 ** (digits - 1));
    values.push((whole + 0.5) * 2 ** (Math.floor(random() * 20) - 15 - digits + 1));
  }
  return Float32Array.from(values);
}

for (const format of ["F16", "BF16"] as const) {
  const same = (got: Float32Array, expected: readonly number[], values: Float32Array) =>
    got.forEach((value, i) =>
      assert(
        Object.is(value, expected[i]! + 0 === 0 ? value : expected[i]),
        `${values[i]} gave ${value}, not ${expected[i]}`,
      )
    );

  Deno.test(`rounding to nearest in ${format} takes the nearer number, of equals the even one`, () => {
    const values = samples(format);
    const expected = [...values].map((value) => nearest(value, format));
    const rounded = roundToType(values, format, "nearest", Math.random);
    same(rounded, expected, values);
    same(widenToFloat32(narrowFromFloat32(values, format), format), expected, values);
    rounded.forEach((value, i) => {
      if (value === 0) assertEquals(Object.is(value, -0), values[i]! < 0 || Object.is(values[i], -0));
    });
    assert(rounded.some((value) => value === Infinity) && rounded.some((value) => value === 0));
  });

  Deno.test(`stochastic rounding in ${format} takes a neighbour, and numbers of the format stay`, () => {
    const values = samples(format);
    const rounded = roundToType(values, format, "stochastic", seededRandom(1));
    let far = 0;
    rounded.forEach((value, i) => {
      const [low, high] = neighbours(values[i]!, format);
      const allowed = Number.isFinite(nearest(values[i]!, format))
        ? [low, high]
        : [Math.sign(values[i]!) * Infinity];
      assert(allowed.some((one) => one === value), `${values[i]} gave ${value}, not one of ${allowed}`);
      if (value === high && high !== low) far++;
    });
    assert(far > 5000 && far < 15000, `${far} of 22,000 away from zero`);
    const exact = roundToType(values, format, "nearest", Math.random).filter(Number.isFinite);
    assertEquals(roundToType(exact, format, "stochastic", () => 0), exact);
  });

  Deno.test(`stochastic rounding in ${format} is right in the mean, and nearest is not`, () => {
    const step = 2 ** (1 - formats[format].digits); // between numbers from 1 to 2
    const count = 40000;
    for (const share of [0.1, 0.25, 0.5, 0.875]) {
      for (const sign of [1, -1]) {
        const values = new Float32Array(count).fill(sign * (1 + share * step));
        const mean = (rounded: Float32Array) => rounded.reduce((sum, value) => sum + value, 0) / count;
        const random = seededRandom(`${share}/${sign}`);
        // Five standard errors of the mean of `count` draws.
        const tolerance = 5 * step * Math.sqrt(share * (1 - share) / count);
        assertAlmostEquals(mean(roundToType(values, format, "stochastic", random)), values[0]!, tolerance);
        const bias = Math.abs(mean(roundToType(values, format, "nearest", random)) - values[0]!);
        assert(bias > 5 * tolerance, `${bias}`);
      }
    }
  });

  Deno.test(`the same random numbers give the same stochastic rounding in ${format}`, () => {
    const values = samples(format);
    const once = roundToType(values, format, "stochastic", seededRandom("7"));
    assertEquals(roundToType(values, format, "stochastic", seededRandom("7")), once);
    assertNotEquals(roundToType(values, format, "stochastic", seededRandom("8")), once);
  });
}

Deno.test("float32 values stay as they are, in a copy of their own", () => {
  const values = Float32Array.of(0.1, -0, 1e-40, 3e38);
  const rounded = roundToType(values, "F32", "stochastic", Math.random);
  assertEquals(rounded, values);
  rounded[0] = 5;
  assertNotEquals(values[0], 5);
});

Deno.test("NaN stays NaN in both formats", () => {
  const bits = Uint32Array.of(0x7fffffff, 0xffffffff, 0x7f800001);
  for (const format of ["F16", "BF16"] as const) {
    const values = new Float32Array(bits.buffer);
    assert(roundToType(values, format, "nearest", Math.random).every(Number.isNaN), format);
    assert(roundToType(values, format, "stochastic", () => 0).every(Number.isNaN), format);
  }
});
