/** Text generation: prefixes shared, continuous batching, sampling and stop detection on the GPU. S slots, R requests. */
import { InputError } from "../errors.ts";
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { advance, type AdvanceSizes, type DecodingState, noToken, sample } from "../ops/sampling.ts";
import { makeBatchInvariant } from "../ops/variants.ts";
import { sequenceWords, TokenBatch, tokenWords } from "./batch.ts";
import { recordForward, recordLogits } from "./forward.ts";
import { nonFiniteActivations } from "./finite.ts";
import type { Model } from "./model.ts";
import { commonLength, fillPrefixCache, layOutPrefixes, type PrefixCache } from "./prefix_cache.ts";
import { cacheRows, logitRows } from "./capacity.ts";
import { SharedPrefix } from "./shared_prefix.ts";

/** One sequence to continue. */
export interface GenerationRequest {
  /** Token ids of the prompt. */
  readonly ids: readonly number[];
  /** 0 (default) is greedy. */
  readonly temperature?: number;
  /** Only the k most likely tokens; 0 (default) for all. */
  readonly topK?: number;
  /** Only the most likely tokens that make up this mass; 1 (default) for all. */
  readonly topP?: number;
  /** Number of this request's random stream, default its index; equal streams and prompts draw equal tokens. */
  readonly stream?: number;
  /** Under what GenerationOptions.journal knows its completion; without one it is not kept there. */
  readonly key?: string;
}

/** Completions by key: those that need not be made again, and where new ones go as soon as they end. */
export interface CompletionJournal {
  /** The ids of a completion that was made before. */
  get(key: string): readonly number[] | undefined;
  /** Told of a completion that ended. */
  put(key: string, ids: readonly number[]): void;
}

/** Settings shared by all requests of a call. */
export interface GenerationOptions {
  /** Most tokens of a completion, an ending stop token included. */
  readonly maxNewTokens: number;
  /** Seed of all random streams, default 0. */
  readonly seed?: number;
  /** Ids that end a sequence, default the model's end-of-sequence ids. */
  readonly stopTokens?: readonly number[];
  /** Asked after every 16 of a sequence's tokens and at its end: number of them to keep if it should end there. */
  readonly stopAt?: (ids: readonly number[]) => number | undefined;
  /** Sequences decoded at once, default by adapter. */
  readonly batch?: number;
  /** Rows of K/V cache that the prompts of one wave may take, default by adapter. */
  readonly cacheRows?: number;
  /** Beginning that prompts share, computed already; by default one is computed where there are several waves. */
  readonly sharedPrefix?: SharedPrefix;
  /**
   * Compute every sequence with the same kernels however many there are, so that its completion is the same to the last bit
   * whatever it is computed beside; a few sequences at once then take longer on a GPU. Default false.
   */
  readonly batchInvariant?: boolean;
  /** What need not be generated again, and where completions go as they end. */
  readonly journal?: CompletionJournal;
  /** Called with all ids of a request so far as they come, about ten times a second, and once when it has ended. */
  readonly onTokens?: (request: number, ids: readonly number[], ended: boolean) => void;
  /** Called as requests finish. */
  readonly onProgress?: (finished: number, total: number) => void;
}

const tokensPerReadback = 16;

/** Between readbacks of tokens that someone waits for, in milliseconds. */
const readbackInterval = 100;

/**
 * Sequences decoded at once unless told otherwise, and the prompt rows of a cache that leaves room for them. Bounded by
 * what the cache may take and by what one binding holds of a layer's cache and of the logits.
 */
export function decodingCapacity(model: Model, maxNewTokens: number): { slots: number; rows: number } {
  const rows = cacheRows(model);
  const wanted = model.gpu.isSoftware ? 256 : 128;
  const slots = Math.max(1, Math.min(wanted, logitRows(model), Math.floor(rows / 2 / (maxNewTokens + 1))));
  return { slots, rows: rows - slots * (maxNewTokens + 1) };
}

/** Throws InputError for what cannot be generated; numbers that the kernels take as u32 are never wrapped or cut. */
function checkGeneration(
  model: Model,
  requests: readonly GenerationRequest[],
  { maxNewTokens, seed = 0 }: GenerationOptions,
) {
  const check = (holds: boolean, what: string, value: number, is: string, setting: string) => {
    if (!holds) throw new InputError(`${what} ${value} is not ${is}.`, setting);
  };
  const isU32 = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  const u32 = "an integer from 0 to 4294967295";
  check(
    isU32(maxNewTokens) && maxNewTokens > 0,
    "A number of new tokens of",
    maxNewTokens,
    "an integer ≥ 1",
    "max-new-tokens",
  );
  check(isU32(seed), "Seed", seed, u32, "seed");
  for (const { ids, temperature = 0, topP = 1, topK = 0, stream = 0 } of requests) {
    model.checkSequence(ids, maxNewTokens);
    check(
      Number.isFinite(temperature) && temperature >= 0,
      "Temperature",
      temperature,
      "a number ≥ 0",
      "temperature",
    );
    check(topP > 0 && topP <= 1, "Top-p", topP, "a number in (0, 1]", "top-p");
    check(isU32(topK), "Top-k", topK, u32, "top-k");
    check(isU32(stream), "Stream", stream, u32, "seed");
  }
}

/**
 * The generated ids of each request in order, an ending stop token included.
 *
 * @throws {InputError} for an option out of range, an empty or unknown sequence, or one that exceeds the context.
 *
 * @example Two completions of one prompt
 * ```ts
 * import { generate, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: What is 3 + 4?\nA:");
 * const requests = [{ ids }, { ids, temperature: 1, stream: 1 }];
 * for (const tokens of await generate(model, requests, { maxNewTokens: 16 })) {
 *   console.log(model.tokenizer.decode(tokens));
 * }
 * ```
 */
export async function generate(
  model: Model,
  requests: readonly GenerationRequest[],
  options: GenerationOptions,
): Promise<number[][]> {
  checkGeneration(model, requests, options);
  const results = requests.map(({ key }): readonly number[] | undefined =>
    key === undefined ? undefined : options.journal?.get(key)
  );
  // Similar prompts next to each other, so that a wave shares as much as it can.
  const order = requests.map((_, i) => i).filter((i) => !results[i]).sort((a, b) =>
    lexicographic(requests[a]!.ids, requests[b]!.ids) || a - b
  );
  const known = requests.length - order.length;
  options.onProgress?.(known, requests.length);
  const room = decodingCapacity(model, options.maxNewTokens);
  const slots = Math.min(options.batch ?? room.slots, logitRows(model), order.length);
  const capacity = options.cacheRows ?? room.rows - (slots - room.slots) * (options.maxNewTokens + 1);
  // In this order, what the first and the last prompt share all of them share.
  const ends = [order.at(0), order.at(-1)].map((i) => i === undefined ? [] : requests[i]!.ids.slice(0, -1));
  using own = new SharedPrefix(model, ends[0]!.slice(0, commonLength(ends[0]!, ends[1]!)));
  let done = 0;
  while (done < order.length) {
    await model.gpu.fence(); // what the wave before held is free for this one
    let rows = 0;
    let end = done;
    while (end < order.length) {
      const ids = requests[order[end]!]!.ids;
      rows += end > done ? ids.length - commonLength(ids, requests[order[end - 1]!]!.ids) : ids.length;
      if (rows > capacity && end > done) break;
      end++;
    }
    const wave = order.slice(done, end).map((i) => ({ stream: i, ...requests[i]! }));
    const first = done;
    const sharedPrefix = options.sharedPrefix ?? (wave.length < order.length ? own : undefined);
    const layout = layOutPrefixes(wave.map(({ ids }) => ids.slice(0, -1)), sharedPrefix);
    const extraRows = Math.min(slots, wave.length) * options.maxNewTokens;
    using cache = fillPrefixCache(model, layout, extraRows, options);
    const generated = await decode(model, cache, wave, layout.offsets, {
      ...options,
      onProgress: (n) => options.onProgress?.(known + first + n, requests.length),
      ...(options.onTokens && {
        onTokens: (w, ids, ended) => options.onTokens?.(order[first + w]!, ids, ended),
      }),
    });
    generated.forEach((ids, w) => results[order[first + w]!] = ids);
    done = end;
  }
  return results.map((ids) => [...ids!]);
}

/**
 * Continues requests whose ids, apart from the last one, are in a cache: request r's from table offset offsets[r] on.
 * The cache's extra rows bound the number decoded at once. A request that reaches the end of the context ends there.
 *
 * @throws {InputError} for an unknown id or a sequence that fills the context already.
 */
export async function decode(
  model: Model,
  cache: PrefixCache,
  requests: readonly GenerationRequest[],
  offsets: readonly number[],
  options: GenerationOptions,
): Promise<number[][]> {
  const { gpu } = model;
  const { maxNewTokens } = options;
  if (maxNewTokens === 0 || requests.length === 0) return requests.map(() => []);
  for (const { ids } of requests) model.checkSequence(ids, 1);
  const rowsPerSlot = maxNewTokens;
  const slots = Math.min(Math.floor(cache.extraRows / rowsPerSlot), requests.length);
  const stops = options.stopTokens ?? model.config.eosTokens;
  const stride = maxNewTokens + 1;
  const image = new DataView(new ArrayBuffer(requests.length * 32));
  // Positions beyond the context have no rotary angles.
  const limits = requests.map(({ ids }) => Math.min(maxNewTokens, model.contextLength - ids.length));
  requests.forEach(({ ids, temperature = 0, topK = 0, topP = 1, stream }, r) => {
    const words = [ids.at(-1)!, ids.length - 1, offsets[r]!, limits[r]!, stream ?? r];
    words.forEach((word, w) => image.setUint32(r * 32 + w * 4, word, true));
    image.setFloat32(r * 32 + 20, temperature, true);
    image.setUint32(r * 32 + 24, topK, true);
    image.setFloat32(r * 32 + 28, topP, true);
  });
  const completions = new Array<number[] | undefined>(requests.length).fill(undefined);
  const lookedAt = new Uint32Array(requests.length);
  const owned: Tensor[] = [];
  const own = (tensor: Tensor) => (owned.push(tensor), tensor);
  const shared = {
    requests: own(gpu.upload(new Uint32Array(image.buffer), [requests.length, 8], "requests")),
    queue: own(
      gpu.upload(Uint32Array.of(0, requests.length, stops.length, ...stops), [3 + stops.length], "queue"),
    ),
    output: own(
      gpu.upload(new Uint32Array(requests.length * stride), [requests.length, stride], "generated ids"),
    ),
  };
  const firstRow = cache.layout.rows;
  const sizes = {
    requests: requests.length,
    stride,
    firstRow,
    rowsPerSlot,
    idleRow: firstRow + cache.extraRows,
  };
  let group = new SlotGroup(model, cache, shared, sizes, slots, options);
  try {
    group.takeRequests();
    let slotSteps = 0;
    let steps = options.onTokens ? 1 : tokensPerReadback;
    for (let left = requests.length; left > 0;) {
      const began = performance.now();
      group.step.run(steps);
      slotSteps += group.slots * steps;
      if (options.stopAt || options.journal || options.onTokens) takeEnded(await readOutput());
      if (options.onTokens) {
        const wanted = Math.round(steps * readbackInterval / (performance.now() - began));
        steps = Math.max(1, Math.min(tokensPerReadback, wanted));
      }
      left = (await gpu.readU32(shared.queue, 1, 1))[0]!;
      options.onProgress?.(requests.length - left, requests.length);
      // With no request waiting, finished slots stay idle: move the busy ones together once half are.
      if (left > 0 && left <= group.slots / 2) {
        const smaller = await group.shrink(left);
        group[Symbol.dispose]();
        group = smaller;
      }
    }
    const output = await readOutput();
    takeEnded(output);
    const decoded = output.reduce((sum, ids) => sum + ids.length, 0);
    model.decodedTokens += decoded;
    model.idleTokens += slotSteps - decoded;
    return completions.map((ids, r) => ids ?? output[r]!); // a GPU that only sizes buffers generates nothing
  } finally {
    group[Symbol.dispose]();
    owned.forEach((tensor) => gpu.free(tensor));
  }

  async function readOutput() {
    const output = await gpu.readU32(shared.output);
    const generated = requests.map((_, r) => [
      ...output.subarray(r * stride + 1, r * stride + 1 + output[r * stride]!),
    ]);
    for (const [r, ids] of generated.entries()) {
      const at = ids.indexOf(noToken);
      if (at >= 0) throw await nonFiniteActivations(model, [...requests[r]!.ids, ...ids.slice(0, at)]);
    }
    return generated;
  }

  /** Keeps what has ended. Requests that `stopAt` ends get a limit already reached, so that their slot lets go of them. */
  function takeEnded(outputs: number[][]) {
    outputs.forEach((ids, r) => {
      if (completions[r]) return;
      if (ids.length > 0) options.onTokens?.(r, ids, false);
      const ended = ids.length > 0 && (ids.length >= limits[r]! || stops.includes(ids.at(-1)!));
      const length = earlyEnd(ids, r) ?? (ended ? options.stopAt?.(ids) ?? ids.length : undefined);
      if (length === undefined) return;
      completions[r] = ids.slice(0, length);
      options.onTokens?.(r, completions[r], true);
      const { key } = requests[r]!;
      if (key !== undefined) options.journal?.put(key, completions[r]);
      if (!ended) gpu.write(shared.requests, Uint32Array.of(0), r * 8 + 3);
    });
  }

  /** Where `stopAt` ends a request; it sees the same lengths whenever the request began and whenever it is looked at. */
  function earlyEnd(ids: readonly number[], r: number): number | undefined {
    while (options.stopAt && lookedAt[r]! + tokensPerReadback <= ids.length) {
      lookedAt[r]! += tokensPerReadback;
      const length = options.stopAt(ids.slice(0, lookedAt[r]));
      if (length !== undefined) return length;
    }
  }
}

/** Slots that decode together, with the recorded step that serves them. */
class SlotGroup implements Disposable {
  readonly step: Plan;
  private readonly batch: TokenBatch;
  private readonly own: Pick<DecodingState, "sampling" | "slots">;
  private readonly state: DecodingState;

  constructor(
    private readonly model: Model,
    private readonly cache: PrefixCache,
    private readonly shared: Pick<DecodingState, "requests" | "queue" | "output">,
    private readonly sizes: AdvanceSizes,
    readonly slots: number,
    private readonly options: Pick<GenerationOptions, "seed" | "batchInvariant">,
  ) {
    const { gpu } = model;
    using attempt = gpu.attempt();
    this.batch = TokenBatch.empty(gpu, slots, slots, cache.table);
    gpu.write(this.batch.sequences, new Uint32Array(slots * sequenceWords));
    this.own = { sampling: gpu.tensor([slots, 8], "sampling"), slots: gpu.tensor([slots, 2], "slots") };
    this.state = { ...shared, ...this.own, tokens: this.batch.tokens, sequences: this.batch.sequences };
    this.step = new Plan(gpu, "decode step");
    if (options.batchInvariant) makeBatchInvariant(this.step);
    const x = recordForward(this.step, model, this.batch, cache.layers);
    const { logits } = recordLogits(this.step, model, x);
    const next = this.step.temp([slots], "next ids");
    sample(this.step, logits, this.own.sampling, next, options.seed ?? 0);
    advance(this.step, this.state, sizes, next);
    attempt.succeeded();
  }

  /** Gives every slot its first request. */
  takeRequests() {
    using start = new Plan(this.model.gpu, "start decoding");
    advance(start, this.state, this.sizes);
    start.run();
  }

  /** A group of `count` slots that goes on with this group's busy ones. Their cache rows stay where they are. */
  async shrink(count: number): Promise<SlotGroup> {
    const { gpu } = this.model;
    const { tokens, sequences, sampling, slots } = this.state;
    const images = await Promise.all(
      [tokens, sequences, sampling, slots].map((tensor) => gpu.readU32(tensor)),
    );
    const busy = Array.from({ length: this.slots }, (_, s) => s).filter((s) => images[3]![2 * s + 1] === 1);
    const group = new SlotGroup(this.model, this.cache, this.shared, this.sizes, count, this.options);
    [tokenWords, sequenceWords, 8, 2].forEach((words, i) => {
      const moved = new Uint32Array(count * words);
      busy.forEach((s, to) => moved.set(images[i]!.subarray(s * words, (s + 1) * words), to * words));
      if (words === tokenWords) busy.forEach((_, to) => moved[to * words + 2] = to);
      const { tokens, sequences, sampling, slots } = group.state;
      gpu.write([tokens, sequences, sampling, slots][i]!, moved);
    });
    return group;
  }

  [Symbol.dispose]() {
    this.step[Symbol.dispose]();
    this.batch[Symbol.dispose]();
    Object.values(this.own).forEach((tensor) => this.model.gpu.free(tensor));
  }
}

function lexicographic(a: readonly number[], b: readonly number[]): number {
  const common = commonLength(a, b);
  return (a[common] ?? -1) - (b[common] ?? -1);
}
