/** Whole-model stages on the embedded model: prefill and decoding. S slots, T tokens. */
import { Plan } from "../gpu/plan.ts";
import { sequenceWords, TokenBatch } from "../model/batch.ts";
import { recordForward, recordLogits, recordPrefill } from "../model/forward.ts";
import { fillPrefixCache, layOutPrefixes } from "../model/prefix_cache.ts";
import { advance, sample } from "../ops/sampling.ts";
import type { Model } from "../model/model.ts";
import { idsOf, randomIds, type Stage, stepResult } from "./stage.ts";
import { gpuTime, measure, median, runAndWait } from "./timing.ts";

/** Keys and values of S sequences of T tokens. */
export function prefillStage(sequences: number, length: number, quick = false): Stage {
  const shape = `${sequences}x${length}`;
  return {
    name: "prefill",
    shape,
    quick,
    async run(context) {
      const { gpu, model, effort } = context;
      using batch = TokenBatch.wholeSequences(gpu, randomIds(context, Array(sequences).fill(length)));
      const caches = Array.from(
        { length: model.config.layers },
        () => model.cache(batch.count, "prefill cache"),
      );
      using plan = new Plan(gpu, "prefill");
      recordPrefill(plan, model, batch, caches);
      const timing = await measure(effort, (repeats) => runAndWait(plan, repeats));
      const gpuMs = await gpuTime(plan, 3);
      caches.forEach((cache) => gpu.free(cache));
      return stepResult(context, this, timing, { gpuMs, tokens: batch.count });
    },
  };
}

const promptLength = 32, decodeSteps = 64, stepsPerReadback = 16;

/** One greedy token for each of S slots, as generation does it: 16 steps a submit, then a look at what is left. */
export function decodeStage(slots: number, quick = false): Stage {
  return {
    name: "decode",
    shape: `${slots}`,
    quick,
    async run(context) {
      const { gpu, effort } = context;
      using decoding = new Decoding(context.model, slots, promptLength, decodeSteps);
      let hostMs = 0;
      const timing = await measure(effort, async (repeats) => {
        const before = gpu.hostMs;
        for (let i = 0; i < repeats; i++) {
          decoding.restart();
          for (let step = 0; step < decodeSteps; step += stepsPerReadback) {
            await decoding.decode(stepsPerReadback);
          }
        }
        hostMs = (gpu.hostMs - before) / (repeats * decodeSteps);
      });
      const gpuTimes: number[] = [];
      for (let i = 0; i < 3; i++) {
        decoding.restart();
        await decoding.decode((decodeSteps - stepsPerReadback) / 2); // then come steps that cost what the average one does
        gpuTimes.push(await gpuTime(decoding.step, stepsPerReadback) ?? NaN);
      }
      const gpuMs = Number.isNaN(gpuTimes[0]) ? undefined : median(gpuTimes);
      const perStep = { ...timing, ms: timing.ms / decodeSteps, repeats: timing.repeats * decodeSteps };
      return stepResult(context, this, perStep, { gpuMs, hostMs, tokens: slots });
    },
  };
}

/** The recorded decode step of S slots, with prompts of this length and room for so many steps, and its state. */
export class Decoding implements Disposable {
  readonly step: Plan;
  private readonly start: Plan;
  private readonly queue;
  private readonly free: () => void;

  constructor(model: Model, private readonly slots: number, promptLength: number, steps: number) {
    const { gpu, config } = model;
    const prompts = idsOf(config, Array(slots).fill(promptLength));
    const layout = layOutPrefixes(prompts.map((ids) => ids.slice(0, -1)));
    const rowsPerSlot = steps + 1; // none ends while it is measured
    const cache = fillPrefixCache(model, layout, slots * rowsPerSlot);
    const requests = prompts.flatMap((ids, r) => {
      return [ids.at(-1)!, ids.length - 1, layout.offsets[r]!, rowsPerSlot, r, 0, 0, 0];
    });
    const batch = TokenBatch.empty(gpu, slots, slots, cache.table);
    gpu.write(batch.sequences, new Uint32Array(slots * sequenceWords));
    const stride = rowsPerSlot + 1;
    const own = {
      requests: gpu.upload(Uint32Array.from(requests), [slots, 8], "requests"),
      queue: gpu.tensor([3], "queue"),
      output: gpu.tensor([slots, stride], "generated ids"),
      sampling: gpu.tensor([slots, 8], "sampling"),
      slots: gpu.tensor([slots, 2], "slots"),
    };
    this.queue = own.queue;
    const state = { ...own, tokens: batch.tokens, sequences: batch.sequences };
    const idleRow = layout.rows + slots * rowsPerSlot;
    const sizes = { requests: slots, stride, firstRow: layout.rows, rowsPerSlot, idleRow };
    this.start = new Plan(gpu, "start decoding");
    advance(this.start, state, sizes);
    this.step = new Plan(gpu, "decode step");
    const { logits } = recordLogits(this.step, model, recordForward(this.step, model, batch, cache.layers));
    const next = this.step.temp([slots], "next ids");
    sample(this.step, logits, own.sampling, next, 0);
    advance(this.step, state, sizes, next);
    this.free = () => {
      [cache, batch].forEach((disposable) => disposable[Symbol.dispose]());
      Object.values(own).forEach((tensor) => gpu.free(tensor));
    };
  }

  /** Every slot takes its request anew. */
  restart() {
    this.step.gpu.write(this.queue, Uint32Array.of(0, this.slots, 0));
    this.start.run();
  }

  /** Decodes and looks at the queue. */
  async decode(steps: number) {
    this.step.run(steps);
    await this.step.gpu.readU32(this.queue, 1, 1);
  }

  [Symbol.dispose]() {
    [this.step, this.start].forEach((plan) => plan[Symbol.dispose]());
    this.free();
  }
}
