/** Predictions for GPUs that are not here: the table in the documents, and what its numbers rest on. */
import { assert, assertEquals, assertLess } from "@std/assert";
import {
  countStages,
  predictedMs,
  publishedGpus,
  withReadinessTable,
} from "../../engine/benchmark/readiness.ts";

Deno.test("the table in engine/benchmark/README.md is what the recorded plans give", async () => {
  const text = await Deno.readTextFile(new URL("../../engine/benchmark/README.md", import.meta.url));
  const made = await withReadinessTable(text);
  assertEquals(text, made, "run deno run -P=local engine/benchmark/readiness.ts");
});

Deno.test("stages of a published model are counted without its weights", async () => {
  const counts = new Map((await countStages("gemma-2-2b")).map((stage) => [stage.stage, stage]));
  const parameters = 2_614_341_888, embedding = 256_000 * 2304;
  const token = counts.get("decode 1")!;
  // Every weight is read once for a token, two bytes each; attention and the token's own rows add little.
  assert(token.bytes > 2 * (parameters - embedding) && token.bytes < 2.02 * parameters, `${token.bytes}`);
  assert(token.operations > 2 * (parameters - embedding) && token.operations < 2.02 * parameters);
  // Only where the top layer ends at its keys and values is a prompt less than its tokens.
  const prompt = counts.get("prefill 128")!;
  assertLess(prompt.operations / 128, 2 * (parameters - embedding));
  const [step, prefix] = ["update-step/sparse 16x200", "prefill 512"].map((name) => counts.get(name)!);
  // 950 tokens forward and backward.
  const ratio = step!.operations / prefix!.operations;
  assert(ratio > 3.5 && ratio < 4, `${ratio}`);
});

Deno.test("a prediction is bound by operations, bytes or dispatches, and every readback waits", () => {
  const gpu = { name: "a GPU", tflops: 10, gbps: 100 };
  const none = { stage: "", operations: 0, bytes: 0, dispatches: 0, submits: 1, readbacks: 0 };
  assertEquals(predictedMs({ ...none, operations: 4e12, bytes: 7e9 }, gpu), 1000);
  assertEquals(predictedMs({ ...none, operations: 4e10, bytes: 7e9, dispatches: 100 }, gpu), 100);
  assertEquals(predictedMs({ ...none, dispatches: 1000, readbacks: 2 }, gpu), 25);
  assert(publishedGpus.every(({ tflops, gbps }) => tflops > 1 && gbps > 100));
});
