/**
 * HellaSwag (Zellers et al. 2019): which of four endings goes on with a text.
 *
 *     Baking bread: A man puts flour into a bowl. He adds water and stirs the dough.
 */
import { z } from "npm:zod@4.6.7";
import { strip } from "../python_text.ts";
import type { ChoiceTask } from "../task.ts";

const rows = z.looseObject({
  activity_label: z.string(),
  ctx_a: z.string(),
  ctx_b: z.string(),
  endings: z.array(z.string()).min(1),
  label: z.coerce.number().pipe(z.int().min(0)),
});
type Row = z.infer<typeof rows>;

const clean = (text: string) =>
  strip(text).replaceAll(" [title]", ". ").replace(/\[.*?\]/g, "").replaceAll("  ", " ");
/** First letter upper case and, as Python's capitalize has it, the rest lower. */
const capitalized = (text: string) => {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
};
const query = ({ activity_label, ctx_a, ctx_b }: Row) =>
  clean(`${activity_label}: ${ctx_a} ${capitalized(ctx_b)}`);
const endings = (row: Row) => row.endings.map(clean);

/** Texts are cleaned of the markers that WikiHow left in them. */
export const hellaswag: ChoiceTask<Row> = {
  kind: "choice",
  name: "hellaswag",
  version: 1,
  files: ["hellaswag"],
  rows,
  split: "validation",
  shotSplit: "train",
  shots: 0,
  text: query,
  answer: (row) => endings(row)[row.label]!,
  target: ({ label }) => label,
  derived: (row) => ({ query: query(row), choices: endings(row), gold: row.label }),
  choices: endings,
  gold: ({ label }) => label,
  measures: ["acc", "acc_norm"],
};
