/** summary.json: what a run found and whether it holds. */
import { countSelected } from "../circuit/components.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { bootstrapGain, flips, mcnemarExact } from "../evaluation/statistics.ts";
import { verdict } from "../evaluation/verdict.ts";
import type { ArmOutcome, ControlSummary, EvaluationRecord, Summary, UpdateRecord } from "./records.ts";
import { controlsOf } from "./controls.ts";
import type { Circuit } from "./selection_stage.ts";
import type { RunContext } from "./run_context.ts";

/** Two records by the same names beside each other. */
function beside<T>(before: Readonly<Record<string, T>>, after: Readonly<Record<string, T>>) {
  return Object.fromEntries(
    Object.keys(before).map((key) => [key, { base: before[key]!, amplified: after[key]! }]),
  );
}

/** Puts a run's results together. */
export function summarize(
  { model, settings, split }: RunContext,
  { selection, record: { controls: arms, ...selected } }: Circuit,
  examples: readonly LocalizationExample[],
  updated: UpdateRecord,
  records: Readonly<Record<string, EvaluationRecord>>,
  seconds: Record<string, number>,
): Summary {
  const [base, amplified] = [records.base!, records.amplified!];
  const { fused } = records;
  const paired = flips(base.correct, amplified.correct);
  const groups = split.test.map(({ templateId }) => templateId);
  const outcome = ({ accuracy, correct, update_norm }: EvaluationRecord): ArmOutcome => ({
    gain: accuracy - base.accuracy,
    ci95: bootstrapGain(base.correct, correct, groups, { seed: settings.seed }),
    update_norm,
    negative_flips: flips(base.correct, correct).negative,
    tries: settings.update.tries,
  });
  const { sentences } = verdict({
    base: base.correct,
    amplified: amplified.correct,
    templates: groups,
    controls: controlsOf(settings.evaluation).map(({ name, control }) => ({
      name,
      family: control,
      correct: records[name]!.correct,
    })),
    abilities: beside(base.correct_abilities, amplified.correct_abilities),
    seed: settings.seed,
  });
  const controls: Record<string, ControlSummary> = {};
  for (const { name } of controlsOf(settings.evaluation)) {
    const control = records[name]!;
    const against = flips(control.correct, amplified.correct);
    controls[name] = {
      ...arms[name]!,
      ...outcome(control),
      amplified: control.accuracy,
      best_step: control.best_step ?? 0,
      other_abilities: control.other_abilities,
      flips_against: against,
      p: mcnemarExact(against.positive, against.negative),
    };
  }
  return {
    model: settings.model.source,
    data: settings.data.file,
    seed: settings.seed,
    localization_examples: examples.length,
    components: countSelected(model.config, selection),
    selection: selected,
    accuracy: {
      base: base.accuracy,
      amplified: amplified.accuracy,
      gain: amplified.accuracy - base.accuracy,
      ci95: bootstrapGain(base.correct, amplified.correct, groups, { seed: settings.seed }),
    },
    circuit: {
      ...selected.circuit,
      ...outcome(amplified),
      p: mcnemarExact(paired.positive, paired.negative),
    },
    verdict: sentences,
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
