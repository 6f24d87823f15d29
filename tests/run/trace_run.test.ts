/** Traces as the command asks for them. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { runTrace } from "../../engine/run/trace_run.ts";
import { embeddedModel } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

gpuTest("a question is traced as a task asks it, a prompt as it is", async ({ gpu }) => {
  const model = { source: embeddedModel };
  const options = { tune: false };
  const question = "What is 3 + 4?";
  const asked = await runTrace(gpu, { model, traced: { question } }, options);
  const given = await runTrace(gpu, { model, traced: { prompt: `Q: ${question}\nA:` } }, options);
  assertEquals(asked, given);
  assertEquals(asked.tokens.at(-1)!.text, ":");
  const short = await runTrace(gpu, { model, traced: { question, last: 2, top: 1 } }, options);
  assertEquals(short.tokens.map(({ expected }) => expected.length), [1, 1]);
  await assertRejects(
    () => runTrace(gpu, { model, traced: {} }, options),
    InputError,
    "prompt or a question",
  );
  const both = { prompt: "Q", question };
  await assertRejects(() => runTrace(gpu, { model, traced: both }, options), InputError);
  const long = { prompt: "cups ".repeat(2000) };
  await assertRejects(() => runTrace(gpu, { model, traced: long }, options), InputError, "context");
});
