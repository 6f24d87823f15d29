/**
 * Keys and values of many prefixes, each distinct token position computed once: a prefix shares the rows of its longest
 * common beginning with others. A few-shot head, the samples of one prompt and the branch points of one trace all
 * reduce to this. Method section 6, shortcuts 1 to 3.
 */
import { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { sequenceWords, TokenBatch, tokenWords } from "./batch.ts";
import { fill } from "../ops/elementwise.ts";
import { sample } from "../ops/sampling.ts";
import { makeBatchInvariant } from "../ops/variants.ts";
import { recordForward, recordLogits, recordPrefill } from "./forward.ts";
import type { Model } from "./model.ts";
import { logitRows, passTokens } from "./capacity.ts";

/** A beginning whose keys and values are computed already (SharedPrefix). */
export interface ComputedPrefix {
  /** Its token ids. */
  readonly ids: readonly number[];
  /** Per layer [rows, 2, K·C]; row p holds position p. */
  readonly layers: readonly Tensor[];
}

/** How a set of prefixes lies in the cache, before anything is computed. */
export interface PrefixLayout {
  /** Distinct positions: cache rows 0 … rows - 1. */
  readonly rows: number;
  /** Whose positions are the first of those rows, if there is one. */
  readonly sharedPrefix: ComputedPrefix | undefined;
  /** Cache row of every position of every distinct prefix, concatenated. */
  readonly table: Uint32Array;
  /** Offset into `table` per prefix, in the order given. */
  readonly offsets: number[];
  /** What has to be computed: per distinct prefix its new tokens. */
  readonly pieces: {
    readonly ids: readonly number[];
    readonly first: number;
    readonly table: number;
    readonly base: number;
  }[];
}

/**
 * Lays prefixes out. Sorted, each shares with its predecessor the longest beginning it shares with any before it, but for
 * `head`, which comes first.
 */
export function layOutPrefixes(
  prefixes: readonly (readonly number[])[],
  sharedPrefix?: ComputedPrefix,
): PrefixLayout {
  const order = prefixes.map((_, i) => i).sort((a, b) => compare(prefixes[a]!, prefixes[b]!));
  const offsets = new Array<number>(prefixes.length);
  const sharedIds = sharedPrefix?.ids ?? [];
  const table = sharedIds.map((_, row) => row);
  const pieces: PrefixLayout["pieces"][number][] = [];
  let rows = sharedIds.length;
  let previous = sharedIds;
  let offset = 0;
  for (const i of order) {
    const ids = prefixes[i]!;
    const [withPrevious, withShared] = [commonLength(ids, previous), commonLength(ids, sharedIds)];
    const shared = Math.max(withPrevious, withShared);
    const from = withPrevious === shared ? offset : 0;
    if (shared === ids.length) {
      offsets[i] = from; // all of it is the beginning of another
      continue;
    }
    const start = table.length;
    for (let p = 0; p < shared; p++) table.push(table[from + p]!);
    for (let p = shared; p < ids.length; p++) table.push(rows + p - shared);
    pieces.push({ ids: ids.slice(shared), first: shared, table: start, base: rows });
    rows += ids.length - shared;
    offsets[i] = offset = start;
    previous = ids;
  }
  return { rows, table: Uint32Array.from(table.length ? table : [0]), sharedPrefix, offsets, pieces };
}

/** The computed cache of a set of prefixes. */
export interface PrefixCache extends Disposable {
  /** Per layer [rows, 2, K·C]; rows from `layout.rows` on are free for the caller. */
  readonly layers: readonly Tensor[];
  /** u32 cache rows; `layout.offsets` point into it. */
  readonly table: Tensor;
  readonly layout: PrefixLayout;
  /** Rows behind the prefixes' own that the caller may use, and after them one that nothing reads. */
  readonly extraRows: number;
  /** u32 [rows]: the greedy next token after each row's position, if asked for; nothing of use for a head's rows. */
  readonly next: Tensor | undefined;
}

/**
 * Computes the keys and values of all prefixes, leaving `extraRows` rows behind them for the caller and `extraTable`
 * entries behind the table's own; with `withNext` the greedy next token at every position too. `batchInvariant`: see
 * GenerationOptions.
 */
export function fillPrefixCache(
  model: Model,
  layout: PrefixLayout,
  extraRows: number,
  { withNext = false, extraTable = 0, batchInvariant = false } = {},
): PrefixCache {
  const { gpu, config } = model;
  const sharedLayers = layout.sharedPrefix?.layers; // may refuse, so it is asked before anything is made
  using attempt = gpu.attempt();
  const rows = layout.rows + extraRows + 1; // the last is where padding tokens write
  const layers = Array.from({ length: config.layers }, (_, l) => model.cache(rows, `cache of layer ${l}`));
  const table = gpu.upload(layout.table, [layout.table.length + extraTable], "cache table", {
    part: "cache",
  });
  const next = withNext ? gpu.tensor([Math.max(1, layout.rows)], "next ids") : undefined;
  const cache = {
    layers,
    table,
    layout,
    extraRows,
    next,
    [Symbol.dispose]() {
      layers.forEach((layer) => gpu.free(layer));
      gpu.free(table);
      if (next) gpu.free(next);
    },
  };
  const sharedRows = layout.sharedPrefix?.ids.length ?? 0;
  if (sharedRows > 0) {
    const elements = sharedRows * 2 * config.keyValueHeads * config.headWidth;
    sharedLayers!.forEach((layer, l) => gpu.copy(layer, layers[l]!, 0, elements));
  }
  prefill(model, cache, layout.pieces, {
    ...(next && { next: { ids: next, firstRow: sharedRows } }),
    batchInvariant,
  });
  attempt.succeeded();
  return cache;
}

/**
 * Computes the keys and values of pieces whose earlier positions are in the cache, in chunks that bound the activations.
 * `next.ids` (u32) takes the greedy next token after each, in order, from `firstRow` on.
 */
export function prefill(
  model: Model,
  { layers, table, layout, extraRows }: PrefixCache,
  pieces: PrefixLayout["pieces"],
  { next, batchInvariant }: {
    readonly next?: { readonly ids: Tensor; readonly firstRow: number };
    readonly batchInvariant?: boolean;
  } = {},
) {
  const { gpu } = model;
  const sequences = new Uint32Array((pieces.length + 1) * sequenceWords);
  const tokens: number[] = [];
  pieces.forEach(({ ids, first, table, base }, s) => {
    sequences.set([table, first, base, 0], s * sequenceWords);
    ids.forEach((id, i) => tokens.push(id, first + i, s, 0));
  });
  sequences.set([0, 0, layout.rows + extraRows, 0], pieces.length * sequenceWords);
  const count = tokens.length / tokenWords;
  if (count === 0) return;
  model.prefillTokens += count;
  // With logits at every position the vocabulary bounds the chunk.
  const within = (most: number) => most < 64 ? most : most - most % 64;
  const wide = Math.max(64, Math.floor(2 ** 24 / model.config.vocabSize));
  const chunkTokens = within(Math.min(passTokens(model), next ? Math.min(wide, logitRows(model)) : 1024));
  const entries = gpu.upload(
    sequences,
    [sequences.length / sequenceWords, sequenceWords],
    "prefill sequences",
  );
  // One plan serves all full chunks, a second one the rest: positions attend only to rows of their own or earlier chunks.
  const rest = count % chunkTokens;
  const run = (size: number, starts: number[]) => {
    using batch = TokenBatch.empty(gpu, size, entries, table);
    using plan = new Plan(gpu, "prefill");
    if (batchInvariant) makeBatchInvariant(plan);
    let own: Tensor | undefined;
    if (next) {
      const { logits } = recordLogits(plan, model, recordForward(plan, model, batch, layers));
      own = plan.temp([size], "next ids");
      const greedy = plan.temp([size, 8], "greedy settings");
      fill(plan, greedy, 0);
      sample(plan, logits, greedy, own, 0);
    } else recordPrefill(plan, model, batch, layers);
    for (const start of starts) {
      const image = new Uint32Array(size * tokenWords);
      const end = Math.min(count, start + size);
      image.set(tokens.slice(start * tokenWords, end * tokenWords));
      for (let n = end - start; n < size; n++) image.set([0, 0, pieces.length, 0], n * tokenWords);
      gpu.write(batch.tokens, image);
      plan.run();
      if (next && own) gpu.copy(own, next.ids, next.firstRow + start, end - start);
    }
  };
  const full = Array.from({ length: Math.floor(count / chunkTokens) }, (_, i) => i * chunkTokens);
  if (full.length) run(chunkTokens, full);
  if (rest) run(Math.min(chunkTokens, Math.ceil(rest / 64) * 64), [count - rest]);
  gpu.free(entries);
}

/** Lexicographic order of token sequences, longer before shorter where one begins the other. */
function compare(a: readonly number[], b: readonly number[]): number {
  const i = commonLength(a, b);
  return i < a.length && i < b.length ? a[i]! - b[i]! : b.length - a.length;
}

/** How many ids two sequences begin with in common. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  return i;
}
