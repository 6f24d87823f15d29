/**
 * Keys and values of the prefixes that batches of examples are drawn from. Where all fit the cache they are computed once.
 * Where they do not, their common beginning and as many examples as fit stay, and the rest of a batch is recomputed
 * when the batch comes: forward passes only, and the same numbers.
 */
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import {
  commonLength,
  fillPrefixCache,
  layOutPrefixes,
  prefill,
  type PrefixCache,
  type PrefixLayout,
} from "../model/prefix_cache.ts";
import { cacheRows } from "../model/capacity.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";

/** See file comment. */
export class ExamplePrefixes implements Disposable {
  /** Number of examples whose prefixes stay in the cache: the first so many. */
  readonly kept: number;
  /** Cache row of the first of the rows that are the caller's, one per example of a batch. */
  readonly ownRow: number;
  private readonly cache: PrefixCache;
  /** Length of the beginning that all prefixes share, and its cache rows. */
  private readonly common: number;
  private readonly commonRows: Uint32Array;
  /** Offset into the table per kept example. */
  private readonly offsets: readonly number[];

  constructor(
    private readonly model: Model,
    private readonly prefixes: readonly (readonly number[])[],
    batchSize: number,
    sharedPrefix?: SharedPrefix,
  ) {
    const beginning = prefixes.reduce((a, b) => a.slice(0, commonLength(a, b)));
    this.common = beginning.length;
    const room = cacheRows(model) - batchSize - 1;
    const layOut = (kept: number) => layOutPrefixes([beginning, ...prefixes.slice(0, kept)], sharedPrefix);
    const scratchRows = (kept: number) =>
      prefixes.slice(kept).map(({ length }) => length - this.common).sort((a, b) => b - a)
        .slice(0, batchSize).reduce((sum, length) => sum + length, 0);
    const fits = (kept: number) => layOut(kept).rows + scratchRows(kept) <= room;
    this.kept = largestThat(fits, prefixes.length);
    const layout = layOut(this.kept);
    const scratch = scratchRows(this.kept);
    const longest = Math.max(0, ...prefixes.slice(this.kept).map(({ length }) => length));
    this.offsets = layout.offsets.slice(1);
    const from = layout.offsets[0]!;
    this.commonRows = layout.table.subarray(from, from + this.common);
    this.ownRow = layout.rows + scratch;
    this.cache = fillPrefixCache(model, layout, scratch + batchSize, { extraTable: batchSize * longest });
  }

  /** Per layer [rows, 2, K·C]. */
  get layers(): readonly Tensor[] {
    return this.cache.layers;
  }

  /** u32 cache rows; what `prepare` returns points into it. */
  get table(): Tensor {
    return this.cache.table;
  }

  /** Whether `prepare` has nothing to compute, so that batches may be prepared ahead of each other's use. */
  get keepsAll(): boolean {
    return this.kept === this.prefixes.length;
  }

  /** Makes the prefixes of these examples ready for work submitted next; returns each one's offset into the table. */
  prepare(examples: readonly number[]): number[] {
    const others = [...new Set(examples.filter((e) => e >= this.kept))];
    if (others.length === 0) return examples.map((e) => this.offsets[e]!);
    const { layout } = this.cache;
    const { table, offsets, pieces } = layOutPrefixes(others.map((e) => this.prefixes[e]!));
    // Rows of the common beginning come first here and are in the cache already; the others move to the scratch rows.
    const { common, commonRows } = this;
    const moved = (row: number) => row < common ? commonRows[row]! : layout.rows + row - common;
    const start = layout.table.length;
    const own = pieces.flatMap(({ ids, first, table, base }): PrefixLayout["pieces"] => {
      const known = Math.max(0, common - first);
      if (known >= ids.length) return [];
      return [{
        ids: ids.slice(known),
        first: first + known,
        table: start + table,
        base: moved(base + known),
      }];
    });
    this.model.gpu.write(this.table, table.map(moved), start);
    prefill(this.model, this.cache, own);
    return examples.map((e) => e < this.kept ? this.offsets[e]! : start + offsets[others.indexOf(e)]!);
  }

  [Symbol.dispose]() {
    this.cache[Symbol.dispose]();
  }
}

/** Largest n ≤ `most` for which `holds`, taking it to hold below one for which it does; 0 if none. */
function largestThat(holds: (n: number) => boolean, most: number): number {
  if (holds(most)) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}
