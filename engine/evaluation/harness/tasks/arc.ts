/**
 * ARC (Clark et al. 2018): science questions with three to five choices; the choice's text is scored.
 *
 *     Question: Which is a liquid at room temperature?
 *     Answer: water
 */
import { z } from "npm:zod@4.6.7";
import type { ChoiceTask } from "../task.ts";

const rows = z.looseObject({
  question: z.string(),
  choices: z.looseObject({ text: z.array(z.string()).min(1), label: z.array(z.string()).min(1) }),
  answerKey: z.string(),
}).refine(({ choices, answerKey }) => choices.label.includes(answerKey), {
  error: "is none of the labels",
  path: ["answerKey"],
});
type Row = z.infer<typeof rows>;

const gold = ({ choices, answerKey }: Row) => choices.label.indexOf(answerKey);

/** Easy and challenge. */
export const arc = ["arc_easy", "arc_challenge"].map((name): ChoiceTask<Row> => ({
  kind: "choice",
  name,
  version: 1,
  files: [name, "arc"],
  rows,
  split: "test",
  shotSplit: "train",
  shots: 0,
  text: ({ question }) => `Question: ${question}\nAnswer:`,
  answer: (row) => row.choices.text[gold(row)]!,
  target: gold,
  choices: ({ choices }) => choices.text,
  gold,
  measures: ["acc", "acc_norm"],
}));
