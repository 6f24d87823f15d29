/**
 * Log-probabilities of continuations. Beginnings that requests share are computed once and kept as keys and values; logits
 * exist only where a token of a continuation is predicted, and only the picked values are read back.
 * Legend: N tokens of one pass, V vocabulary.
 */
import { InputError } from "../errors.ts";
import { Plan } from "../gpu/plan.ts";
import { logProbability } from "../ops/loss.ts";
import { type SequenceTokens, TokenBatch } from "./batch.ts";
import { cacheRows, logitRows, passTokens } from "./capacity.ts";
import { recordForward, recordLogits } from "./forward.ts";
import { nonFiniteActivations } from "./finite.ts";
import type { Model } from "./model.ts";
import { commonLength, fillPrefixCache, layOutPrefixes, type PrefixCache } from "./prefix_cache.ts";
import { SharedPrefix } from "./shared_prefix.ts";

/** A continuation of a context, both as token ids. */
export interface ScoreRequest {
  /** At least one token: the first of the continuation is predicted from it. */
  readonly context: readonly number[];
  /** Token ids that follow the context. */
  readonly continuation: readonly number[];
}

/** How probable a continuation is after its context; natural logarithms. */
export interface ContinuationScore {
  /** Sum over the continuation's tokens. */
  readonly logProbability: number;
  /** Of each token given all before it. */
  readonly tokenLogProbabilities: Float32Array;
  /** Whether greedy decoding would have written exactly this; the lowest id wins among equal logits. */
  readonly greedy: boolean;
}

/** Settings shared by all requests of a call. */
export interface ScoreOptions {
  /** Tokens of one pass, default by adapter. */
  readonly batch?: number;
  /** Called as requests are finished. */
  readonly onProgress?: (finished: number, total: number) => void;
}

/** A request within the model's window, and what of it is computed apart: the tokens that predict its continuation. */
interface Windowed {
  readonly index: number;
  readonly prefix: readonly number[];
  readonly tail: readonly number[];
  readonly targets: readonly number[];
}

/**
 * Scores each request, in order. What exceeds the window is cut from the left, as lm-evaluation-harness does: of context and
 * continuation the last window + 1 tokens count, the last of which is only predicted.
 *
 * @throws {InputError} for an empty context or continuation, a continuation longer than the window, and unknown ids.
 *
 * @example Which continuation is likelier
 * ```ts
 * import { Gpu, Model, score } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const context = model.tokenizer.encode("Q: What is 3 + 4?\nA: 3 + 4 =");
 * const continuations = [" 7", " 8"].map((text) => model.tokenizer.encode(text, { addSpecialTokens: false }));
 * const scores = await score(model, continuations.map((continuation) => ({ context, continuation })));
 * console.log(scores.map(({ logProbability }) => logProbability));
 * ```
 */
export async function score(
  model: Model,
  requests: readonly ScoreRequest[],
  options: ScoreOptions = {},
): Promise<ContinuationScore[]> {
  const results = new Array<ContinuationScore>(requests.length);
  const windowed = requests.map((request, index) => fitWindow(model, request, index));
  windowed.sort((a, b) => lexicographic(a.prefix, b.prefix) || a.index - b.index);
  const capacity = cacheRows(model) - 1;
  const ends = [windowed.at(0), windowed.at(-1)].map((request) => request?.prefix ?? []);
  using own = new SharedPrefix(model, ends[0]!.slice(0, commonLength(ends[0]!, ends[1]!)));
  let done = 0;
  options.onProgress?.(0, requests.length);
  while (done < windowed.length) {
    await model.gpu.fence(); // what the wave before held is free for this one
    let [rows, end] = [0, done];
    while (end < windowed.length) {
      const { prefix, tail } = windowed[end]!;
      const shared = end > done ? commonLength(prefix, windowed[end - 1]!.prefix) : 0;
      rows += prefix.length - shared + tail.length;
      if (rows > capacity && end > done) break;
      end++;
    }
    const wave = windowed.slice(done, end);
    const layout = layOutPrefixes(
      wave.map(({ prefix }) => prefix),
      wave.length < windowed.length && own.ids.length > 0 ? own : undefined,
    );
    const tailRows = wave.reduce((sum, { tail }) => sum + tail.length, 0);
    using cache = fillPrefixCache(model, layout, tailRows);
    const picked = await scoreTails(model, cache, wave, options.batch);
    let row = 0;
    for (const { index, prefix, tail } of wave) {
      const own = picked.subarray(2 * row, 2 * (row += tail.length));
      if (!own.every(Number.isFinite)) throw await nonFiniteActivations(model, [...prefix, ...tail]);
      const tokens = Float32Array.from(tail, (_, i) => own[2 * i]!);
      results[index] = {
        logProbability: tokens.reduce((sum, value) => sum + value, 0),
        tokenLogProbabilities: tokens,
        greedy: tail.every((_, i) => own[2 * i + 1] === 1),
      };
    }
    done = end;
    options.onProgress?.(done, requests.length);
  }
  return results;
}

function fitWindow(model: Model, { context, continuation }: ScoreRequest, index: number): Windowed {
  const [window, count] = [model.contextLength, continuation.length];
  if (context.length === 0 || count === 0) {
    throw new InputError("A continuation is scored after a context; give at least one token of each.");
  }
  if (count > window) {
    throw new InputError(`A continuation of ${count} tokens exceeds the context of ${window}; shorten it.`);
  }
  const whole = [...context, ...continuation].slice(-(window + 1));
  const input = whole.slice(0, -1);
  model.checkSequence(input);
  model.checkSequence(whole.slice(-1));
  return { index, prefix: input.slice(0, -count), tail: input.slice(-count), targets: continuation };
}

/** Picked values [tokens, 2] of all tails in order, computed in passes that bound activations and logits. */
async function scoreTails(
  model: Model,
  cache: PrefixCache,
  wave: readonly Windowed[],
  batch: number | undefined,
): Promise<Float32Array> {
  const { gpu, config } = model;
  // With logits at every position the vocabulary bounds the pass.
  const wide = Math.max(64, Math.floor(2 ** 24 / config.vocabSize));
  const most = Math.max(1, Math.min(batch ?? wide, passTokens(model), logitRows(model)));
  const pieces: (SequenceTokens & { readonly targets: readonly number[] })[] = [];
  let base = cache.layout.rows;
  wave.forEach(({ prefix, tail, targets }, w) => {
    // A pass shorter than a tail takes it in parts, each of which finds the earlier ones in the cache.
    for (let from = 0; from < tail.length; from += most) {
      pieces.push({
        ids: tail.slice(from, from + most),
        targets: targets.slice(from, from + most),
        firstPosition: prefix.length + from,
        table: cache.layout.offsets[w]!,
        split: prefix.length,
        base,
      });
    }
    base += tail.length;
  });
  const picked = new Float32Array(2 * (base - cache.layout.rows));
  let [done, first] = [0, 0];
  while (first < pieces.length) {
    let [count, end] = [0, first];
    while (end < pieces.length && count + pieces[end]!.ids.length <= most) count += pieces[end++]!.ids.length;
    const part = pieces.slice(first, end);
    const targets = gpu.upload(Uint32Array.from(part.flatMap((piece) => piece.targets)), [count], "targets");
    const values = gpu.tensor([count, 2], "log-probabilities");
    try {
      using tokens = TokenBatch.of(gpu, part, cache.table);
      using plan = new Plan(gpu, "score");
      const { logits } = recordLogits(plan, model, recordForward(plan, model, tokens, cache.layers));
      logProbability(plan, logits, targets, values);
      plan.run();
      picked.set(await gpu.read(values), 2 * done);
    } finally {
      gpu.free(targets);
      gpu.free(values);
    }
    model.prefillTokens += count;
    done += count;
    first = end;
  }
  return picked;
}

function lexicographic(a: readonly number[], b: readonly number[]): number {
  const common = commonLength(a, b);
  return (a[common] ?? -1) - (b[common] ?? -1);
}
