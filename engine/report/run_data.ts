/** What a report reads of a run folder, and how: only summary.json has to be there. Keys are those of the files. */
import { basename, resolve } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { type Pivot, readPivots } from "./pivots.ts";
import { readObject, readRows } from "./run_files.ts";
import { type ComponentValues, layoutSchema, readComponentValues } from "./component_values.ts";

/** JSON has no number for what cannot be computed, such as the loss of an update that diverged: null stands for it. */
const number = z.number().or(z.null().transform(() => NaN));
const beside = z.record(z.string(), z.object({ base: number, amplified: number }));
const interval = z.tuple([number, number]);
const arm = {
  components: number,
  parameters: number,
  parameter_share: number,
  capture_ratio: number,
  gain: number,
  ci95: interval,
  update_norm: number,
  negative_flips: number,
};
const capture = z.looseObject({ draws: number, mean: number, interval, rank_p: number });

const summarySchema = z.looseObject({
  model: z.string(),
  data: z.string(),
  seed: number,
  localization_examples: number,
  components: z.looseObject({ selected: number, total: number, percent: number }),
  circuit: z.looseObject({ ...arm, p: number }),
  verdict: z.array(z.string()),
  selection: z.looseObject({
    method: z.string(),
    random_capture: z.looseObject({ same_composition: capture, same_parameters: capture }).optional(),
  }),
  accuracy: z.looseObject({ base: number, amplified: number, gain: number, ci95: interval }),
  per_template: beside,
  flips: z.looseObject({ positive: number, negative: number, mcnemar_p: number }),
  other_abilities: beside,
  fused: z.looseObject({ dtype: z.string(), accuracy: number }).optional(),
  controls: z.record(
    z.string(),
    z.looseObject({
      ...arm,
      amplified: number,
      best_step: number,
      p: number,
      other_abilities: z.record(z.string(), number),
    }),
  ),
  best_step: number,
  changed_parameters_percent: number,
  seconds: z.record(z.string(), number),
  adapter: z.string(),
});

const maskSchema = z.looseObject({
  layout: layoutSchema.optional(),
  losses: z.array(number),
  selected: z.array(number),
});

const updateSchema = z.looseObject({
  best_step: number,
  history: z.array(z.looseObject({ step: number, accuracy: number, loss: number })),
  tries: z.array(z.looseObject({ rate: number, best_step: number, accuracy: number })).default([]),
});

const configSchema = z.looseObject({
  settings: z.record(z.string(), z.unknown()),
  versions: z.record(z.string(), z.string()),
  model_commit: z.string().optional(),
});

const answerSchema = z.looseObject({
  template_id: z.string(),
  instance_id: z.string(),
  question: z.string(),
  answer: z.string(),
  completion: z.string(),
  correct: z.boolean(),
});

/** A test problem with the answers before and after the update. */
export interface Answer {
  readonly template_id: string;
  readonly instance_id: string;
  readonly question: string;
  readonly answer: string;
  readonly base: { readonly text: string; readonly correct: boolean };
  readonly amplified: { readonly text: string; readonly correct: boolean };
}

/** All that a report says of a run; undefined for what its folder does not hold. */
export interface RunData {
  /** Name of the folder. */
  readonly name: string;
  /** The folder as it was given. */
  readonly folder: string;
  readonly summary: z.infer<typeof summarySchema>;
  readonly config?: z.infer<typeof configSchema> | undefined;
  readonly mask?: z.infer<typeof maskSchema> | undefined;
  readonly update?: z.infer<typeof updateSchema> | undefined;
  readonly components?: ComponentValues | undefined;
  readonly pivots?: readonly Pivot[] | undefined;
  readonly answers?: readonly Answer[] | undefined;
}

/**
 * Reads a run folder.
 * @throws {InputError} for a folder without the summary of one run, or a file in it that is damaged.
 */
export async function readRun(folder: string): Promise<RunData> {
  const summary = await readObject(folder, "summary.json", summarySchema);
  if (!summary) {
    throw new InputError(`"${folder}" holds no summary.json of a finished run; run amplify on it first.`);
  }
  const mask = await readObject(folder, "mask.json", maskSchema);
  const update = await readObject(folder, "update.json", updateSchema);
  return {
    name: basename(resolve(folder)),
    folder,
    summary,
    config: await readObject(folder, "config.json", configSchema),
    mask,
    update,
    components: mask?.layout && await readComponentValues(folder, mask.layout),
    pivots: await readPivots(folder, summary.best_step === 0),
    answers: await readAnswers(folder),
  };
}

async function readAnswers(folder: string): Promise<Answer[] | undefined> {
  const base = await readRows(folder, "answers_base.jsonl", answerSchema);
  // Where no step was kept the amplified model is the base model, and there is one file.
  const amplified = await readRows(folder, "answers_amplified.jsonl", answerSchema) ?? base;
  if (!base || !amplified || base.length !== amplified.length) return undefined;
  return base.map(({ template_id, instance_id, question, answer, completion, correct }, i) => {
    const after = amplified[i]!;
    return {
      template_id,
      instance_id,
      question,
      answer,
      base: { text: completion, correct },
      amplified: { text: after.completion, correct: after.correct },
    };
  });
}
