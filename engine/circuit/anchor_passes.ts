/**
 * An anchor: distributions of the model as it was before an update, which the update is to keep. The divergence from them,
 * KL(before || now), is added to what a step lowers. MUSCLE (Echterhoff et al., arXiv 2407.09435) keeps those of tokens that the old model
 * had right, so that an update does not lose answers.
 * Legend: N tokens a pass, P anchored positions a pass, V vocabulary.
 */
import { InputError } from "../errors.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { GradientSinks } from "../model/backward.ts";
import { TokenBatch } from "../model/batch.ts";
import { recordForward, recordGather, recordLogits } from "../model/forward.ts";
import type { Lowest } from "../model/layers.ts";
import type { Model } from "../model/model.ts";
import { recordAnchorPass } from "../model/training_pass.ts";
import { add, fill } from "../ops/elementwise.ts";

/** A sequence, and the positions after whose tokens the next token's distribution is kept. */
export interface AnchorSequence {
  /** Token ids from the beginning. */
  readonly ids: readonly number[];
  /** From 0. */
  readonly positions: readonly number[];
}

const tokensPerPass = 1024;
/** Most bytes of stored distributions; a large vocabulary has fewer positions anchored, evenly chosen. */
const mostBytes = 256 * 2 ** 20;

/** Forward and backward passes that add the gradient of `weight` times the mean divergence to gradient sinks. */
export class AnchorPasses implements Disposable {
  /** To run between clearing the gradients and reading them. */
  readonly plans: readonly Plan[];
  private readonly owned: Disposable[] = [];
  private readonly losses: readonly Tensor[];

  /**
   * Stores the distributions of the model as it is now.
   * @throws {InputError} for sequences that the model cannot take, and where nothing is to be kept.
   */
  constructor(
    private readonly model: Model,
    sequences: readonly AnchorSequence[],
    private readonly weight: number,
    sinks: GradientSinks,
    lowest: Lowest,
  ) {
    const { gpu, config } = model;
    sequences.forEach(({ ids }) => model.checkSequence(ids));
    const kept = thin(sequences, Math.floor(mostBytes / (4 * config.vocabSize)));
    const total = kept.reduce((sum, { positions }) => sum + positions.length, 0);
    if (total === 0) {
      throw new InputError("No token is to be kept by the anchor; use more problems.", "anchor");
    }
    using attempt = gpu.attempt();
    const tensor = (made: Tensor) => {
      this.owned.push({ [Symbol.dispose]: () => gpu.free(made) });
      return made;
    };
    const plans: Plan[] = [];
    const losses: Tensor[] = [];
    const rowsPerPass = Math.max(1, Math.floor(gpu.splitBytes / (4 * config.vocabSize)));
    for (const group of pack(kept, rowsPerPass)) {
      const batch = TokenBatch.wholeSequences(gpu, group.map(({ ids }) => ids));
      this.owned.push(batch);
      const cache = tensor(model.cache(batch.count, "cache"));
      const caches = Array.from({ length: config.layers }, () => cache);
      let base = 0;
      const tokens = group.flatMap(({ ids, positions }) => {
        base += ids.length;
        return positions.map((position) => base - ids.length + position);
      });
      const index = (pairs: number[][], label: string) =>
        tensor(gpu.upload(Uint32Array.from(pairs.flat()), [tokens.length, 2], label));
      const chosen = {
        gather: index(tokens.map((token, row) => [token, row]), "gather anchored tokens"),
        scatter: index(tokens.map((token, row) => [row, token]), "scatter anchored tokens"),
      };
      const anchor = tensor(
        gpu.tensor([tokens.length, config.vocabSize], "anchored logits", { part: "logits" }),
      );
      {
        using before = new Plan(gpu, "anchored distributions");
        const rows = recordGather(before, recordForward(before, model, batch, caches), chosen.gather);
        fill(before, anchor, 0);
        add(before, recordLogits(before, model, rows).logits, anchor);
        before.run();
      }
      const plan = new Plan(gpu, "anchor pass");
      plans.push(plan);
      this.owned.push(plan);
      const rowWeights = new Float32Array(tokens.length).fill(weight / total);
      losses.push(recordAnchorPass(plan, model, {
        batch,
        caches,
        chosen,
        anchor,
        rowWeights: tensor(gpu.upload(rowWeights, [tokens.length], "anchor weights")),
        sinks,
        lowest,
      }));
    }
    this.plans = plans;
    this.losses = losses;
    attempt.succeeded();
  }

  /** Mean divergence in nats when the plans last ran. */
  async divergence(): Promise<number> {
    let sum = 0;
    for (const tensor of this.losses) sum += (await this.model.gpu.read(tensor)).reduce((a, b) => a + b, 0);
    return sum / this.weight;
  }

  [Symbol.dispose]() {
    this.owned.toReversed().forEach((disposable) => disposable[Symbol.dispose]());
  }
}

/** At most `most` positions, evenly over all of them. */
function thin(sequences: readonly AnchorSequence[], most: number): AnchorSequence[] {
  const total = sequences.reduce((sum, { positions }) => sum + positions.length, 0);
  const share = Math.min(1, most / Math.max(1, total));
  let seen = 0;
  const kept = sequences.map(({ ids, positions }) => ({
    ids,
    positions: positions.filter(() => Math.floor(++seen * share) > Math.floor((seen - 1) * share)),
  }));
  return kept.filter(({ positions }) => positions.length > 0);
}

/** Groups of as many tokens and anchored rows as a pass takes, in order. */
function pack(sequences: readonly AnchorSequence[], rowsPerPass: number): AnchorSequence[][] {
  const groups: AnchorSequence[][] = [];
  let tokens = Infinity, rows = 0;
  const pieces = sequences.flatMap(({ ids, positions }) =>
    Array.from({ length: Math.ceil(positions.length / rowsPerPass) }, (_, i) => ({
      ids,
      positions: positions.slice(i * rowsPerPass, (i + 1) * rowsPerPass),
    }))
  );
  for (const sequence of pieces) {
    tokens += sequence.ids.length;
    rows += sequence.positions.length;
    if (tokens > tokensPerPass || rows > rowsPerPass) {
      groups.push([]);
      tokens = sequence.ids.length;
      rows = sequence.positions.length;
    }
    groups.at(-1)!.push(sequence);
  }
  return groups;
}
