/**
 * WinoGrande (Sakaguchi et al. 2020): which of two words fills a gap. Both fill it, and the rest of the sentence is scored after each.
 *
 *     The vase did not fit in the bag because the vase was too big.
 */
import { z } from "npm:zod@4.6.7";
import { strip } from "../python_text.ts";
import type { ChoiceTask } from "../task.ts";

const rows = z.looseObject({
  sentence: z.string().includes("_"),
  option1: z.string(),
  option2: z.string(),
  answer: z.coerce.string().pipe(z.enum(["1", "2"])),
});
type Row = z.infer<typeof rows>;

const contexts = ({ sentence, option1, option2 }: Row) =>
  [option1, option2].map((option) => sentence.slice(0, sentence.indexOf("_")) + option);
const rest = ({ sentence }: Row) => strip(sentence.slice(sentence.indexOf("_") + 1));
const gold = ({ answer }: Row) => Number(answer) - 1;

/** The sentence up to the gap, filled, is the context. */
export const winogrande: ChoiceTask<Row> = {
  kind: "choice",
  name: "winogrande",
  version: 1,
  files: ["winogrande"],
  rows,
  split: "validation",
  shotSplit: "train",
  shots: 0,
  text: (row) => contexts(row)[gold(row)]!,
  answer: rest,
  target: rest,
  contexts,
  choices: (row) => [rest(row), rest(row)],
  gold,
  measures: ["acc"],
};
