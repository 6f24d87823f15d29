/** The update of one arm, the circuit's or a control's: the same number of tries for each, the best of them kept. */
import { type Amplified, amplify } from "../circuit/amplify.ts";
import { allRows, type SelectedRows, selectedRows, type Selection } from "../circuit/components.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { overlayRows } from "../circuit/overlay.ts";
import { NonFiniteError } from "../errors.ts";
import { evaluateTask, type Task } from "../evaluation/tasks.ts";
import type { CompletionJournal } from "../model/generate.ts";
import { within } from "./journal.ts";
import { anchorSequences } from "./anchor.ts";
import { loraControl } from "./controls.ts";
import { promptOptions } from "./prompt_settings.ts";
import type { TryRecord } from "./records.ts";
import { roundExamples } from "./rounds.ts";
import type { ControlName } from "./settings/control_names.ts";
import type { RunContext } from "./run_context.ts";

/** One arm of a run. */
export interface Arm {
  /** For progress, events and journals. */
  readonly name: string;
  readonly selection: Selection;
  /** Which control it is; none for the circuit. */
  readonly control?: ControlName | undefined;
  readonly examples: readonly LocalizationExample[];
  readonly journal: CompletionJournal;
  /** Validation accuracy of the unchanged model, where it is known. */
  readonly baseAccuracy?: number | undefined;
}

/** The best try, and what all of them gave. */
export interface UpdatedArm extends Amplified {
  readonly rate: number;
  readonly tries: readonly TryRecord[];
}

/** The rates that an arm tries: its own, then twice and half of it, four times and a quarter, and so on. */
export function triedRates(rate: number, tries: number): number[] {
  return Array.from({ length: tries }, (_, i) => rate * 2 ** (i % 2 ? (i + 1) / 2 : -i / 2));
}

/**
 * Updates the rows of a selection at each rate and keeps the try that validated best, the first of equal ones; the model has its rows
 * afterwards. A rate at which the update diverges is a try that failed.
 * @throws {NonFiniteError} where every try failed.
 */
export async function updateArm(context: RunContext, arm: Arm): Promise<UpdatedArm> {
  const { model, settings: { update: { rate: own, tries: count } } } = context;
  const rate = arm.control === "lora" ? loraControl.rate : own;
  const tries: TryRecord[] = [];
  let best: { rate: number; accuracy: number; result: Amplified } | undefined;
  let base = arm.baseAccuracy;
  for (const [i, tried] of triedRates(rate, count).entries()) {
    const name = count === 1 ? arm.name : `${arm.name}, rate ${Number(tried.toPrecision(6))}`;
    try {
      const result = await updateOnce(context, { ...arm, name, baseAccuracy: base }, tried);
      base ??= result.history[0]!.accuracy;
      const { accuracy } = result.history.find(({ step }) => step === result.bestStep)!;
      tries.push({ rate: tried, best_step: result.bestStep, accuracy });
      if (!best || accuracy > best.accuracy) best = { rate: tried, accuracy, result };
    } catch (error) {
      if (!(error instanceof NonFiniteError) || count === 1 || (i === count - 1 && !best)) throw error;
      tries.push({ rate: tried, best_step: 0, accuracy: null });
    }
  }
  const { result } = best!;
  if (count > 1) {
    model.revert();
    if (result.values) {
      for (const { weight, rows } of movedRows(context, arm)) {
        overlayRows(model, weight, rows, result.values.get(weight)!);
      }
    }
  }
  return { ...result, rate: best!.rate, tries };
}

/** The rows that an arm moves. */
function movedRows({ model }: RunContext, { control, selection }: Arm): readonly SelectedRows[] {
  return control === "full" || control === "lora" ? allRows(model) : selectedRows(model, selection);
}

async function updateOnce(context: RunContext, arm: Arm, rate: number): Promise<Amplified> {
  const { model, settings, folder, split, scoring, progress } = context;
  const { name, examples, journal, baseAccuracy } = arm;
  const { count, stepsPerRound } = settings.rounds;
  const { steps } = settings.update;
  const { anchor, anchorWeight, tries, ...update } = settings.update;
  const kept = anchor === "kl"
    ? { sequences: await anchorSequences(context, examples), weight: anchorWeight }
    : undefined;
  const validation: Task = { name: "validation", problems: split.validation, scoring };
  const own = tries === 1 ? journal : within(journal, `rate ${rate}`);
  // The unchanged model is the same at every rate.
  const stepJournal = (step: number) => within(step === 0 ? journal : own, `step ${step}`);
  progress(name, 0, steps);
  return await amplify(
    model,
    movedRows(context, arm),
    examples,
    {
      ...update,
      ...(kept && { anchor: kept }),
      ...(arm.control === "lora" && {
        lora: { rank: loraControl.rank, seed: settings.seed },
        optimizer: "adamw" as const,
        normalize: false,
      }),
      rate,
      store: folder.trainingState(name),
      mustChange: settings.referenceCompat,
      ...(count > 1 && {
        rounds: { stepsPerRound, examples: (round: number) => roundExamples(context, name, round, own) },
      }),
    },
    async (step) => {
      if (step === 0 && baseAccuracy !== undefined) return baseAccuracy;
      // After the last step its own line has ended.
      const last = (done: number, total: number) => progress(`${name}: last validation`, done, total);
      if (step < steps) progress(name, step, steps, "validation");
      const report = step < steps ? undefined : last;
      const options = { ...promptOptions(settings), journal: stepJournal(step) };
      return (await evaluateTask(model, validation, options, report)).accuracy;
    },
    (step, steps, loss) => progress(name, step, steps, `loss ${loss.toFixed(4)}`),
  );
}
