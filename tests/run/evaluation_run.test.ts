/** Evaluating and generating as functions: what the commands print is what they return, and wrong settings are refused. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { type EvaluationChoices, runEvaluate } from "../../engine/run/evaluation_run.ts";
import { type GenerationChoices, runGenerate } from "../../engine/run/generation_run.ts";
import { embeddedModel, type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { writeSmallTask } from "./run_fixture.ts";

let work: TemporaryFolder;
Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeSmallTask(work.path, 2);
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

const model = { source: embeddedModel };
const start = { tune: false };

gpuTest("an evaluation returns what it writes, and counts the problems of each task", async ({ gpu }) => {
  const out = join(work.path, "out");
  const given = {
    model,
    data: { file: join(work.path, "math.jsonl") },
    evaluation: { split: "all" },
  } as const;
  const stages = new Set<string>();
  const report = await runEvaluate(gpu, given, {
    ...start,
    out,
    progress: (stage) => void stages.add(stage),
  });
  assertEquals(JSON.parse(await Deno.readTextFile(join(out, "evaluation.json"))), report);
  assertEquals(report.problems, { task: 24, fact: 6 }); // the facts that lie beside the data
  assertEquals([...stages], ["task", "fact"]);
  assertEquals([report.patch, report.rounding, report.seed], [null, "none", 0]);
});

gpuTest("an evaluation of wrong settings is refused before anything is computed", async ({ gpu }) => {
  const file = join(work.path, "math.jsonl");
  const refused = async (given: EvaluationChoices, message: string, ...settings: string[]) => {
    const error = await assertRejects(
      () => runEvaluate(gpu, { model, ...given }, start),
      InputError,
      message,
    );
    assertEquals(error.settings, settings);
  };
  const { dispatches } = gpu;
  await refused({ patch: { rounding: "nearest" } }, "rows of a patch", "patch", "rounding");
  await refused({ evaluation: { abilities: { task: file } } }, 'names "task", which is the main task');
  await refused({ seed: 2 ** 32 }, "Setting seed 4294967296 is not");
  await Deno.writeTextFile(join(work.path, "one.jsonl"), '{"question": "1 + 1?", "answer": "#### 2"}\n');
  await refused({ data: { file: join(work.path, "one.jsonl") } }, "part of", "split");
  assertEquals(gpu.dispatches, dispatches);
});

gpuTest(
  "a generation says how many new tokens the context left, and refuses what makes no sense",
  async ({ gpu }) => {
    const generate = (given: GenerationChoices) => runGenerate(gpu, { model, ...given }, start);
    const prompt = "Q: Kim has 24 cups.";
    const { completions, max_new_tokens } = await generate({
      generation: { prompt, samples: 2, temperature: 1 },
      prompt: { maxNewTokens: 100_000 },
      seed: 3,
    });
    assertEquals(completions.length, 2);
    assert(max_new_tokens > 100 && max_new_tokens < 256, `${max_new_tokens}`);
    assert(completions.every(({ ids }) => ids.length <= max_new_tokens));
    const refused = async (given: GenerationChoices, message: string) => {
      await assertRejects(() => generate(given), InputError, message);
    };
    await refused({ generation: {} }, "either a prompt or a question");
    await refused({ generation: { prompt, question: prompt } }, "either a prompt or a question");
    await refused({ generation: { prompt }, prompt: { chat: true } }, '"chat" means nothing');
    await refused({ generation: { prompt, topK: 1.5 } }, "Setting generation.topK 1.5 is not an integer");
    await refused({ generation: { prompt: Array(300).fill("a").join(" ") } }, "exceeds the context");
  },
);
