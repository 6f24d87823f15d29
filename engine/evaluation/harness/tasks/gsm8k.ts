/**
 * GSM8K, grade-school word problems (Cobbe et al. 2021), and the same asked with worked examples of reasoning.
 *
 *     Question: Nora buys 3 boxes of 12 pencils. How many pencils does she have?
 *     Answer: 3*12 = <<3*12=36>>36
 *     #### 36
 */
import { z } from "npm:zod@4.6.7";
import { numberFilters, sameNumberText } from "../filters.ts";
import type { GenerationTask } from "../task.ts";
import { reasonedExamples } from "./reasoned_examples.ts";

const rows = z.looseObject({ question: z.string(), answer: z.string() });
type Row = z.infer<typeof rows>;

const ends = ["</s>", "<|im_end|>"];

/** Five examples from the training part. */
export const gsm8k: GenerationTask<Row> = {
  kind: "generation",
  name: "gsm8k",
  version: 3,
  files: ["gsm8k"],
  rows,
  split: "test",
  shotSplit: "train",
  shots: 5,
  text: ({ question }) => `Question: ${question}\nAnswer:`,
  answer: ({ answer }) => answer,
  target: ({ answer }) => answer,
  until: ["Question:", ...ends],
  filters: numberFilters(/#### (-?[0-9.,]+)/g),
  matches: (given, { answer }) => sameNumberText(given, answer),
};

/** Eight fixed examples that reason in words. Of a row the target is the number after `####`. */
export const gsm8kChainOfThought: GenerationTask<Row> = {
  ...gsm8k,
  name: "gsm8k_cot",
  files: ["gsm8k_cot", "gsm8k"],
  shots: 8,
  sampler: "first",
  shotDocs: reasonedExamples,
  text: ({ question }) => `Q: ${question}\nA:`,
  answer: ({ answer }) => answer,
  target: ({ answer }) => finalAnswer(answer),
  until: ["Q:", ...ends],
  filters: numberFilters(/The answer is (-?[0-9.,]+)./g),
  matches: (given, { answer }) => sameNumberText(given, finalAnswer(answer)),
};

/** What follows the last `####`. */
export function finalAnswer(answer: string): string {
  return answer.split("####").at(-1)!.trim();
}
