/** The shared head of prompts: computed once, for all waves and calls, and without a trace in the results. */
import { join } from "node:path";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { loadProblems } from "../../engine/evaluation/data.ts";
import { encodePrompt, plainTemplate, promptPrefix } from "../../engine/evaluation/prompt.ts";
import { evaluateTask, type PromptOptions } from "../../engine/evaluation/tasks.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { fillPrefixCache, layOutPrefixes } from "../../engine/model/prefix_cache.ts";
import { SharedPrefix } from "../../engine/model/shared_prefix.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel, taskData } from "./model_fixture.ts";

const problems = await loadProblems(join(taskData, "math.jsonl"));
const shots = problems.filter((_, i) => i % 240 === 7).slice(0, 3).map(({ question, answer }) => ({
  question,
  answer: answer.replace(/\n#### (.*)/, " The answer is $1."),
}));
const prompt: PromptOptions = { template: plainTemplate, shots, stop: ["\n\nQ:"], maxNewTokens: 48 };
const some = (count: number) => problems.filter((_, i) => i % 73 === 5).slice(0, count);

/** What `work` returns, and the tokens it computed ahead of decoding. */
async function prefilled<T>(model: Model, work: () => Promise<T>): Promise<{ result: T; tokens: number }> {
  const before = model.prefillTokens;
  const result = await work();
  return { result, tokens: model.prefillTokens - before };
}

gpuTest("many waves compute the beginning of their prompts once", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const requests = some(12).map(({ question }) => ({ ids: encodePrompt(model, question, prompt) }));
  const common = promptPrefix(model, prompt).ids.length;
  assertGreater(common, 80);
  const longest = Math.max(...requests.map(({ ids }) => ids.length));
  const options = { maxNewTokens: 12 };
  const waves = { ...options, cacheRows: longest + 40 }; // room for two prompts or so
  const whole = await prefilled(model, () => generate(model, requests, options));
  using nothing = new SharedPrefix(model, []);
  const anew = await prefilled(model, () => generate(model, requests, { ...waves, sharedPrefix: nothing }));
  const once = await prefilled(model, () => generate(model, requests, waves));
  assertEquals(anew.result, whole.result);
  assertEquals(once.result, whole.result);
  assertGreater(anew.tokens, whole.tokens + 3 * common);
  // Waves that part two prompts lose what those two share beyond the head.
  assert(once.tokens >= whole.tokens && once.tokens < whole.tokens + common / 2, `${once.tokens}`);

  // A head made beforehand serves calls one after another, from the second on for nothing.
  using sharedPrefix = promptPrefix(model, prompt);
  const first = await prefilled(model, () => generate(model, requests, { ...waves, sharedPrefix }));
  const second = await prefilled(
    model,
    () => generate(model, requests.toReversed(), { ...waves, sharedPrefix }),
  );
  assertEquals(first.result, whole.result);
  assertEquals(second.result.toReversed(), whole.result);
  assertEquals(second.tokens, first.tokens - sharedPrefix.ids.length);
});

gpuTest(
  "one head serves all tasks of an evaluation",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel);
    const tasks = [some(6), some(14).slice(6)].map((part, i) => (
      { name: `part ${i}`, problems: part, scoring: "number" as const }
    ));
    const evaluate = async (options: PromptOptions) => {
      const results = [];
      for (const task of tasks) results.push((await evaluateTask(model, task, options)).completions);
      return results;
    };
    const without = await prefilled(model, () => evaluate(prompt));
    using sharedPrefix = promptPrefix(model, prompt);
    const withShared = await prefilled(model, () => evaluate({ ...prompt, sharedPrefix }));
    assertEquals(withShared.result, without.result);
    assertEquals(without.tokens - withShared.tokens, sharedPrefix.ids.length);
  },
);

gpuTest(
  "prefixes that leave the shared prefix early, or end inside it, still get their own rows",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel);
    const { ids } = promptPrefix(model, prompt);
    using sharedPrefix = new SharedPrefix(model, ids.slice(0, 40));
    const prefixes = [
      [...ids.slice(0, 40), 11, 12],
      ids.slice(0, 25),
      [...ids.slice(0, 30), 9, 8, 7],
      [1, 5, 9],
      [...ids.slice(0, 40), 11, 13],
      [...ids.slice(0, 30), 9, 8],
    ];
    const layout = layOutPrefixes(prefixes, sharedPrefix);
    assertEquals(layout.rows, 40 + 3 + 3 + 2);
    assertLess(layout.pieces.length, prefixes.length);
    using cache = fillPrefixCache(model, layout, 0);
    const width = 2 * model.config.keyValueHeads * model.config.headWidth;
    const shared = await Promise.all(cache.layers.map((layer) => gpu.read(layer)));
    for (const [p, prefix] of prefixes.entries()) {
      using alone = fillPrefixCache(model, layOutPrefixes([prefix]), 0);
      for (const [l, layer] of alone.layers.entries()) {
        const own = await gpu.read(layer);
        for (const position of prefix.keys()) {
          const row = layout.table[layout.offsets[p]! + position]!;
          const [a, b] = [
            shared[l]!.subarray(row * width, (row + 1) * width),
            own.subarray(position * width),
          ];
          const error = Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
          assert(error < 1e-4, `prefix ${p}, layer ${l}, position ${position}: off by ${error}`);
        }
      }
    }
  },
);
