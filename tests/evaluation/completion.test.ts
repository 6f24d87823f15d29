/** Where completions end: texts cut exactly, tokens to the last one that holds any of what is kept. */
import { assert, assertEquals } from "@std/assert";
import { isCorrect } from "../../engine/evaluation/scorers.ts";
import { completionText, endAtStop, endOfAnswer } from "../../engine/evaluation/tasks.ts";
import type { Model } from "../../engine/model/model.ts";

const pieces = [" 3", " +", " 4", " =", " 7", ".", " The", " answer", " is", "\n", "\nQ", ": Tom has 9"];

/** A model that is nothing but a tokenizer of these pieces. */
const model = {
  tokenizer: { decode: (ids: number[]) => ids.map((id) => pieces[id]).join("") },
} as unknown as Model;
const sum = [0, 1, 2, 3, 4, 5]; // " 3 + 4 = 7."
const answer = [6, 7, 8, 4, 5]; // " The answer is 7."
const onward = [9, 10, 11]; // "\n\nQ: Tom has 9"
const few = { stop: ["\n\nQ:"] };

Deno.test("a stop text cuts the text exactly, in the middle of a token too", () => {
  const ids = [...sum, ...onward];
  assertEquals(endAtStop(model, few.stop)(ids), 6);
  assertEquals(completionText(model, ids, few), " 3 + 4 = 7.");
  assertEquals(endAtStop(model, ["om"])(ids), 9);
  assertEquals(completionText(model, ids.slice(0, 9), { stop: ["om"] }), " 3 + 4 = 7.\n\nQ: T");
  assertEquals(endAtStop(model, ["Tom", " 4", "Q"])(ids), 2);
  assertEquals(endAtStop(model, [" 3"])(ids), 0);
  assertEquals(endAtStop(model, ["none such"])(ids), undefined);
  assertEquals(completionText(model, ids, {}), " 3 + 4 = 7.\n\nQ: Tom has 9");
});

Deno.test("a numeric trace ends at its answer sentence or at a stop text, whichever comes first", () => {
  assertEquals(endOfAnswer(model, few)([...sum, ...answer, ...onward]), 11);
  assertEquals(endOfAnswer(model, few)([...sum, ...onward, ...answer]), 6);
  assertEquals(endOfAnswer(model, few)([...sum, ...answer]), undefined); // a decimal might follow
  assertEquals(endOfAnswer(model, {})([...sum, ...onward]), undefined);
});

Deno.test("numbers of a next question that a model makes up do not score", async () => {
  const problem = { id: 0, question: "?", answer: "#### 7", templateId: "a", instanceId: "0" };
  const right = (ids: number[], options: { stop?: string[] }) =>
    isCorrect(completionText(model, ids, options), problem, "number", {});
  assert(await right([...sum, ...onward], few));
  assert(await right([...sum, ...onward], {}));
  assert(await right([...sum, ...answer, ...onward], {}));
});
