/** Traces and pivotal tokens on problems of the embedded model, against loops that do one thing at a time. */
import { join } from "node:path";
import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertLess } from "@std/assert";
import type { LocalizationExample } from "../../engine/circuit/localization.ts";
import { branchingPivots, prefixPivots } from "../../engine/circuit/pivots.ts";
import {
  addContrast,
  greedyTraces,
  type ProblemTraces,
  toTrace,
  type Trace,
  traceDefaults,
  type TraceOptions,
} from "../../engine/circuit/traces.ts";
import { loadProblems, type Problem } from "../../engine/evaluation/data.ts";
import { encodePrompt, plainTemplate } from "../../engine/evaluation/prompt.ts";
import { endOfAnswer } from "../../engine/evaluation/tasks.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { embeddedModel, taskData } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

const options: TraceOptions = {
  ...traceDefaults,
  template: plainTemplate,
  maxNewTokens: 48,
  seed: 11,
};

/** One problem of each of 16 hundreds and a bit, so that all templates take part. */
async function someProblems(count: number, stride = 73): Promise<Problem[]> {
  const problems = await loadProblems(join(taskData, "math.jsonl"));
  return problems.filter((_, i) => i % stride === 5).slice(0, count);
}

async function tracesOf(model: Model, count: number): Promise<ProblemTraces[]> {
  return addContrast(model, await greedyTraces(model, await someProblems(count), options), options);
}

/** What has to hold of any example, whatever found it. */
function assertExample(
  model: Model,
  example: LocalizationExample,
  { problem, promptIds, greedy }: ProblemTraces,
  template = plainTemplate,
) {
  assertEquals(example.template_id, problem.templateId);
  assertEquals(example.instance_id, problem.instanceId);
  assertEquals(example.greedy_correct, greedy.correct);
  assertEquals(example.prefix_ids.slice(0, promptIds.length), [...promptIds]);
  assertEquals(example.prefix, model.tokenizer.decode([...example.prefix_ids], { skipSpecialTokens: true }));
  assert(example.prefix.startsWith(template.replace("{question}", problem.question)), example.prefix);
  assert(example.desired_token !== example.undesired_token);
}

gpuTest(
  "greedy and contrasting traces have opposite outcomes, and the first such sample is taken",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel);
    const problems = await someProblems(12);
    const greedy = await greedyTraces(model, problems, options);
    const traces = await addContrast(model, greedy, options);
    assertEquals(traces.map(({ contrast: _, ...rest }) => rest), greedy);
    assert(new Set(greedy.map((entry) => entry.greedy.correct)).size === 2);
    // All ten samples of every problem at once, in a batch of another size.
    const requests = problems.flatMap(({ question }, i) =>
      Array.from({ length: 10 }, (_, sample) => ({
        ids: encodePrompt(model, question, options),
        temperature: greedy[i]!.greedy.correct ? 1.2 : 0.8,
        stream: i * 10 + sample,
      }))
    );
    const all = await generate(model, requests, {
      maxNewTokens: 48,
      seed: 11,
      batch: 50,
      stopAt: endOfAnswer(model, options),
    });
    for (const [i, { problem, greedy, contrast }] of traces.entries()) {
      const samples = await Promise.all(
        all.slice(i * 10, i * 10 + 10).map((ids) => toTrace(model, ids, problem, options)),
      );
      const first = samples.findIndex(({ correct }) => correct !== greedy.correct);
      assertEquals(contrast?.sample ?? -1, first);
      if (!contrast) continue;
      const { sample: _, temperature, ...trace } = contrast;
      assertEquals<Trace>(trace, samples[first]!);
      assertEquals(temperature, greedy.correct ? 1.2 : 0.8);
    }
    const sampleNumbers = traces.flatMap(({ contrast }) => contrast ? [contrast.sample] : []);
    assertGreater(sampleNumbers.length, 3);
    assert(sampleNumbers.some((sample) => sample >= 2), "every contrast was found in the first round");
  },
);

gpuTest("the prefix method takes the first tokens in which the two traces differ", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const traces = await tracesOf(model, 12);
  const found = prefixPivots(model, traces);
  assertEquals([found.forwardTokens, found.forwardTokensPerPosition], [0, 0]);
  const contrasted = traces.filter(({ contrast }) => contrast);
  assertEquals(found.examples.length, contrasted.length);
  assertLess(contrasted.length, traces.length);
  contrasted.forEach((entry, i) => {
    const example = found.examples[i]!;
    const [right, wrong] = entry.greedy.correct
      ? [entry.greedy.ids, entry.contrast!.ids]
      : [entry.contrast!.ids, entry.greedy.ids];
    const at = right.findIndex((id, position) => id !== wrong[position]);
    assertExample(model, example, entry);
    assertEquals([...example.prefix_ids], [...entry.promptIds, ...right.slice(0, at)]);
    assertEquals([example.desired_token, example.undesired_token], [right[at], wrong[at]]);
  });
});

gpuTest("traces of which one begins the other have no pivotal token", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const [problem] = await someProblems(1);
  const trace = (ids: number[], correct: boolean) => ({ ids, text: "", correct });
  const entry = (greedy: number[], contrast: number[]): ProblemTraces => ({
    problem: problem!,
    promptIds: [1, 168],
    greedy: trace(greedy, true),
    contrast: { ...trace(contrast, false), sample: 0, temperature: 1.2 },
  });
  assertEquals(prefixPivots(model, [entry([5, 6], [5, 6, 7]), entry([5, 6, 7], [5, 6])]).examples, []);
  const [example] = prefixPivots(model, [entry([5, 6], [5, 8, 7])]).examples;
  assertEquals([...example!.prefix_ids], [1, 168, 5]);
  assertEquals([example!.desired_token, example!.undesired_token], [6, 8]);
});

/** Branching as the paper tells it: one greedy generation after another until the outcome flips. */
async function branchOneByOne(
  model: Model,
  { problem, promptIds, greedy, contrast }: ProblemTraces,
  options: TraceOptions,
) {
  let continuation = greedy.ids;
  let tokens = 0;
  for (let k = 1; k <= contrast!.ids.length; k++) {
    const begun = contrast!.ids.slice(0, k);
    let completion: number[] = [];
    if (k < contrast!.ids.length) {
      [completion] = await generate(model, [{ ids: [...promptIds, ...begun] }], {
        maxNewTokens: options.maxNewTokens,
        stopAt: endOfAnswer(model, options),
      }) as [number[]];
      tokens += promptIds.length + k + completion.length;
    }
    const { correct } = await toTrace(model, [...begun, ...completion], problem, options);
    if (correct !== greedy.correct) {
      const [ours, theirs] = [continuation[0], contrast!.ids[k - 1]!];
      return { tokens, pair: ours === undefined || ours === theirs ? undefined : { k, ours, theirs } };
    }
    continuation = completion;
  }
  return { tokens, pair: undefined };
}

gpuTest("branching finds the pivots of one generation a position with far fewer tokens", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  // A worked example before the question, as real prompts have some; the temperature makes samples wander before they go wrong.
  const shots = (await loadProblems(join(taskData, "math.jsonl"))).filter((_, i) => i % 240 === 7).slice(
    0,
    1,
  );
  const head = shots.map(({ question, answer }) =>
    `Q: ${question}\nA: ${answer.replace(/\n#### (.*)/, " The answer is $1.")}\n`
  );
  const template = head.join("") + plainTemplate;
  const wandering = { ...options, template, temperatureRight: 1.6, temperatureWrong: 1.6 };
  const traces = await addContrast(
    model,
    await greedyTraces(model, await someProblems(26, 43), wandering),
    wandering,
  );
  const found = await branchingPivots(model, traces, wandering);
  let tokens = 0;
  const expected: LocalizationExample[] = [];
  for (const entry of traces.filter(({ contrast }) => contrast)) {
    const walked = await branchOneByOne(model, entry, wandering);
    tokens += walked.tokens;
    if (!walked.pair) continue;
    const { k, ours, theirs } = walked.pair;
    const prefix_ids = [...entry.promptIds, ...entry.contrast!.ids.slice(0, k - 1)];
    const example = found.examples[expected.length]!;
    assertExample(model, example, entry, template);
    expected.push({
      ...example,
      prefix_ids,
      desired_token: entry.greedy.correct ? ours : theirs,
      undesired_token: entry.greedy.correct ? theirs : ours,
    });
  }
  assertEquals(found.examples, expected);
  assertGreater(expected.length, 3);
  const first = prefixPivots(model, traces).examples.map(({ prefix_ids }) => prefix_ids.join());
  assert(expected.some(({ prefix_ids }) => !first.includes(prefix_ids.join())), "no sample wandered");
  // Walking stops at the flip, the batch does not; even so sharing the prompt takes fewer tokens.
  assertLess(found.forwardTokens, 0.9 * tokens);
  assertLess(found.forwardTokens, found.forwardTokensPerPosition / 3);
  assertGreaterOrEqual(found.forwardTokensPerPosition, tokens);
});
