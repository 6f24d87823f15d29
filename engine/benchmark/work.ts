/**
 * What stages of a model have to do at least, whatever the kernels: the floor that their times are held against.
 * Legend: N tokens, D hidden, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */
import type { ModelConfig } from "../model/architecture.ts";
import type { Model } from "../model/model.ts";
import type { Weight } from "../ops/weight.ts";

/** Floating-point operations (a multiply-add is two), and bytes that must be read or written at least once. */
export interface Work {
  readonly operations: number;
  readonly bytes: number;
}

/** Consecutive tokens of one sequence; those before `first` have their keys and values in the cache. */
export interface Span {
  readonly first: number;
  readonly count: number;
}

/** One pass of tokens through the layers. */
export interface PassWork {
  readonly spans: readonly Span[];
  /** Distinct positions whose keys and values come from the cache. */
  readonly cached: number;
  /** Of the top layer beyond keys and values; default all. */
  readonly top?: readonly Span[];
  /** Rows of logits [rows, V]. */
  readonly logits?: number;
  /** Gradients of the layers' inputs, and of this many rows of weights a layer. */
  readonly backward?: { readonly rows: number };
}

/** The sum of several stages' work, or of one `times` over. */
export const sumWork = (...works: readonly Work[]): Work => ({
  operations: works.reduce((sum, { operations }) => sum + operations, 0),
  bytes: works.reduce((sum, { bytes }) => sum + bytes, 0),
});

/** Bytes of a matrix as it is stored. */
const stored = ({ chunks }: Weight): number =>
  chunks.reduce((sum, { tensor }) => sum + tensor.elements * 4, 0);

/** Tokens of spans. */
const tokensOf = (spans: readonly Span[]): number => spans.reduce((sum, { count }) => sum + count, 0);

/** Positions that the tokens of spans see in a layer, their own included. */
function seen(spans: readonly Span[], window: number): number {
  let sum = 0;
  for (const { first, count } of spans) {
    for (let p = first; p < first + count; p++) sum += window > 0 ? Math.min(p + 1, window) : p + 1;
  }
  return sum;
}

/** The work of one pass. Activations count no bytes: they may stay in caches. */
export function passWork({ config, weights }: Pick<Model, "config" | "weights">, pass: PassWork): Work {
  const { spans, cached, top = spans, logits = 0, backward } = pass;
  const { queryHeads: H, keyValueHeads: K, headWidth: C, hiddenSize: D, layers: L } = config;
  const n = tokensOf(spans);
  let operations = 2 * logits * D * config.vocabSize;
  let bytes = logits > 0 ? stored(weights.unembedding) : 0;
  weights.layers.forEach(({ qkv, output, gateUp, down }, l) => {
    const upper = l === L - 1 ? top : spans;
    const rows = tokensOf(upper);
    const size = (...matrices: readonly Weight[]) =>
      matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    const products = 2 * n * size(qkv) + 2 * rows * size(output, gateUp, down);
    const pairs = H * C * seen(upper, config.windows[l]!);
    operations += products + 4 * pairs;
    const read = stored(qkv) + (rows > 0 ? stored(output) + stored(gateUp) + stored(down) : 0);
    bytes += read + 8 * K * C * (n + (rows > 0 ? cached : 0));
    if (!backward) return;
    operations += products + 10 * pairs + 2 * n * backward.rows * D;
    bytes += read;
  });
  return { operations, bytes };
}

/** Bytes of the weights as they lie on the GPU. */
export function weightBytes({ weights }: Pick<Model, "weights">): number {
  const matrices = weights.layers.flatMap(({ qkv, output, gateUp, down }) => [qkv, output, gateUp, down]);
  const all = new Set([weights.embedding, weights.unembedding, ...matrices]);
  return [...all].reduce((sum, weight) => sum + stored(weight), 0);
}

/** Bytes of the keys and values of one position in all layers. */
export const positionBytes = ({ layers, keyValueHeads, headWidth }: ModelConfig): number =>
  8 * layers * keyValueHeads * headWidth;
