/**
 * GSM-Symbolic (Mirzadeh et al. 2024, arXiv 2410.05229): GSM8K's problems with other names and numbers; p1 and p2 have one and two
 * clauses more. Asked with the paper's preamble and eight worked examples, read by the last number.
 *
 *     Q: Nora buys 3 boxes of 12 pencils. How many pencils does she have?
 *     A: Let's think step by step. Each box has 12 pencils, so 3 boxes have 3 * 12 = 36. The final answer is 36.
 */
import { z } from "npm:zod@4.6.7";
import { finalNumber } from "../../scoring.ts";
import { matchOf } from "../filters.ts";
import type { GenerationTask } from "../task.ts";
import { finalAnswer } from "./gsm8k.ts";
import { reasonedExamples } from "./reasoned_examples.ts";

const rows = z.looseObject({ question: z.string(), answer: z.string() });

const variant = (name: string, ...files: string[]): GenerationTask<z.infer<typeof rows>> => ({
  kind: "generation",
  name,
  version: 1,
  files: [name, ...files],
  rows,
  split: "test",
  shotDocs: reasonedExamples,
  shots: 8,
  sampler: "first",
  description: "As an expert problem solver, solve step by step the following mathematical questions.\n\n",
  text: ({ question }) => `Q: ${question}\nA: Let's think step by step.`,
  answer: ({ answer }) => answer.replace("The answer is", "The final answer is"),
  target: ({ answer }) => finalAnswer(answer),
  until: ["Q:"],
  filters: { "last-number": matchOf(/(-?\$?\d[\d,]*(?:\.\d+)?)/g, -1) },
  matches: (given, { answer }) => {
    const number = finalNumber(given);
    return number !== undefined && number === finalNumber(finalAnswer(answer));
  },
});

/** The three difficulties; local files may have the names of the authors' own. */
export const gsmSymbolic = [
  variant("gsm_symbolic", "gsm_symbolic_main", "GSM_symbolic"),
  variant("gsm_symbolic_p1", "GSM_p1"),
  variant("gsm_symbolic_p2", "GSM_p2"),
];
