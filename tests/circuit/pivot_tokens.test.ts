/** Pivots for people, and circuits by name. */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { selectedNames, selectionLines } from "../../engine/circuit/component_names.ts";
import { describePivots, pivotProbabilities } from "../../engine/circuit/pivot_tokens.ts";
import { InputError } from "../../engine/errors.ts";
import { readConfig } from "../../engine/model/config.ts";
import { Model } from "../../engine/model/model.ts";
import { embeddedModel } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

gpuTest("probabilities of a pivot's tokens are the softmax of the model's logits there", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const texts = ["Q: What is 3 + 4?\nA: 3 + 4 =", "Q: What is 30 + 47?\nA: 30 +"];
  const pairs = texts.map((text, i) => ({
    prefix_ids: model.tokenizer.encode(text),
    desired_token: 20 + i,
    undesired_token: 30 + i,
  }));
  const found = await pivotProbabilities(model, pairs);
  for (const [i, { prefix_ids, desired_token, undesired_token }] of pairs.entries()) {
    const { logits } = await model.run(prefix_ids, { positions: [prefix_ids.length - 1] });
    const highest = Math.max(...logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
    const expected = (id: number) => Math.exp(logits[id]! - highest) / total;
    assertAlmostEquals(found.desired[i]!, expected(desired_token), 1e-5);
    assertAlmostEquals(found.undesired[i]!, expected(undesired_token), 1e-5);
  }
});

gpuTest("the texts of a pivot's tokens join to its prefix, of which the end is kept", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const text = `Q: ${"Kim has 24 cups. ".repeat(30)}How many cups?\nA: 24 +`;
  const prefix_ids = model.tokenizer.encode(text);
  const [id] = model.tokenizer.encode(" 17", { addSpecialTokens: false });
  const pair = { prefix_ids, desired_token: id!, undesired_token: prefix_ids[1]! };
  const [long] = await describePivots(model, [pair]);
  assertEquals(long!.omitted + long!.tokens.length, prefix_ids.length);
  assertEquals(long!.tokens.length, 160);
  assertEquals(text.endsWith(long!.tokens.join("")), true);
  assertEquals(long!.desired.text, model.tokenizer.decode([id!]));
  const [short] = await describePivots(model, [{ ...pair, prefix_ids: prefix_ids.slice(0, 5) }]);
  assertEquals(short!.omitted, 0);
  assertEquals(short!.tokens.join(""), model.tokenizer.decode(prefix_ids.slice(0, 5)));
  const unknown = { ...pair, desired_token: model.config.vocabSize };
  await assertRejects(() => describePivots(model, [unknown]), InputError);
});

Deno.test("a circuit is named component by component, and layer by layer in lines that stay short", async () => {
  const config = await readConfig(embeddedModel);
  const selection = new Array<boolean>(1568).fill(false);
  for (const i of [0, 1, 4, 392 + 7, 392 + 8 + 17]) selection[i] = true;
  assertEquals(selectedNames(config, selection), [
    "layer 0 q-head 0",
    "layer 0 q-head 1",
    "layer 0 k-head 0",
    "layer 1 v-head 1",
    "layer 1 neuron 17",
  ]);
  assertEquals(selectionLines(config, selection), [
    "layer 0: q-heads 0 1, k-head 0",
    "layer 1: v-head 1, neuron 17",
  ]);
  selection.fill(true, 3 * 392 + 8);
  assertEquals(selectionLines(config, selection, 3).at(-1), "layer 3: neurons 0 1 2 … (384)");
});
