/** Scores of continuations against the logits of whole sequences, whatever the batch and beyond the window. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { score, type ScoreRequest } from "../../engine/model/score.ts";
import * as twin from "../../engine/reference/ops.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

/** What one run of the whole sequence says of a continuation. */
async function expected(model: Model, { context, continuation }: ScoreRequest) {
  const input = [...context, ...continuation].slice(-(model.contextLength + 1)).slice(0, -1);
  const positions = continuation.map((_, i) => input.length - continuation.length + i);
  const { logits } = await model.run(input, { positions });
  return twin.logProbability(logits, continuation, model.config.vocabSize);
}

gpuTest(
  "continuations score what a run of the whole sequence says, in passes of any size",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel, { contextLength: 24 });
    const ids = (count: number, step: number) =>
      Array.from({ length: count }, (_, i) => (7 + step * i) % model.config.vocabSize);
    const requests: ScoreRequest[] = [
      { context: ids(12, 3), continuation: ids(3, 5) },
      { context: ids(12, 3), continuation: ids(1, 1) },
      { context: ids(9, 3), continuation: ids(6, 2) },
      { context: ids(1, 1), continuation: ids(2, 1) },
      { context: ids(30, 3), continuation: ids(5, 4) }, // cut from the left
      { context: ids(3, 3), continuation: ids(24, 4) }, // as long as the window
    ];
    const { logits } = await model.run(ids(12, 3), { positions: [11] });
    requests.push({ context: ids(12, 3), continuation: [logits.indexOf(Math.max(...logits))] });
    const seen: number[] = [];
    const scores = await score(model, requests, { onProgress: (done) => void seen.push(done) });
    assertEquals([seen.at(0), seen.at(-1)], [0, requests.length]);
    for (const [r, request] of requests.entries()) {
      const picked = await expected(model, request);
      request.continuation.forEach((_, i) =>
        assertAlmostEquals(scores[r]!.tokenLogProbabilities[i]!, picked[2 * i]!, 2e-5)
      );
      const sum = request.continuation.reduce((sum, _, i) => sum + picked[2 * i]!, 0);
      assertAlmostEquals(scores[r]!.logProbability, sum, 2e-4);
      assertEquals(scores[r]!.greedy, request.continuation.every((_, i) => picked[2 * i + 1] === 1));
    }
    assert(scores.at(-1)!.greedy);
    for (const batch of [1, 4]) {
      const again = await score(model, requests, { batch });
      again.forEach((one, r) => {
        assertAlmostEquals(one.logProbability, scores[r]!.logProbability, 2e-4);
        assertEquals(one.greedy, scores[r]!.greedy);
      });
    }
  },
);

gpuTest("what cannot be scored is refused", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel, { contextLength: 8 });
  const refused = (context: number[], continuation: number[], message: string) =>
    assertRejects(() => score(model, [{ context, continuation }]), InputError, message);
  await refused([], [1], "at least one token of each");
  await refused([1], [], "at least one token of each");
  await refused([1], Array(9).fill(1), "exceeds the context of 8");
  await refused([1], [model.config.vocabSize], "outside the vocabulary");
});
