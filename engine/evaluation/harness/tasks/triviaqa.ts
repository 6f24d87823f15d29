/**
 * TriviaQA without its documents (Joshi et al. 2017): any alias of the answer is right.
 *
 *     Question: What is the capital of France?
 *     Answer: Paris
 */
import { z } from "npm:zod@4.6.7";
import { sameWords } from "../filters.ts";
import { strip } from "../python_text.ts";
import type { GenerationTask } from "../task.ts";

const rows = z.looseObject({
  question: z.string(),
  answer: z.looseObject({ aliases: z.array(z.string()).min(1) }),
});

/** The question mark is added even after another. */
export const triviaqa: GenerationTask<z.infer<typeof rows>> = {
  kind: "generation",
  name: "triviaqa",
  version: 3,
  files: ["triviaqa"],
  rows,
  split: "validation",
  shotSplit: "train",
  shots: 0,
  text: ({ question }) => `Question: ${question}?\nAnswer:`,
  answer: ({ answer }) => answer.aliases[0]!,
  target: ({ answer }) => answer.aliases,
  until: ["\n", ".", ","],
  filters: { remove_whitespace: strip },
  matches: (given, { answer }) => answer.aliases.some((alias) => sameWords(given, alias)),
};
