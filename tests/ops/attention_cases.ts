/** Sequences, caches and attention shapes for the attention tests, on the GPU and as the twin wants them. */
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { TokenBatch } from "../../engine/model/batch.ts";
import type { AttentionShape } from "../../engine/ops/attention.ts";
import type * as twin from "../../engine/reference/ops.ts";
import type { Trial } from "./gpu_fixture.ts";

/** A sequence whose last `queries` positions are the batch's tokens; the `cached` ones before them are in the cache. */
export interface Sequence {
  readonly cached: number;
  readonly queries: number;
  /** Positions found through the shared table, default all cached ones. */
  readonly split?: number;
  /** Take the table of this earlier sequence, whose first `split` positions are then shared with it. */
  readonly tableOf?: number;
}

/** Whole sequences of these lengths. */
export const whole = (...lengths: number[]): Sequence[] => lengths.map((queries) => ({ cached: 0, queries }));

/** Attention constants with sharp defaults: large scores, so that caps bend and probabilities differ. */
export function shapeOf(
  heads: readonly [queryHeads: number, keyValueHeads: number, headWidth: number],
  { window = 0, softCap = 0 } = {},
): AttentionShape {
  const [queryHeads, keyValueHeads, headWidth] = heads;
  return { queryHeads, keyValueHeads, headWidth, window, softCap, scale: 3 / Math.sqrt(headWidth) };
}

/** Random queries, keys and values of some sequences. Cache rows that no sequence uses hold NaN. */
export class AttentionCase implements Disposable {
  readonly layout: TokenBatch;
  /** [N, H, C] */
  readonly q: Float32Array<ArrayBuffer>;
  /** [rows, 2, K, C] */
  readonly cache: Float32Array<ArrayBuffer>;
  readonly tensors: { q: Tensor; cache: Tensor; y: Tensor; stats: Tensor };
  /** Cache row of each position of each sequence. */
  readonly rows: number[][] = [];
  readonly tokens: number;

  constructor(
    private readonly trial: Trial,
    readonly shape: AttentionShape,
    readonly sequences: readonly Sequence[],
  ) {
    const { queryHeads, keyValueHeads, headWidth } = shape;
    this.tokens = sequences.reduce((sum, { queries }) => sum + queries, 0);
    const table: number[] = [7777]; // an entry no sequence may read
    const tables: number[] = [];
    const whole = sequences.every(({ cached }) => cached === 0);
    let rowCount = whole ? 0 : 2; // the first two rows stay unused, and so does every second shared one
    const placed = sequences.map(({ cached, queries, split = cached, tableOf }, s) => {
      tables[s] = tableOf === undefined ? table.length : tables[tableOf]!;
      if (tableOf === undefined) {
        for (let p = split - 1; p >= 0; p--) table[tables[s]! + p] = rowCount += 2; // later positions in lower rows
      }
      if (split > 0) rowCount++;
      const base = rowCount;
      rowCount += cached + queries - split;
      this.rows.push(Array.from({ length: cached + queries }, (_, p) => {
        return p < split ? table[tables[s]! + p]! : base + p - split;
      }));
      const ids = Array.from({ length: queries }, (_, i) => 50 + i);
      return { ids, firstPosition: cached, table: tables[s]!, split, base };
    });
    this.layout = TokenBatch.of(trial.gpu, placed, trial.upload(Uint32Array.from(table)));
    const rowWidth = 2 * keyValueHeads * headWidth;
    this.q = trial.randoms(this.tokens * queryHeads * headWidth);
    this.cache = trial.randoms(rowCount * rowWidth);
    const used = new Set(this.rows.flat());
    for (let row = 0; row < rowCount; row++) {
      if (!used.has(row)) this.cache.fill(NaN, row * rowWidth, (row + 1) * rowWidth);
    }
    this.tensors = {
      q: trial.upload(this.q, this.tokens, queryHeads * headWidth),
      cache: trial.upload(this.cache, rowCount, rowWidth),
      y: trial.unwritten(this.tokens, queryHeads * headWidth),
      stats: trial.unwritten(this.tokens, queryHeads, 2),
    };
  }

  /** The shape, keys [Tk, K, C] and values as the twin wants them: every sequence's positions, one after the other. */
  forTwin(): { shape: twin.AttentionShape; k: Float32Array<ArrayBuffer>; v: Float32Array<ArrayBuffer> } {
    const width = this.shape.keyValueHeads * this.shape.headWidth;
    const rows = this.rows.flat();
    const part = (offset: number) => {
      const out = new Float32Array(rows.length * width);
      rows.forEach((row, i) => {
        const start = (2 * row + offset) * width;
        out.set(this.cache.subarray(start, start + width), i * width);
      });
      return out;
    };
    const starts = (lengths: number[]) => lengths.reduce((all, n) => [...all, all.at(-1)! + n], [0]);
    const shape = {
      ...this.shape,
      queryStarts: starts(this.sequences.map(({ queries }) => queries)),
      keyStarts: starts(this.rows.map(({ length }) => length)),
    };
    return { shape, k: part(0), v: part(1) };
  }

  /** Index among the twin's key rows of each token of the batch. */
  ownKeys(): number[] {
    let start = 0;
    return this.sequences.flatMap(({ cached, queries }) => {
      start += cached + queries;
      return Array.from({ length: queries }, (_, i) => start - queries + i);
    });
  }

  /** dkv [N, 2, K, C] of the batch's tokens from the twin's dk and dv. */
  ownGradient(dk: Float64Array, dv: Float64Array): Float64Array {
    const width = this.shape.keyValueHeads * this.shape.headWidth;
    const out = new Float64Array(this.tokens * 2 * width);
    this.ownKeys().forEach((key, n) => {
      out.set(dk.subarray(key * width, (key + 1) * width), 2 * n * width);
      out.set(dv.subarray(key * width, (key + 1) * width), (2 * n + 1) * width);
    });
    return out;
  }

  /** Frees the batch; the trial frees the rest. */
  [Symbol.dispose]() {
    this.layout[Symbol.dispose]();
  }
}
