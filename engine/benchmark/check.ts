/** Checks before timing: kernels against their float64 twins, fast paths against slow ones. */
import type { Gpu } from "../gpu/gpu.ts";
import { seededRandom } from "../random.ts";
import type { Expectation } from "./kernel_case.ts";

/** A wrong result. */
export class CheckError extends Error {}

/** Error allowed between two ways to the same gradient, over its largest value. */
const gradientLimit = 1e-3;

/** The largest error over a few hundred elements, first and last included, relative to the largest expected value. */
export async function check(gpu: Gpu, what: string, expectation: Expectation): Promise<number> {
  const { output } = expectation;
  const random = seededRandom(what);
  const places = [0, output.elements - 1];
  while (places.length < Math.min(300, output.elements)) places.push(Math.floor(random() * output.elements));
  if ("accepts" in expectation) {
    const values = await gpu.readU32(output);
    const bad = places.find((at) => !expectation.accepts(at, values[at]!));
    if (bad === undefined) return 0;
    throw new CheckError(
      `${what} is wrong: element ${bad} is ${values[bad]}, which its float64 twin rejects.`,
    );
  }
  const values = await gpu.read(output);
  const expected = places.map(expectation.expected);
  const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errors = expected.map((value, i) => Math.abs(values[places[i]!]! - value) / size);
  const worst = errors.findIndex((error) => !(error <= expectation.tolerance)); // NaN fails too
  if (worst < 0) return errors.reduce((a, b) => Math.max(a, b), 0);
  throw new CheckError(
    `${what} is wrong: element ${places[worst]} is ${values[places[worst]!]}, its float64 twin says ${
      expected[worst]
    } (error ${errors[worst]!.toExponential(1)} of the largest, ${expectation.tolerance} is allowed).`,
  );
}

/** Largest difference of two gradients over the largest value of `expected`; throws above 1e-3 of it. */
export function gradientError(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [size, worst] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    size = Math.max(size, Math.abs(expected[i]!)); // NaN stays
    worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  }
  if (size > 0 && worst <= gradientLimit * size) return worst / size;
  throw new CheckError(`${what}: its gradient is off by ${worst}, with values up to ${size}.`);
}
