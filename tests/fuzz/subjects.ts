/** Every kind of file that is fuzzed. */
import { data } from "./data_subject.ts";
import { config, index, weights } from "./model_subjects.ts";
import { patch } from "./patch_subject.ts";
import { prompt, template, tokenizer } from "./text_subjects.ts";
import { run } from "./run_subject.ts";
import type { Subject } from "./trial.ts";

export const subjects: readonly Subject[] = [
  ...[weights, index, config, tokenizer, template, prompt, data, run, patch],
];
