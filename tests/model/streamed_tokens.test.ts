/** Tokens told as they come: each time more of the same completion, at last all of it, and none of it other than untold. */
import { assert, assertEquals } from "@std/assert";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

gpuTest("tokens are told in order, with waves and stop texts, and change nothing", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel, { tune: false });
  const requests = ["Q: What is 3 + 4?\nA:", "Q: Kim has 24 cups.", "Q: What"].map((text, stream) => ({
    ids: model.tokenizer.encode(text),
    temperature: stream,
    stream,
  }));
  const stopAt = (ids: readonly number[]) => ids.length > 18 ? 18 : undefined;
  // Room for one prompt at a time, so that there are three waves.
  const options = { maxNewTokens: 24, stopTokens: [], stopAt, cacheRows: 1 };
  const told = requests.map((): { ids: readonly number[]; ended: boolean }[] => []);
  const completions = await generate(model, requests, {
    ...options,
    onTokens: (request, ids, ended) => told[request]!.push({ ids: [...ids], ended }),
  });
  assertEquals(completions, await generate(model, requests, options));
  for (const [r, times] of told.entries()) {
    assertEquals(times.filter(({ ended }) => ended).length, 1);
    assertEquals(times.at(-1), { ids: completions[r]!, ended: true });
    times.slice(0, -1).forEach(({ ids }, t) => {
      assert(t === 0 || ids.length > times[t - 1]!.ids.length);
      assertEquals(ids.slice(0, completions[r]!.length), completions[r]!.slice(0, ids.length));
    });
    assert(times.length > 2, "all came at once");
  }
});

gpuTest("a vocabulary says which words of a text it lacks", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel, { tune: false });
  assertEquals(model.tokenizer.unknownWords("Q: Kim has 24 cups, and Berlin? Berlin!"), ["Berlin"]);
});
