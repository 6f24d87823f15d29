/** Component masks by desiderata (DCM): the schedule of method section 2. L layers, P components a layer. */
import { InputError } from "../errors.ts";
import { seededRandom, shuffled } from "../random.ts";
import { Plan } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import type { Model } from "../model/model.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { maskStep, type MaskTraining } from "../ops/component_mask.ts";
import type { TokenPair } from "./localization.ts";
import { OneTokenMaskPass } from "./mask_pass.ts";

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
  /** Stop once the number selected has not changed for this share of an epoch's batches; 0 never stops. */
  readonly patience: number;
  /** Of the order of examples. */
  readonly seed: number;
  /** Score every position on all pairs of its batch, as the reference does (quirk 1). */
  readonly crossPairs: boolean;
  /** What the examples' prefixes begin with, computed already with the model as it is (promptPrefix). */
  readonly sharedPrefix?: SharedPrefix;
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
  patience: 0.2,
  seed: 0,
  crossPairs: false,
};

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
  /** Per step: loss with the L1 term, before the step, and the number selected after it. */
  readonly losses: number[];
  /** Selected components after each step. */
  readonly selected: number[];
}

const betas = [0.9, 0.999] as const;
const epsilon = 1e-8;
const mostStepsPerSubmit = 16;

/**
 * Learns a mask on localization examples. Early stopping is decided on the GPU; the host looks every 16 steps.
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
  const patience = settings.patience > 0
    ? Math.max(1, Math.ceil(settings.patience * stepsPerEpoch))
    : 0xffffffff;
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
    for (let epoch = 0; epoch < settings.epochs && !state[0]; epoch++) {
      const rate = settings.rate * settings.decay ** Math.floor(epoch / settings.decayEvery);
      const order = shuffled(examples.map((_, e) => e), random);
      for (let at = 0; at < order.length && !state[0]; at += batchSize) {
        step++;
        const constants = Float32Array.of(rate, 1 - betas[0] ** step, 1 - betas[1] ** step, 0);
        inputs.add([...pass.encode(order.slice(at, at + batchSize)), constants]);
        if (inputs.length < stepsPerSubmit && step < steps) continue;
        const waiting = inputs.length;
        plan.run(waiting, inputs.upload());
        state = await gpu.readU32(training.state);
        onProgress?.(state[3]!, steps, state[1]!);
      }
    }
    const done = (await gpu.readU32(training.state))[3]!;
    const history = await gpu.read(training.history, 0, done * 2);
    const mask = await gpu.read(pass.mask);
    if (!mask.every(Number.isFinite)) {
      throw new InputError(`Mask training diverged at rate ${settings.rate}; use a smaller one.`);
    }
    return {
      mask,
      steps: done,
      epochs: Math.ceil(done / stepsPerEpoch),
      stoppedEarly: done < steps,
      losses: [...history.filter((_, i) => i % 2 === 0)],
      selected: [...history.filter((_, i) => i % 2 === 1)],
    };
  } finally {
    [training.moments, training.step, training.state, training.history].forEach((tensor) => gpu.free(tensor));
  }
}
