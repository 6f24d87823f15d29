/** One step of mask learning on eight examples: at the cost of one token each, and over whole prefixes. */
import { OneTokenMaskPass, pairIds } from "../circuit/mask_pass.ts";
import type { TokenPair } from "../circuit/localization.ts";
import { Plan } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { TokenBatch, tokenWords } from "../model/batch.ts";
import { lastTokens, recordPairPass } from "../model/training_pass.ts";
import { maskStep } from "../ops/component_mask.ts";
import { gradientError } from "./check.ts";
import { randomExamples, type Stage, type StageContext, stepResult } from "./stage.ts";
import { gpuTime, measure, runAndWait } from "./timing.ts";

const batchSize = 8, stepsPerSubmit = 16;

/** Eight prefixes whose lengths lie a little around `length`. */
function examplesAround(context: StageContext, length: number): TokenPair[] {
  return randomExamples(context, Array.from({ length: batchSize }, (_, b) => length - 7 + 2 * b));
}

/** The optimizer's part of a step, with rate 0: the same work, and the mask stays where it is. */
export function recordMaskStep(plan: Plan, mask: Tensor, gradient: Tensor, results: Tensor) {
  const { gpu } = plan;
  const count = mask.elements;
  const training = {
    mask,
    gradient,
    moments: gpu.upload(new Float32Array(count * 2), [count, 2], "mask moments"),
    step: gpu.upload(Float32Array.of(0, 0.1, 0.001, 0), [4], "mask step"),
    state: gpu.upload(Uint32Array.of(0, count, 0, 0), [4], "mask state"),
    history: gpu.tensor([2 ** 16, 2], "mask history"),
  };
  gpu.write(mask, new Float32Array(count).fill(1));
  maskStep(plan, training, results, {
    strength: 0.01,
    patience: 0xffffffff,
    initial: count,
    betas: [0.9, 0.999],
    epsilon: 1e-8,
  });
  const { moments, step, state, history } = training;
  return { step, state, free: () => [moments, step, state, history].forEach((tensor) => gpu.free(tensor)) };
}

/** The engine's own step: keys and values of earlier positions cached, 16 steps a submit with their own batches. */
export function oneTokenStage(length: number, quick = false): Stage {
  return {
    name: "mask-step/one-token",
    shape: `${length}`,
    quick,
    slower: "mask-step/full-prefix",
    async run(context) {
      const { gpu, model, effort, gradients } = context;
      const start = performance.now();
      using pass = new OneTokenMaskPass(model, examplesAround(context, length), batchSize);
      using plan = new Plan(gpu, "mask step");
      const { step, state, free } = recordMaskStep(plan, pass.mask, pass.gradient, pass.record(plan));
      using inputs = new StepInputs(gpu, [...pass.inputs, step], stepsPerSubmit);
      const order = Array.from({ length: batchSize }, (_, b) => b);
      const constants = Float32Array.of(0, 0.1, 0.001, 0);
      await gpu.fence();
      const setup = performance.now() - start;
      let hostMs = 0;
      const timing = await measure(effort, async (repeats) => {
        const before = gpu.hostMs;
        for (let left = repeats; left > 0; left -= stepsPerSubmit) {
          const count = Math.min(left, stepsPerSubmit);
          for (let i = 0; i < count; i++) inputs.add([...pass.encode(order), constants]);
          plan.run(count, inputs.upload());
          await gpu.readU32(state); // training looks whether to stop
        }
        hostMs = (gpu.hostMs - before) / repeats;
      });
      const slow = gradients.get(`mask ${length}`)?.get("mask");
      const error = slow && gradientError(`${this.name} ${length}`, await gpu.read(pass.gradient), slow);
      const gpuMs = await gpuTime(plan, stepsPerSubmit);
      free();
      return stepResult(context, this, timing, {
        gpuMs,
        hostMs,
        setup_ms: setup,
        ...(error !== undefined && { error }),
      });
    },
  };
}

/** The same step as the reference takes it: forward and backward of every position, activations kept. */
export function fullPrefixStage(length: number, quick = false): Stage {
  return {
    name: "mask-step/full-prefix",
    shape: `${length}`,
    quick,
    async run(context) {
      const { gpu, model, effort, gradients } = context;
      const { layers } = model.config;
      const examples = examplesAround(context, length);
      const prefixes = examples.map(({ prefix_ids }) => prefix_ids);
      using batch = TokenBatch.wholeSequences(gpu, prefixes);
      using last = lastTokenEntries(context, prefixes);
      const count = layers * model.componentsPerLayer;
      const own = [
        gpu.tensor([count], "component mask"),
        gpu.tensor([count], "component mask gradient"),
        gpu.upload(pairIds(examples), [batchSize, 2], "pair ids"),
        gpu.upload(new Float32Array(batchSize).fill(1 / batchSize), [batchSize, 1], "pair weights"),
      ] as const;
      const [mask, gradient, ids, weights] = own;
      const caches = Array.from({ length: layers }, () => model.cache(batch.count, "cache"));
      using plan = new Plan(gpu, "mask step over whole prefixes");
      const results = recordPairPass(plan, model, {
        batch,
        caches,
        chosen: last,
        pairs: { ids, weights },
        objective: "logit-difference",
        sinks: { mask: { values: mask, gradient } },
        keepFrom: 0,
      });
      const { free } = recordMaskStep(plan, mask, gradient, results);
      const timing = await measure(effort, (repeats) => runAndWait(plan, repeats));
      gradients.set(`mask ${length}`, new Map([["mask", await gpu.read(gradient)]]));
      const gpuMs = await gpuTime(plan, 1);
      free();
      [...own, ...caches].forEach((tensor) => gpu.free(tensor));
      return stepResult(context, this, timing, { gpuMs });
    },
  };
}

/** The last tokens of whole sequences, for a top layer that is computed for them alone beyond its keys and values. */
export function lastTokenEntries({ gpu, model }: StageContext, sequences: readonly (readonly number[])[]) {
  const index = lastTokens(model, sequences.map(({ length }) => length));
  const entries = sequences.flatMap((ids, s) => [ids.at(-1)!, ids.length - 1, s, 1]);
  const tokens = gpu.upload(Uint32Array.from(entries), [sequences.length, tokenWords], "last tokens");
  return {
    ...index,
    tokens,
    [Symbol.dispose]() {
      index[Symbol.dispose]();
      gpu.free(tokens);
    },
  };
}
