/** Mask training where the prefixes exceed the cache: kept in part, recomputed for each batch, and the same numbers. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { ExamplePrefixes } from "../../engine/circuit/example_prefixes.ts";
import type { TokenPair } from "../../engine/circuit/localization.ts";
import { evaluateMask } from "../../engine/circuit/mask_pass.ts";
import { learnMask } from "../../engine/circuit/mask_training.ts";
import { Model } from "../../engine/model/model.ts";
import { SharedPrefix } from "../../engine/model/shared_prefix.ts";
import { seededRandom } from "../../engine/random.ts";
import { golden, goldenArchitectures } from "../model/model_fixture.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";

/** Twelve prefixes of 6 to 28 tokens, with `shared` tokens in common. */
function examplesOf(shared: number): TokenPair[] {
  const random = seededRandom(`prefixes ${shared}`);
  const token = () => 3 + Math.floor(random() * 60);
  const sharedPrefix = Array.from({ length: shared }, token);
  return Array.from({ length: 12 }, (_, e) => ({
    prefix_ids: [...sharedPrefix, ...Array.from({ length: 6 + (e * 7) % 23 }, token)],
    desired_token: token(),
    undesired_token: token(),
  }));
}

/** Bytes of a cache of `rows` rows in every layer. */
const cacheOf = ({ config }: Model, rows: number) =>
  rows * config.layers * 8 * config.keyValueHeads * config.headWidth;

for (const name of goldenArchitectures) {
  for (const shared of [0, 9]) {
    gpuTest(
      `${name} learns the same mask from prefixes with ${shared} tokens in common, kept or recomputed`,
      async ({ gpu }) => {
        const { dir } = await golden(name);
        using model = await Model.load(gpu, dir);
        const examples = examplesOf(shared);
        const prefixes = examples.map(({ prefix_ids }) => prefix_ids.slice(0, -1));
        const learn = (model: Model, sharedPrefix?: SharedPrefix) =>
          learnMask(model, examples, {
            epochs: 3,
            batch: 4,
            rate: 0.05,
            strength: 0.02,
            patience: 0,
            ...(sharedPrefix && { sharedPrefix }),
          });
        const whole = await learn(model);
        const counts: number[] = [];
        // Room for all, for some beside a batch's own rows, and for a batch's own rows alone.
        for (const rows of [400, 150, 1]) {
          using small = await Model.load(gpu, dir, { cacheBytes: cacheOf(model, rows) });
          {
            using kept = new ExamplePrefixes(small, prefixes, 4);
            counts.push(kept.kept);
            assertEquals(kept.keepsAll, kept.kept === 12);
          }
          const computed = small.prefillTokens;
          // Computed already: less, or more, than all prefixes have in common.
          using sharedPrefix = new SharedPrefix(
            small,
            examples[0]!.prefix_ids.slice(0, shared + (rows === 1 ? 2 : -2)),
          );
          const learned = await learn(small, shared > 0 ? sharedPrefix : undefined);
          if (rows < 400) assertGreater(small.prefillTokens - computed, model.prefillTokens);
          assertEquals(learned.selected, whole.selected);
          assertClose(`losses with ${rows} rows`, learned.losses, whole.losses, 1e-5);
          assertClose(`mask with ${rows} rows`, learned.mask, whole.mask, 1e-5);
        }
        assertEquals([counts[0], counts[2]], [12, 0]);
        assert(counts[1]! > 0 && counts[1]! < 12, `${counts}`);
      },
    );
  }
}

gpuTest(
  "a small cache holds less on the GPU, and a mask is evaluated in groups that fit it",
  async ({ gpu }) => {
    const { dir } = await golden("olmo2-tiny");
    const examples = examplesOf(9);
    const peaks: number[] = [];
    const evaluations = [];
    let rowBytes = 0;
    for (const rows of [400, 60]) {
      using model = await Model.load(gpu, dir);
      rowBytes = cacheOf(model, 1);
      using small = await Model.load(gpu, dir, { cacheBytes: cacheOf(model, rows) });
      const mask = Float32Array.from(
        { length: small.config.layers * small.componentsPerLayer },
        seededRandom("mask in groups"),
      );
      gpu.memory.peakBytes = gpu.memory.liveBytes;
      const before = gpu.memory.liveBytes;
      evaluations.push(await evaluateMask(small, examples, mask));
      peaks.push(gpu.memory.peakBytes - before);
    }
    const [whole, grouped] = evaluations;
    assertLess(peaks[1]!, peaks[0]! - rowBytes * 100);
    assertClose("loss", [grouped!.loss], [whole!.loss], 1e-5);
    assertClose("differences", grouped!.differences, whole!.differences, 1e-5);
    assertClose("gradient", grouped!.gradient, whole!.gradient, 1e-5);
  },
);
