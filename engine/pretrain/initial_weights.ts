/** Random parameters to begin training with. */
import type { ModelConfig } from "../model/architecture.ts";
import { parameterShapes } from "../model/parameter_shapes.ts";
import { seededRandom } from "../random.ts";

/**
 * Values by parameter name: matrices normal with variance 1 / inputs, so that what comes out is about as large as what
 * goes in, norms with a gain of 1, biases 0. Each parameter has a random stream of its own.
 */
export function initialWeights(config: ModelConfig, seed: number): Map<string, Float32Array<ArrayBuffer>> {
  return new Map(
    parameterShapes(config).map(({ name, shape }) => {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (name.endsWith(".bias")) return [name, values];
      if (shape.length === 1) return [name, values.fill(1 - config.architecture.normOffset)];
      const normal = normalRandom(seededRandom(`${seed}/weights/${name}`));
      const deviation = shape[1]! ** -0.5;
      return [name, values.map(() => deviation * normal())];
    }),
  );
}

/** Standard normal numbers from uniform ones (Box and Muller). */
function normalRandom(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
