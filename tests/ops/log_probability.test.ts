/** Log-probabilities of targets against their twin, and the largest vocabularies. P rows, V vocabulary. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { logProbability } from "../../engine/ops/loss.ts";
import * as twin from "../../engine/reference/ops.ts";
import { gpuTestOfVariants } from "./gpu_fixture.ts";

gpuTestOfVariants("log-probabilities and greedy matches are the twin's, ties included", async (trial) => {
  for (const [rows, width] of [[1, 1], [5, 7], [3, 1000]] as const) {
    const logits = trial.randoms(rows * width, 30);
    const targets = Uint32Array.from({ length: rows }, (_, p) => (p * 3) % width);
    if (width > 1) logits.set([30, 30], (rows - 1) * width); // two largest in the last row
    if (width > 1) targets[rows - 1] = width === 7 ? 1 : 0; // the second of them, or the first
    const picked = trial.unwritten(rows, 2);
    trial.run((plan) =>
      logProbability(plan, trial.upload(logits, rows, width), trial.upload(targets), picked)
    );
    await trial.expect(`${rows} × ${width}`, picked, twin.logProbability(logits, targets, width));
  }
});

gpuTestOfVariants("a vocabulary of 256,000 is summed to its end", async (trial) => {
  const width = 256_000;
  const logits = new Float32Array(width);
  logits[width - 1] = 1;
  const picked = trial.unwritten(1, 2);
  const targets = trial.upload(Uint32Array.of(width - 1));
  trial.run((plan) => logProbability(plan, trial.upload(logits, 1, width), targets, picked));
  const [value, greedy] = await trial.gpu.read(picked);
  assertAlmostEquals(value!, 1 - Math.log(width - 1 + Math.E), 1e-5);
  assertEquals(greedy, 1);
});
