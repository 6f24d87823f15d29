/** The update loop: steps, validation with step 0 competing, and the best step kept. */
import { NonFiniteError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import type { SelectedRows, Selection } from "./components.ts";
import type { TokenPair } from "./localization.ts";
import type { TrainingStore } from "./training_store.ts";
import { diverged, firstNonFinite, type RowValues, SparseUpdate, type UpdateOptions } from "./update.ts";

/** Settings of the loop. */
export interface AmplifyOptions extends UpdateOptions {
  /** Most steps. */
  readonly steps: number;
  /** Steps between two looks at the validation split. */
  readonly validateEvery: number;
  /** End after this many validations in a row without a new best; 0: never. */
  readonly patience?: number;
  /** Never choose step 0, as the reference does (quirk 3). */
  readonly mustChange?: boolean;
  /** Examples that change on the way. */
  readonly rounds?: UpdateRounds;
  /** Where an interrupted update of the same rows goes on from; it then asks again for validations and rounds that were had. */
  readonly store?: TrainingStore;
}

/** What the host knows of an update after `step` steps. */
interface UpdateFacts {
  readonly step: number;
  readonly history: readonly ValidationPoint[];
  readonly best_step: number;
  /** Validations since the best one. */
  readonly fruitless: number;
}

/** Rounds of fresh examples: the first round has the examples given, every later one what the model as it is then yields. */
export interface UpdateRounds {
  /** Steps on the examples of one round. */
  readonly stepsPerRound: number;
  /** Examples of a round, from 2 on; with none the round goes on with those of the round before. */
  examples(round: number): Promise<readonly TokenPair[]>;
}

/** What was validated when. */
export interface ValidationPoint {
  /** Steps done, 0 for the unchanged model. */
  readonly step: number;
  /** On the validation split, from 0 to 1. */
  readonly accuracy: number;
  /** Mean loss over the localization examples before this step; at step 0 that of the unchanged model. */
  readonly loss: number;
  /** Mean divergence from the anchored distributions before this step, in nats, where there is an anchor. */
  readonly divergence?: number | undefined;
}

/** The outcome; the model keeps the best step's rows as overlays, or none when step 0 is best. */
export interface Amplified {
  /** The step whose weights the model has now. */
  readonly bestStep: number;
  /** Each look at the validation split, in order. */
  readonly history: ValidationPoint[];
  /** Row values of the best step; undefined when step 0 is best. */
  readonly values: RowValues | undefined;
  /** Number of values that were allowed to move. */
  readonly trainable: number;
}

/**
 * Updates the selected rows. `validate` scores the model as it is; the first step with the highest score wins, and a
 * step must beat step 0 to be kept.
 *
 * @example One step on one pivot, kept if it validates
 * ```ts
 * import { amplify, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?\nA: 3 + 4 =");
 * const [seven, eight] = ["7", "8"].map((digit) => model.tokenizer.encode(` ${digit}`).at(-1)!);
 * const examples = [{ prefix_ids: ids, desired_token: seven!, undesired_token: eight! }];
 * const selection = new Array<boolean>(1568).fill(true);
 * const options = { objective: "preference", optimizer: "sgd", rate: 0.05, weightDecay: 0, steps: 1, validateEvery: 1 } as const;
 * const { bestStep } = await amplify(model, selection, examples, options, (step) => Promise.resolve(step));
 * console.log(bestStep); // 1: the step that scored best
 * ```
 */
export async function amplify(
  model: Model,
  selection: Selection | readonly SelectedRows[],
  examples: readonly TokenPair[],
  options: AmplifyOptions,
  validate: (step: number) => Promise<number>,
  onProgress?: (step: number, steps: number, loss: number) => void,
): Promise<Amplified> {
  model.revert();
  const history: ValidationPoint[] = [];
  const start = await validate(0);
  let best: { step: number; accuracy: number; values: RowValues | undefined } = {
    step: 0,
    accuracy: options.mustChange ? -Infinity : start,
    values: undefined,
  };
  let trainable: number;
  let fruitless = 0;
  try {
    await model.gpu.fence(); // what the validation held is free for the update
    using update = new SparseUpdate(model, selection, examples, options);
    trainable = update.size;
    const { rounds, store } = options;
    const before = await store?.load();
    const facts = before && before.facts as UpdateFacts;
    if (facts) {
      history.push(...facts.history);
      fruitless = facts.fruitless;
      const values = update.resume(facts.step, before.tensors);
      if (values) best = { ...history.find(({ step }) => step === facts.best_step)!, values };
      for (let round = roundOf(facts.step, rounds); round > 1; round--) {
        const fresh = await rounds!.examples(round);
        if (fresh.length === 0) continue;
        update.use(fresh);
        break;
      }
    }
    for (let step = (facts?.step ?? 0) + 1; step <= options.steps; step++) {
      if (rounds && roundOf(step, rounds) > roundOf(step - 1, rounds)) {
        const fresh = await rounds.examples(roundOf(step, rounds));
        if (fresh.length > 0) update.use(fresh);
      }
      const { loss } = await update.step();
      if (step === 1) history.push({ step: 0, accuracy: start, loss });
      onProgress?.(step, options.steps, loss);
      if (step % options.validateEvery === 0 || step === options.steps) {
        const accuracy = await validate(step).catch((error) => {
          if (!(error instanceof NonFiniteError)) throw error;
          throw diverged(options.rate, step, "what the updated model computes");
        });
        const divergence = await update.divergence();
        history.push({ step, accuracy, loss, ...(divergence !== undefined && { divergence }) });
        if (accuracy > best.accuracy) {
          const values = await update.values();
          const bad = firstNonFinite(values);
          if (bad) throw diverged(options.rate, step, bad);
          best = { step, accuracy, values };
          fruitless = 0;
        } else if (++fruitless === options.patience) break;
      }
      await store?.offer(update.snapshotBytes(best.values), async () => ({
        facts: { step, history, best_step: best.step, fruitless } satisfies UpdateFacts,
        tensors: await update.snapshot(best.values),
      }));
    }
    if (best.values) update.restore(best.values);
  } catch (error) {
    model.revert(); // a failed update leaves nothing half done behind
    throw error;
  }
  if (!best.values) model.revert();
  return { bestStep: best.step, history, values: best.values, trainable };
}

/** The round that a step belongs to, from 1; the unchanged model belongs to the first. */
function roundOf(step: number, rounds: UpdateRounds | undefined): number {
  return rounds ? Math.floor(Math.max(0, step - 1) / rounds.stepsPerRound) + 1 : 1;
}
