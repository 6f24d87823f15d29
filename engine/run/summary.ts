/** summary.json: what a run found and whether it holds. */
import { countSelected, type Selection } from "../circuit/components.ts";
import type { Survival } from "../patch/fusion.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { bootstrapGain, flips, mcnemarExact } from "../evaluation/statistics.ts";
import type { EvaluationRecord, UpdateRecord } from "./records.ts";
import type { RunContext } from "./stages.ts";

/** A control beside the amplified model. */
export interface ControlSummary {
  readonly amplified: number;
  readonly gain: number;
  /** The step its own validation chose. */
  readonly best_step: number;
  readonly other_abilities: EvaluationRecord["other_abilities"];
  /** Problems that the circuit's update gets right and the control's wrong, and the other way round. */
  readonly flips_against: { positive: number; negative: number };
  /** McNemar's exact p of these two numbers. */
  readonly p: number;
}

/** The contents of summary.json; accuracies are fractions on the test split. */
export interface Summary {
  readonly model: string;
  readonly data: string;
  readonly seed: number;
  readonly localization_examples: number;
  readonly components: ReturnType<typeof countSelected>;
  readonly accuracy: { base: number; amplified: number; gain: number; ci95: [number, number] };
  readonly per_template: Record<string, { base: number; amplified: number }>;
  readonly flips: { positive: number; negative: number; mcnemar_p: number };
  readonly other_abilities: Record<string, { base: number; amplified: number }>;
  /**
   * What a checkpoint of the model's own 16-bit type holds and scores once the patch is fused into it, rounded to
   * nearest; only where there is a patch and something to round.
   */
  readonly fused?: { dtype: string; survives: Survival; accuracy: number } | undefined;
  readonly controls: Record<string, ControlSummary>;
  readonly best_step: number;
  readonly changed_parameters_percent: number;
  readonly seconds: Record<string, number>;
  readonly adapter: string;
}

/** Puts a run's results together. */
export function summarize(
  { model, settings, split }: RunContext,
  selection: Selection,
  examples: readonly LocalizationExample[],
  updated: UpdateRecord,
  records: Readonly<Record<string, EvaluationRecord>>,
  seconds: Record<string, number>,
): Summary {
  const [base, amplified] = [records.base!, records.amplified!];
  const { fused } = records;
  const paired = flips(base.correct, amplified.correct);
  const groups = split.test.map(({ templateId }) => templateId);
  const controls: Record<string, ControlSummary> = {};
  for (const name of settings.evaluation.controls) {
    const control = records[name]!;
    const against = flips(control.correct, amplified.correct);
    controls[name] = {
      amplified: control.accuracy,
      gain: control.accuracy - base.accuracy,
      best_step: control.best_step ?? 0,
      other_abilities: control.other_abilities,
      flips_against: against,
      p: mcnemarExact(against.positive, against.negative),
    };
  }
  const beside = <T extends Record<string, number>>(before: T, after: T) =>
    Object.fromEntries(
      Object.keys(before).map((key) => [key, { base: before[key]!, amplified: after[key]! }]),
    );
  return {
    model: settings.model.source,
    data: settings.data.file,
    seed: settings.seed,
    localization_examples: examples.length,
    components: countSelected(model.config, selection),
    accuracy: {
      base: base.accuracy,
      amplified: amplified.accuracy,
      gain: amplified.accuracy - base.accuracy,
      ci95: bootstrapGain(base.correct, amplified.correct, groups, { seed: settings.seed }),
    },
    per_template: beside(base.per_template, amplified.per_template),
    flips: { ...paired, mcnemar_p: mcnemarExact(paired.positive, paired.negative) },
    other_abilities: beside(base.other_abilities, amplified.other_abilities),
    ...(fused?.fusion ? { fused: { ...fused.fusion, accuracy: fused.accuracy } } : {}),
    controls,
    best_step: updated.best_step,
    changed_parameters_percent: updated.best_step > 0 ? 100 * updated.trainable / model.parameters : 0,
    seconds,
    adapter: model.gpu.adapterName,
  };
}
