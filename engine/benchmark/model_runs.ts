/**
 * The stages of the method on any model, each as what is done once and the work that takes: for `bench --model`, which times
 * them, and for plans on adapters that are not there, which count. T tokens, B sequences, L layers.
 */
import { selectedRows, type Selection } from "../circuit/components.ts";
import { OneTokenMaskPass } from "../circuit/mask_pass.ts";
import { SparseUpdate } from "../circuit/update.ts";
import { Plan } from "../gpu/plan.ts";
import { StepInputs } from "../gpu/step_inputs.ts";
import { TokenBatch } from "../model/batch.ts";
import { passTokens } from "../model/capacity.ts";
import { recordPrefill } from "../model/forward.ts";
import { generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { fillPrefixCache, layOutPrefixes } from "../model/prefix_cache.ts";
import { seededRandom } from "../random.ts";
import { recordMaskStep } from "./mask_stages.ts";
import { Decoding } from "./model_stages.ts";
import { examplesOf, idsOf } from "./stage.ts";
import { passWork, type Span, sumWork, type Work } from "./work.ts";

/** A stage ready to run. */
export interface ModelRun extends Disposable {
  /** Runs it once and ends when the GPU is done. */
  readonly run: () => Promise<unknown>;
  /** How many units (steps of decoding) one run has; default 1. */
  readonly units?: number;
  /** The plans of a unit and how often each runs in it, where it has some of its own. */
  readonly plans: readonly { readonly plan: Plan; readonly passes: number }[];
  /** Of one unit. */
  readonly work: Work;
  /** Tokens a unit computes. */
  readonly tokens: number;
}

/** See file comment. */
export interface ModelStage {
  readonly name: string;
  readonly shape: string;
  /** Part of a quick run. */
  readonly quick: boolean;
  /** Tokens of the longest sequence. */
  readonly length: number;
  readonly prepare: (model: Model) => Promise<ModelRun> | ModelRun;
}

/** Of the stages with examples: how long they are, what they share, and how much of the model an update moves. */
const exampleTokens = 200, sharedTokens = 150, examples = 16, selectedShare = 0.0159, newTokens = 16;
const promptTokens = 32, decodeSteps = 16, maskBatch = 8;

/** Keys and values of one sequence of T tokens, as a prompt gets them. */
function prefill(length: number): ModelStage {
  return {
    name: "prefill",
    shape: `${length}`,
    quick: length <= 128,
    length,
    prepare(model) {
      const { gpu, config } = model;
      const layout = layOutPrefixes(idsOf(config, [length]));
      const chunk = Math.min(length, passTokens(model));
      const batch = TokenBatch.wholeSequences(gpu, idsOf(config, [chunk]));
      const cache = model.cache(chunk, "prefill cache");
      const plan = new Plan(gpu, "prefill");
      recordPrefill(plan, model, batch, Array(config.layers).fill(cache));
      const spans = Array.from({ length: Math.ceil(length / chunk) }, (_, i): Span => ({
        first: i * chunk,
        count: Math.min(chunk, length - i * chunk),
      }));
      return {
        async run() {
          using _ = fillPrefixCache(model, layout, 0);
          await gpu.fence();
        },
        plans: [{ plan, passes: length / chunk }],
        work: sumWork(
          ...spans.map((span) => passWork(model, { spans: [span], cached: span.first, top: [] })),
        ),
        tokens: length,
        [Symbol.dispose]() {
          [plan, batch].forEach((disposable) => disposable[Symbol.dispose]());
          gpu.free(cache);
        },
      };
    },
  };
}

/** One greedy token for each of B sequences. */
function decode(batch: number): ModelStage {
  return {
    name: "decode",
    shape: `${batch}`,
    quick: batch < 64,
    length: promptTokens + decodeSteps,
    prepare(model) {
      const decoding = new Decoding(model, batch, promptTokens, decodeSteps);
      // The average step stands for all.
      const first = promptTokens + Math.floor(decodeSteps / 2);
      return {
        async run() {
          decoding.restart();
          await decoding.decode(decodeSteps);
        },
        units: decodeSteps,
        plans: [{ plan: decoding.step, passes: 1 }],
        work: decodingWork(model, batch, first, 0),
        tokens: batch,
        [Symbol.dispose]: () => decoding[Symbol.dispose](),
      };
    },
  };
}

/** One step of `batch` sequences at a position, `shared` of whose positions are the same for all. */
const decodingWork = (model: Model, batch: number, first: number, shared: number): Work =>
  passWork(model, {
    spans: Array.from({ length: batch }, () => ({ first, count: 1 })),
    cached: shared + batch * (first - shared),
    logits: batch,
  });

/** One mask step on 8 examples, their earlier positions computed beforehand. */
const maskStep: ModelStage = {
  name: "mask-step/one-token",
  shape: `${maskBatch}x${exampleTokens}`,
  quick: true,
  length: exampleTokens,
  prepare(model) {
    const { gpu, config } = model;
    const pairs = examplesOf(config, Array(maskBatch).fill(exampleTokens), sharedTokens);
    const pass = new OneTokenMaskPass(model, pairs, maskBatch);
    const plan = new Plan(gpu, "mask step");
    const { step, state, free } = recordMaskStep(plan, pass.mask, pass.gradient, pass.record(plan));
    const inputs = new StepInputs(gpu, [...pass.inputs, step], 1);
    const order = Array.from({ length: maskBatch }, (_, b) => b);
    return {
      async run() {
        inputs.add([...pass.encode(order), Float32Array.of(0, 0.1, 0.001, 0)]);
        plan.run(1, inputs.upload());
        await gpu.readU32(state);
      },
      plans: [{ plan, passes: 1 }],
      work: passWork(model, {
        spans: order.map(() => ({ first: exampleTokens - 1, count: 1 })),
        cached: sharedTokens + maskBatch * (exampleTokens - 1 - sharedTokens),
        backward: { rows: 0 },
      }),
      tokens: maskBatch,
      [Symbol.dispose]() {
        [plan, pass, inputs].forEach((disposable) => disposable[Symbol.dispose]());
        free();
      },
    };
  },
};

/** One AdamW step on 16 examples that share their beginning, at rate 0, so that the model stays what it is. */
const updateStep: ModelStage = {
  name: "update-step/sparse",
  shape: `${examples}x${exampleTokens}`,
  quick: false,
  length: exampleTokens,
  prepare(model) {
    const { config } = model;
    const random = seededRandom("benchmark selection");
    const count = config.layers * model.componentsPerLayer;
    const selection: Selection = Array.from({ length: count }, () => random() < selectedShare);
    const rows = selectedRows(model, selection).reduce((sum, { rows }) => sum + rows.length, 0);
    const pairs = examplesOf(config, Array(examples).fill(exampleTokens), sharedTokens);
    const update = new SparseUpdate(model, selection, pairs, {
      objective: "preference",
      optimizer: "adamw",
      rate: 0,
      weightDecay: 0,
    });
    const backward = { rows: rows / config.layers };
    const tails = Array.from({ length: examples }, (): Span => ({
      first: sharedTokens,
      count: exampleTokens - sharedTokens,
    }));
    const last = tails.map((): Span => ({ first: exampleTokens - 1, count: 1 }));
    return {
      run: () => update.step(),
      plans: update.recorded,
      work: sumWork(
        passWork(model, { spans: [{ first: 0, count: sharedTokens }], cached: 0, top: [], backward }),
        passWork(model, { spans: tails, cached: sharedTokens, top: last, backward }),
      ),
      tokens: sharedTokens + examples * (exampleTokens - sharedTokens),
      [Symbol.dispose]() {
        update[Symbol.dispose]();
        model.revert();
      },
    };
  },
};

/** Answers to 16 prompts that share their beginning. */
const evaluation: ModelStage = {
  name: "evaluation",
  shape: `${examples}x${exampleTokens}+${newTokens}`,
  quick: false,
  length: exampleTokens + newTokens,
  prepare(model) {
    const pairs = examplesOf(model.config, Array(examples).fill(exampleTokens), sharedTokens);
    const requests = pairs.map(({ prefix_ids }) => ({ ids: prefix_ids }));
    const own = { first: sharedTokens, count: exampleTokens - 1 - sharedTokens };
    const prompts = [{ first: 0, count: sharedTokens }, ...requests.map((): Span => own)];
    const steps = Array.from(
      { length: newTokens },
      (_, i) => decodingWork(model, examples, exampleTokens - 1 + i, sharedTokens),
    );
    return {
      run: () => generate(model, requests, { maxNewTokens: newTokens, stopTokens: [] }),
      plans: [],
      work: sumWork(passWork(model, { spans: prompts, cached: 0, top: [] }), ...steps),
      tokens: sharedTokens + examples * (exampleTokens - sharedTokens + newTokens),
      [Symbol.dispose]() {},
    };
  },
};

/** All stages, in the order of the method. */
export const modelStages: readonly ModelStage[] = [
  ...[37, 128, 512, 2048].map(prefill),
  ...[1, 8, 64].map(decode),
  maskStep,
  updateStep,
  evaluation,
];
