/** Component masks by desiderata (DCM): the schedule of method section 2. L layers, P components a layer. */
import { InputError, NonFiniteError } from "../errors.ts";
import { seededRandom, shuffled } from "../random.ts";
import { Plan } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import { firstNonFinite, nonFiniteActivations } from "../model/finite.ts";
import type { Model } from "../model/model.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { maskStep, type MaskTraining } from "../ops/component_mask.ts";
import type { TokenPair } from "./localization.ts";
import { OneTokenMaskPass } from "./mask_pass.ts";
import type { TrainingStore } from "./training_store.ts";

/** Settings of mask training; the defaults are the reference's, with its typical L1 strength. */
export interface MaskOptions {
  /** Adam's learning rate. */
  readonly rate: number;
  /** Strength of the L1 term. */
  readonly strength: number;
  /** Passes over all examples. */
  readonly epochs: number;
  /** Examples a step. */
  readonly batch: number;
  /** The rate is multiplied by `decay` every `decayEvery` epochs. */
  readonly decay: number;
  /** Steps between two decays of the rate. */
  readonly decayEvery: number;
  /** Initial value of every component: 1 doubles it, 0.5 leaves it alone, 0 ablates it. */
  readonly initial: number;
  /**
   * Epochs over which training must have settled before it stops, 50 steps at least; 0 never stops. Settled: the number selected
   * stood still, and the mean loss differs from that of as many steps before by less than 1 % of all that it moved.
   */
  readonly patience: number;
  /** Stop as the reference does: once the number selected has not changed for `patience` of an epoch's batches, be it one step. */
  readonly referenceStop: boolean;
  /** Of the order of examples. */
  readonly seed: number;
  /** Score every position on all pairs of its batch, as the reference does (quirk 1). */
  readonly crossPairs: boolean;
  /** What the examples' prefixes begin with, computed already with the model as it is (promptPrefix). */
  readonly sharedPrefix?: SharedPrefix;
  /** Where an interrupted training of the same mask goes on from. */
  readonly store?: TrainingStore;
}

/** What the host knows of a training after `step` steps: state [4] as maskStep keeps it. */
interface MaskFacts {
  readonly step: number;
  readonly state: readonly number[];
}

/** See MaskOptions. */
export const maskDefaults: MaskOptions = {
  rate: 5e-3,
  strength: 0.01,
  epochs: 50,
  batch: 8,
  decay: 0.9,
  decayEvery: 5,
  initial: 1,
  patience: 1,
  referenceStop: false,
  seed: 0,
  crossPairs: false,
};

/** The reference's patience, for `referenceStop`: a share of an epoch. */
export const referencePatience = 0.2;

/** Why mask training ended: it had settled, its epochs were done, or it stopped as the reference does. */
export type MaskEnding = "settled" | "epochs" | "reference stop";

/** A learned mask and how it came about. */
export interface LearnedMask {
  /** [L · P], each in [0, 1]. */
  readonly mask: Float32Array<ArrayBuffer>;
  /** Steps done. */
  readonly steps: number;
  /** Passes over all examples. */
  readonly epochs: number;
  /** Whether training ended before all epochs were done. */
  readonly stoppedEarly: boolean;
  /** Why it ended. Unless `settled`, the mask may still have been moving. */
  readonly ended: MaskEnding;
  /** Per step: loss with the L1 term, before the step, and the number selected after it. */
  readonly losses: number[];
  /** Selected components after each step. */
  readonly selected: number[];
}

const betas = [0.9, 0.999] as const;
const epsilon = 1e-8;
const mostStepsPerSubmit = 16;
/** Fewer steps say nothing about settling, however few examples there are. */
const leastWindow = 50;
/** Examples that are looked at for what is wrong with the model itself, where training diverged. */
const mostLookedAt = 8;
/** Share of the loss's whole movement that counts as standing still. */
const stillShare = 0.01;

/** Whether the last `window` steps stood still against the `window` before; `history` holds (loss, selected) of each step. */
export function hasSettled(history: ArrayLike<number>, window: number, initial: number): boolean {
  const steps = history.length / 2;
  if (steps < 2 * window) return false;
  const last = history[2 * steps - 1]!;
  if (last === initial) return false;
  for (let step = steps - window - 1; step < steps; step++) if (history[2 * step + 1] !== last) return false;
  const meanLoss = (from: number) => {
    let sum = 0;
    for (let step = from; step < from + window; step++) sum += history[2 * step]!;
    return sum / window;
  };
  // Means over windows from the first to the last: how far the loss has come, without the noise of batches.
  const now = meanLoss(steps - window);
  let [low, high] = [now, now];
  for (let from = 0; from + window <= steps; from += window) {
    low = Math.min(low, meanLoss(from));
    high = Math.max(high, meanLoss(from));
  }
  return Math.abs(now - meanLoss(steps - 2 * window)) <= stillShare * (high - low);
}

/**
 * Learns a mask on localization examples. Whether it has settled is looked at every 16 steps.
 *
 * @example Learn for one epoch
 * ```ts
 * import { Gpu, learnMask, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?\nA: 3 + 4 =");
 * const [seven, eight] = ["7", "8"].map((digit) => model.tokenizer.encode(` ${digit}`).at(-1)!);
 * const examples = [{ prefix_ids: ids, desired_token: seven!, undesired_token: eight! }];
 * const { mask, losses } = await learnMask(model, examples, { epochs: 1 });
 * console.log(mask.length, losses);
 * ```
 */
export async function learnMask(
  model: Model,
  examples: readonly TokenPair[],
  options: Partial<MaskOptions> = {},
  onProgress?: (step: number, steps: number, selected: number) => void,
): Promise<LearnedMask> {
  if (examples.length === 0) {
    throw new InputError("No localization examples to learn a mask from; use more problems.");
  }
  const settings = { ...maskDefaults, ...options };
  const { gpu } = model;
  const batchSize = Math.min(settings.batch, examples.length);
  const stepsPerEpoch = Math.ceil(examples.length / batchSize);
  const steps = stepsPerEpoch * settings.epochs;
  const patience = settings.patience > 0 && settings.referenceStop
    ? Math.max(1, Math.ceil(settings.patience * stepsPerEpoch))
    : 0xffffffff;
  const window = settings.patience > 0 && !settings.referenceStop
    ? Math.max(leastWindow, Math.ceil(settings.patience * stepsPerEpoch))
    : Infinity;
  onProgress?.(0, steps, settings.initial > 0.5 ? model.config.layers * model.componentsPerLayer : 0);
  await gpu.fence(); // what earlier stages held is free for this one
  using pass = new OneTokenMaskPass(model, examples, batchSize, settings.crossPairs, settings.sharedPrefix);
  // Recomputed prefixes serve the step they were computed for.
  const stepsPerSubmit = pass.prefixes.keepsAll ? mostStepsPerSubmit : 1;
  const count = pass.mask.elements;
  const initial = settings.initial > 0.5 ? count : 0;
  gpu.write(pass.mask, new Float32Array(count).fill(settings.initial));
  const training: MaskTraining = {
    mask: pass.mask,
    gradient: pass.gradient,
    moments: gpu.upload(new Float32Array(count * 2), [count, 2], "mask moments", { part: "mask" }),
    step: gpu.tensor([4], "mask step", { part: "mask" }),
    state: gpu.upload(Uint32Array.of(0, initial, 0, 0), [4], "mask state", { part: "mask" }),
    history: gpu.tensor([steps, 2], "mask history", { part: "mask" }),
  };
  try {
    using plan = new Plan(gpu, "mask step");
    const results = pass.record(plan);
    maskStep(plan, training, results, { strength: settings.strength, patience, initial, betas, epsilon });
    const random = seededRandom(`${settings.seed}/mask`);
    using inputs = new StepInputs(gpu, [...pass.inputs, training.step], stepsPerSubmit);
    let step = 0;
    let state = Uint32Array.of(0, count, 0, 0);
    const before = await settings.store?.load();
    const resumed = before && before.facts as MaskFacts;
    if (resumed) {
      const [mask, moments, history] = before.tensors;
      gpu.write(pass.mask, mask!);
      gpu.write(training.moments, moments!);
      gpu.write(training.history, history!);
      state = Uint32Array.from(resumed.state);
      gpu.write(training.state, state);
    }
    let settled = false;
    for (let epoch = 0; epoch < settings.epochs && !state[0] && !settled; epoch++) {
      const rate = settings.rate * settings.decay ** Math.floor(epoch / settings.decayEvery);
      const order = shuffled(examples.map((_, e) => e), random);
      for (let at = 0; at < order.length && !state[0] && !settled; at += batchSize) {
        step++;
        if (resumed && step <= resumed.step) continue;
        const constants = Float32Array.of(rate, 1 - betas[0] ** step, 1 - betas[1] ** step, 0);
        inputs.add([...pass.encode(order.slice(at, at + batchSize)), constants]);
        if (inputs.length < stepsPerSubmit && step < steps) continue;
        const waiting = inputs.length;
        plan.run(waiting, inputs.upload());
        state = await gpu.readU32(training.state);
        onProgress?.(state[3]!, steps, state[1]!);
        if (step >= 2 * window && step % mostStepsPerSubmit === 0) {
          settled = hasSettled(await gpu.read(training.history, 0, step * 2), window, initial);
        }
        if (settled) break; // no snapshot: whoever goes on from one trains on
        const done = step;
        await settings.store?.offer(4 * (3 * count + 2 * done), async () => ({
          facts: { step: done, state: [...state] } satisfies MaskFacts,
          tensors: await Promise.all([
            gpu.read(pass.mask),
            gpu.read(training.moments),
            gpu.read(training.history, 0, done * 2),
          ]),
        }));
      }
    }
    const done = (await gpu.readU32(training.state))[3]!;
    const history = await gpu.read(training.history, 0, done * 2);
    const mask = await gpu.read(pass.mask);
    // A clamp may turn NaN into a number, so the losses are asked, too.
    const bad = history.findIndex((value, i) => i % 2 === 0 && !Number.isFinite(value));
    if (bad >= 0 || !mask.every(Number.isFinite)) {
      const where = bad >= 0 ? `the loss of step ${bad / 2 + 1}` : "the mask";
      for (const { prefix_ids } of examples.slice(0, mostLookedAt)) {
        if (await firstNonFinite(model, prefix_ids)) throw await nonFiniteActivations(model, prefix_ids);
      }
      throw new NonFiniteError(
        `Mask training diverged at rate ${settings.rate}: ${where} is NaN or infinite; use a smaller rate.`,
        "mask-rate",
      );
    }
    return {
      mask,
      steps: done,
      epochs: Math.ceil(done / stepsPerEpoch),
      stoppedEarly: done < steps,
      ended: settled ? "settled" : done < steps ? "reference stop" : "epochs",
      losses: [...history.filter((_, i) => i % 2 === 0)],
      selected: [...history.filter((_, i) => i % 2 === 1)],
    };
  } finally {
    [training.moments, training.step, training.state, training.history].forEach((tensor) => gpu.free(tensor));
  }
}
