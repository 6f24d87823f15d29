/** Generation on the embedded model: results hang on nothing but the request. */
import { join } from "node:path";
import { assertEquals, assertGreater, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { generate, type GenerationRequest } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

interface GreedyCase {
  readonly question: string;
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
  readonly text: string;
}

const cases: GreedyCase[] = JSON.parse(await Deno.readTextFile(join(embeddedModel, "greedy_cases.json")));

const six = cases.filter((_, i) => i % 4 === 0).map(({ prompt_ids: ids }) => ({ ids }));

gpuTest("one slot after another generates the ids of six slots at once", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const alone = await generate(model, six, { maxNewTokens: 20, batch: 1 });
  const together = await generate(model, six, { maxNewTokens: 20, batch: 6 });
  const crowded = await generate(model, six, { maxNewTokens: 20, batch: 4 });
  assertEquals(alone, together);
  assertEquals(crowded, together);
  assertEquals(alone, cases.filter((_, i) => i % 4 === 0).map(({ greedy_ids }) => greedy_ids.slice(0, 20)));
});

gpuTest("samples hang on seed and stream alone, not on batch or order", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const requests: GenerationRequest[] = six.map(({ ids }, i) => ({
    ids,
    temperature: 1.2,
    stream: 100 + i,
    ...(i === 2 && { topK: 5 }),
    ...(i === 3 && { topP: 0.8 }),
  }));
  const draw = (chosen: readonly GenerationRequest[], seed: number, batch: number) =>
    generate(model, chosen, { maxNewTokens: 20, seed, batch });
  const first = await draw(requests, 7, 6);
  assertEquals(await draw(requests, 7, 6), first);
  assertEquals(await draw(requests, 7, 2), first);
  assertEquals((await draw(requests.toReversed(), 7, 3)).toReversed(), first);
  assertEquals(await draw([requests[4]!], 7, 1), [first[4]]);
  assertNotEquals(await draw(requests, 8, 6), first);
  const moved = requests.map((request) => ({ ...request, stream: request.stream! + 50 }));
  assertNotEquals(await draw(moved, 7, 6), first);
});

gpuTest("a request without a stream of its own draws from the one of its index", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const { ids } = six[0]!;
  const bare = Array.from({ length: 4 }, () => ({ ids, temperature: 4 }));
  const drawn = await generate(model, bare, { maxNewTokens: 16, seed: 3 });
  const named = bare.map((request, i) => ({ ...request, stream: 3 - i }));
  assertEquals((await generate(model, named, { maxNewTokens: 16, seed: 3 })).toReversed(), drawn);
  assertGreater(new Set(drawn.map((tokens) => tokens.join())).size, 1);
});

gpuTest("stopAt keeps as many tokens as it says and frees the slot early", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const options = { maxNewTokens: 128, stopTokens: [] };
  const decoded = async (work: () => Promise<number[][]>) => {
    const before = model.decodedTokens;
    return { ids: await work(), tokens: model.decodedTokens - before };
  };
  const whole = await decoded(() => generate(model, six.slice(0, 2), options));
  assertEquals(whole.ids.map(({ length }) => length), [128, 128]);
  const cut = await decoded(() =>
    generate(model, six.slice(0, 2), {
      ...options,
      stopAt: (ids) => ids[0] === whole.ids[0]![0] ? 3 : ids.length >= 20 ? 20 : undefined,
    })
  );
  assertEquals(cut.ids, [whole.ids[0]!.slice(0, 3), whole.ids[1]!.slice(0, 20)]);
  assertLess(cut.tokens, whole.tokens / 2);
  // Sequences at their limit before the first look are cut as well: when anyone looks decides nothing.
  const short = await generate(model, six.slice(0, 2), { maxNewTokens: 8, stopTokens: [], stopAt: () => 3 });
  assertEquals(short, whole.ids.map((ids) => ids.slice(0, 3)));
});

gpuTest("positions that prompts share are computed once", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const head = cases[0]!.prompt_ids;
  const prompts = [head, [...head, 11], [...head, 11, 158, 7], [...head, 12, 158], [1, 5], head];
  // The last token of a prompt is decoded, not prefilled; of the rest every distinct beginning counts once.
  const beginnings = new Set(
    prompts.flatMap((ids) => ids.slice(0, -1).map((_, i) => ids.slice(0, i + 1).join())),
  );
  const before = model.prefillTokens;
  const shared = await generate(model, prompts.map((ids) => ({ ids })), { maxNewTokens: 6 });
  assertEquals(model.prefillTokens - before, beginnings.size);
  assertLess(beginnings.size, head.length + 5);
  for (const [i, ids] of prompts.entries()) {
    assertEquals((await generate(model, [{ ids }], { maxNewTokens: 6 }))[0], shared[i]);
  }
});

gpuTest("settings that make no sense are refused", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const ids = [1, 168];
  const refused: [GenerationRequest, string][] = [
    [{ ids: [] }, "no tokens"],
    [{ ids: [1, 169] }, "169"],
    [{ ids: [1, -1] }, "-1"],
    [{ ids: Array(250).fill(1) }, "250"],
    [{ ids, temperature: -1 }, "-1"],
    [{ ids, temperature: NaN }, "NaN"],
    [{ ids, topP: 0 }, "Top-p 0"],
    [{ ids, topK: -3 }, "-3"],
    [{ ids, topK: 1.5 }, "Top-k 1.5 is not an integer from 0 to 4294967295."],
    [{ ids, topK: 2 ** 32 }, "4294967296"],
    [{ ids, temperature: Infinity }, "Infinity"],
  ];
  for (const [request, part] of refused) {
    await assertRejects(() => generate(model, [request], { maxNewTokens: 8 }), InputError, part);
  }
  const options = [{ seed: 2 ** 32 }, { seed: -1 }, { seed: 0.5 }, { maxNewTokens: 0 }, {
    maxNewTokens: 2.5,
  }];
  for (const wrong of options) {
    const said = String(Object.values(wrong)[0]);
    await assertRejects(() => generate(model, [{ ids }], { maxNewTokens: 8, ...wrong }), InputError, said);
  }
});
