/** The eight worked examples of Wei et al. 2022 (arXiv 2201.11903, table 20), which gsm8k_cot and GSM-Symbolic are asked with. */
import text from "../../../../fixtures/prompts/reasoned_examples.jsonl" with { type: "text" };

/** In the paper's order. */
export const reasonedExamples: readonly { readonly question: string; readonly answer: string }[] = text
  .trim().split("\n").map((line) => JSON.parse(line));
