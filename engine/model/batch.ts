/** Packed ragged batches: N tokens of S sequences without padding, and where each position's key and value live. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { TokenLayout } from "../ops/attention.ts";

/** Consecutive tokens of one sequence. */
export interface SequenceTokens {
  readonly ids: readonly number[];
  /** Position of ids[0]; positions before it come from the cache. Default 0. */
  readonly firstPosition?: number;
  /** Offset of this sequence's entries in the shared table. Default 0. */
  readonly table?: number;
  /** Positions below this are found through the table, default firstPosition; later ones from `base` on. */
  readonly split?: number;
  /** Cache row of position `split`. */
  readonly base: number;
}

/** Words per token and per sequence in the GPU layouts (shaders/cache.wgsl). */
export const tokenWords = 4, sequenceWords = 8;

/** The tokens and sequences of one forward pass on the GPU. */
export class TokenBatch implements TokenLayout, Disposable {
  private constructor(
    private readonly gpu: Gpu,
    readonly tokens: Tensor,
    readonly sequences: Tensor,
    readonly table: Tensor,
    private readonly ownsTable: boolean,
  ) {}

  /** N. */
  get count(): number {
    return this.tokens.shape[0]!;
  }

  /** Uploads sequences; the last token of each is flagged (where component masks intervene). */
  static of(gpu: Gpu, sequences: readonly SequenceTokens[], table?: Tensor): TokenBatch {
    const { tokens, entries } = encodeSequences(sequences);
    return new TokenBatch(
      gpu,
      gpu.upload(tokens, [tokens.length / tokenWords, tokenWords], "tokens"),
      gpu.upload(entries, [sequences.length, sequenceWords], "sequences"),
      table ?? gpu.upload(Uint32Array.of(0), [1], "empty cache table"),
      table === undefined,
    );
  }

  /** Whole sequences from position 0, each with its own cache rows, in order; needs as many cache rows as tokens. */
  static wholeSequences(gpu: Gpu, sequences: readonly (readonly number[])[]): TokenBatch {
    let base = 0;
    return TokenBatch.of(
      gpu,
      sequences.map((ids) => {
        base += ids.length;
        return { ids, base: base - ids.length };
      }),
    );
  }

  /** Room for `count` tokens and `sequences` sequences whose contents are written later. */
  static empty(gpu: Gpu, count: number, sequences: Tensor | number, table: Tensor): TokenBatch {
    const own = typeof sequences === "number";
    const batch = new TokenBatch(
      gpu,
      gpu.tensor([count, tokenWords], "tokens"),
      own ? gpu.tensor([sequences, sequenceWords], "sequences") : sequences,
      table,
      false,
    );
    batch.ownsSequences = own;
    return batch;
  }

  private ownsSequences = true;

  [Symbol.dispose]() {
    this.gpu.free(this.tokens);
    if (this.ownsSequences) this.gpu.free(this.sequences);
    if (this.ownsTable) this.gpu.free(this.table);
  }
}

/** The u32 images of a batch: tokens [N, 4] and sequences [S, 8]. */
export function encodeSequences(sequences: readonly SequenceTokens[]) {
  const total = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
  const tokens = new Uint32Array(total * tokenWords);
  const entries = new Uint32Array(sequences.length * sequenceWords);
  let n = 0;
  sequences.forEach(({ ids, firstPosition = 0, table = 0, split = firstPosition, base }, s) => {
    entries.set([table, split, base, 0, n, n + ids.length], s * sequenceWords);
    ids.forEach((id, i) => {
      tokens.set([id, firstPosition + i, s, i === ids.length - 1 ? 1 : 0], n * tokenWords);
      n++;
    });
  });
  return { tokens, entries };
}
