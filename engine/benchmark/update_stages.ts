/** One AdamW step on 32 examples: on the rows of 5 % of the components, and on every parameter. */
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Selection } from "../circuit/components.ts";
import { pairIds } from "../circuit/mask_pass.ts";
import { SparseUpdate } from "../circuit/update.ts";
import { TokenBatch } from "../model/batch.ts";
import { recordPairPass } from "../model/training_pass.ts";
import { allParameters } from "../model/weights.ts";
import { fill } from "../ops/elementwise.ts";
import { prepareScatter } from "../ops/embedding.ts";
import type { Norm } from "../ops/norm.ts";
import { adamW, writeAdamStep } from "../ops/optimizer.ts";
import type { Weight } from "../ops/weight.ts";
import { seededRandom } from "../random.ts";
import { gradientError } from "./check.ts";
import { lastTokenEntries } from "./mask_stages.ts";
import { randomExamples, type Stage, type StageContext, stepResult } from "./stage.ts";
import { gpuTime, measure } from "./timing.ts";

const examples = 32;

/** Prefixes of 16 to 47 tokens, which fit one pass. */
const updateExamples = (context: StageContext) =>
  randomExamples(context, Array.from({ length: examples }, (_, e) => 16 + e));

const objective = "logit-difference";

/** The engine's own step; at rate 0, so that the model stays what it is. */
export const sparseUpdateStage: Stage = {
  name: "update-step/sparse",
  shape: `${examples}`,
  quick: false,
  slower: "update-step/full",
  async run(context) {
    const { gpu, model, effort, gradients } = context;
    const random = seededRandom("benchmark selection");
    const count = model.config.layers * model.componentsPerLayer;
    const selection: Selection = Array.from({ length: count }, () => random() < 0.05);
    const base = startOfPeak(context);
    try {
      using update = new SparseUpdate(model, selection, updateExamples(context), {
        objective,
        optimizer: "adamw",
        rate: 0,
        weightDecay: 0,
      });
      let hostMs = 0;
      const timing = await measure(effort, async (repeats) => {
        const before = gpu.hostMs;
        for (let i = 0; i < repeats; i++) await update.step();
        hostMs = (gpu.hostMs - before) / repeats;
      });
      let gpuMs = 0;
      for (const { plan, passes } of update.recorded) gpuMs += passes * (await gpuTime(plan, 1) ?? NaN);
      const peak_bytes = gpu.memory.peakBytes - base;
      const full = gradients.get("update");
      const sparse = full && (await update.gradient()).gradients;
      const error = full && Math.max(...update.rows.map(({ weight, rows }) => {
        const all = full.get(weight)!;
        const width = weight.columns;
        const expected = [...rows].flatMap((row) => [...all.subarray(row * width, (row + 1) * width)]);
        return gradientError(`${this.name} ${weight.name}`, sparse!.get(weight)!, expected);
      }));
      return stepResult(context, this, timing, {
        hostMs,
        gpuMs: Number.isNaN(gpuMs) ? undefined : gpuMs,
        peak_bytes,
        gradient_bytes: 4 * update.size,
        optimizer_bytes: 8 * update.size,
        ...(error !== undefined && { error }),
      });
    } finally {
      model.revert();
    }
  },
};

/** The same step without the method: a gradient, moments and an AdamW step for every parameter. */
export const fullUpdateStage: Stage = {
  name: "update-step/full",
  shape: `${examples}`,
  quick: false,
  async run(context) {
    const { gpu, model, effort, gradients } = context;
    const { layers } = model.config;
    const pairs = updateExamples(context);
    const base = startOfPeak(context);
    const owned: Tensor[] = [];
    const own = (tensor: Tensor) => (owned.push(tensor), tensor);
    const prefixes = pairs.map(({ prefix_ids }) => prefix_ids);
    using batch = TokenBatch.wholeSequences(gpu, prefixes);
    using last = lastTokenEntries(context, prefixes);
    using input = prepareScatter(gpu, prefixes.flat());
    using output = prepareScatter(gpu, pairIds(pairs), 2);
    using plan = new Plan(gpu, "full update");
    const step = own(gpu.tensor([4], "step constants"));
    const stepping: (() => void)[] = [];
    const sink = (values: Tensor, shape: number[]) => {
      const gradient = own(gpu.tensor(shape, "gradient"));
      const moments = own(gpu.upload(new Float32Array(gradient.elements * 2), [...shape, 2], "moments"));
      fill(plan, gradient, 0);
      stepping.push(() => adamW(plan, step, gradient, moments, values));
      return gradient;
    };
    const { matrices, norms } = allParameters(model.weights);
    const weights = new Map<Weight, Tensor>(
      matrices.map((weight) => [weight, sink(weight.chunks[0]!.tensor, [weight.rows, weight.columns])]),
    );
    const gains = new Map<Norm, Tensor>(
      norms.map((norm) => [norm, sink(norm.weight, [norm.weight.elements])]),
    );
    const results = recordPairPass(plan, model, {
      batch,
      caches: Array.from({ length: layers }, () => own(model.cache(batch.count, "cache"))),
      chosen: last,
      keepFrom: 0,
      pairs: {
        ids: own(gpu.upload(pairIds(pairs), [examples, 2], "pair ids")),
        weights: own(
          gpu.upload(new Float32Array(examples).fill(1 / examples), [examples, 1], "pair weights"),
        ),
      },
      objective,
      sinks: { weights, norms: gains },
      scatters: { input, output },
    });
    stepping.forEach((record) => record());
    let hostMs = 0;
    const timing = await measure(effort, async (repeats) => {
      const before = gpu.hostMs;
      for (let i = 0; i < repeats; i++) {
        writeAdamStep(gpu, step, 1 + i, 0, 0);
        plan.run();
        await gpu.read(results);
      }
      hostMs = (gpu.hostMs - before) / repeats;
    });
    const gpuMs = await gpuTime(plan, 1);
    const peak_bytes = gpu.memory.peakBytes - base;
    const read = new Map<Weight, Float32Array>();
    for (const [weight, gradient] of weights) read.set(weight, await gpu.read(gradient));
    gradients.set("update", read);
    owned.forEach((tensor) => gpu.free(tensor));
    return stepResult(context, this, timing, {
      hostMs,
      gpuMs,
      peak_bytes,
      gradient_bytes: 4 * model.parameters,
      optimizer_bytes: 8 * model.parameters,
    });
  },
};

/** Bytes in use now; the peak is counted anew from here. */
function startOfPeak({ gpu }: StageContext): number {
  return gpu.memory.peakBytes = gpu.memory.liveBytes;
}
