/** A run over few-shot prompts: its first two stages compute the shots once, and find what they find without that. */
import { join } from "node:path";
import { assertEquals, assertGreater } from "@std/assert";
import { selectComponents } from "../../engine/circuit/components.ts";
import { learnMask } from "../../engine/circuit/mask_training.ts";
import { describePivots } from "../../engine/circuit/pivot_tokens.ts";
import { branchingPivots } from "../../engine/circuit/pivots.ts";
import { addContrast, greedyTraces } from "../../engine/circuit/traces.ts";
import { loadProblems } from "../../engine/evaluation/data.ts";
import { promptPrefix } from "../../engine/evaluation/prompt.ts";
import { openRun } from "../../engine/run/amplify_run.ts";
import { promptOptions } from "../../engine/run/prompt_settings.ts";
import { localize } from "../../engine/run/stages.ts";
import { jsonLines, taskData, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

gpuTest(
  "identify and the mask compute the shots once, with the same traces, pivots and mask",
  async ({ gpu }) => {
    await using folder = await temporaryFolder();
    await writeSmallTask(folder.path, 4);
    const shots = (await loadProblems(join(taskData, "math.jsonl"))).filter((_, i) => i % 240 === 7).slice(
      0,
      3,
    )
      .map(({ question, answer }) => ({
        question,
        answer: answer.replace(/\n#### (.*)/, " The answer is $1."),
      }));
    const settings = shortRun(folder.path, {
      prompt: { ...shortRun(folder.path).prompt, shots, stop: ["\n\nQ:"] },
      traces: { limit: 24, pivot: "branching", samples: 8, temperatureRight: 1.6, temperatureWrong: 1.6 },
    });
    const stages = new Set<string>();
    const options = {
      out: join(folder.path, "run"),
      tune: false,
      progress: (stage: string) => void stages.add(stage),
    };
    using context = await openRun(gpu, settings, options);
    const { model, split } = context;
    const { examples, circuit: { selection } } = await localize(context);
    const tokens = model.prefillTokens;
    const stored = await jsonLines<{ ids: number[] }>(join(options.out, "traces.jsonl"));

    const trace = { ...promptOptions(settings), ...settings.traces, seed: settings.seed };
    const traces = await addContrast(model, await greedyTraces(model, split.train, trace), trace);
    const pivots = await branchingPivots(model, traces, trace);
    const mask = { ...settings.mask, seed: settings.seed };
    const learned = await learnMask(model, pivots.examples, mask);

    // Pivots are described to people as well, which costs the same with and without the head.
    const before = model.prefillTokens;
    await describePivots(model, pivots.examples);
    const described = model.prefillTokens - before;

    const ids = traces.flatMap(({ greedy, contrast }) =>
      contrast ? [greedy.ids, contrast.ids] : [greedy.ids]
    );
    assertEquals(stored.map((row) => row.ids), ids);
    assertEquals(examples, pivots.examples);
    assertGreater(examples.length, 1);
    assertEquals(selection, [...selectComponents(learned.mask)]);
    // Without the head there is one in the cache of each of: greedy traces, every round of samples, branches, the mask.
    const caches = stages.size;
    assertGreater(caches, 4);
    using sharedPrefix = promptPrefix(model, promptOptions(settings));
    assertGreater(sharedPrefix.ids.length, 80);
    assertEquals(before - tokens - (tokens - described), (caches - 1) * sharedPrefix.ids.length);
  },
);
