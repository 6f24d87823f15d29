/**
 * Float64 twin of causal attention over packed sequences of different lengths, forward and backward.
 * Legend: Tq query rows, Tk key rows, H query heads, K key/value heads, C head width, S sequences.
 */

type Numbers = ArrayLike<number>;

/** Sizes and constants of one attention call. */
export interface AttentionShape {
  readonly queryHeads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  /** Factor on q·k, before the soft cap. */
  readonly scale: number;
  /** Scores become cap · tanh(score / cap); 0 for none. */
  readonly softCap: number;
  /** The query at position p sees keys j with p − window < j ≤ p; 0 for all earlier ones. */
  readonly window: number;
  /** [S+1]: sequence s owns query rows queryStarts[s] … queryStarts[s+1] − 1. */
  readonly queryStarts: Numbers;
  /**
   * [S+1], the same for key rows; queryStarts when absent. A sequence's queries are its last positions, so fewer
   * queries than keys means the earlier keys come from a cache.
   */
  readonly keyStarts?: Numbers;
}

/** Index of one value of [T,heads,C]. */
type At = (row: number, head: number, c: number) => number;

/** The visible keys of one query row, as an inclusive range of key rows. */
type Visit = (queryRow: number, firstKey: number, lastKey: number) => void;

function eachQuery(shape: AttentionShape, visit: Visit): void {
  const keyStarts = shape.keyStarts ?? shape.queryStarts;
  for (let s = 0; s + 1 < shape.queryStarts.length; s++) {
    const queryStart = shape.queryStarts[s]!;
    const queries = shape.queryStarts[s + 1]! - queryStart;
    const keyStart = keyStarts[s]!;
    const keys = keyStarts[s + 1]! - keyStart;
    for (let i = 0; i < queries; i++) {
      const position = keys - queries + i;
      const first = shape.window > 0 ? Math.max(0, position - shape.window + 1) : 0;
      visit(queryStart + i, keyStart + first, keyStart + position);
    }
  }
}

function indexing(shape: AttentionShape): { query: At; key: At; kvHeadOf: (head: number) => number } {
  const { queryHeads, keyValueHeads, headWidth } = shape;
  return {
    query: (row, head, c) => (row * queryHeads + head) * headWidth + c,
    key: (row, head, c) => (row * keyValueHeads + head) * headWidth + c,
    kvHeadOf: (head) => Math.floor(head / (queryHeads / keyValueHeads)),
  };
}

/** Scaled, soft-capped scores of one query head against key rows first … last. */
function scoresOf(
  q: Numbers,
  k: Numbers,
  shape: AttentionShape,
  row: number,
  head: number,
  first: number,
  last: number,
): Float64Array {
  const { query, key, kvHeadOf } = indexing(shape);
  const scores = new Float64Array(last - first + 1);
  for (let j = first; j <= last; j++) {
    let dot = 0;
    for (let c = 0; c < shape.headWidth; c++) {
      dot += q[query(row, head, c)]! * k[key(j, kvHeadOf(head), c)]!;
    }
    const score = dot * shape.scale;
    scores[j - first] = shape.softCap === 0 ? score : shape.softCap * Math.tanh(score / shape.softCap);
  }
  return scores;
}

/**
 * Causal attention: q [Tq,H,C], k, v [Tk,K,C] → out [Tq,H,C] and logSumExp [Tq,H], the natural log of the sum of
 * exp(capped score) over visible keys. Query head h reads key/value head floor(h / (H / K)).
 */
export function attention(
  q: Numbers,
  k: Numbers,
  v: Numbers,
  shape: AttentionShape,
): { out: Float64Array; logSumExp: Float64Array } {
  const { query, key, kvHeadOf } = indexing(shape);
  const out = new Float64Array(q.length);
  const logSumExp = new Float64Array(q.length / shape.headWidth);
  eachQuery(shape, (row, first, last) => {
    for (let head = 0; head < shape.queryHeads; head++) {
      const scores = scoresOf(q, k, shape, row, head, first, last);
      const peak = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - peak), 0);
      const lse = peak + Math.log(total);
      logSumExp[row * shape.queryHeads + head] = lse;
      for (let j = first; j <= last; j++) {
        const probability = Math.exp(scores[j - first]! - lse);
        for (let c = 0; c < shape.headWidth; c++) {
          out[query(row, head, c)]! += probability * v[key(j, kvHeadOf(head), c)]!;
        }
      }
    }
  });
  return { out, logSumExp };
}

/** Gradient of `attention`: dout [Tq,H,C] → dq [Tq,H,C], dk, dv [Tk,K,C] (summed over the heads of a group). */
export function attentionBackward(
  dout: Numbers,
  q: Numbers,
  k: Numbers,
  v: Numbers,
  shape: AttentionShape,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { query, key, kvHeadOf } = indexing(shape);
  const { out, logSumExp } = attention(q, k, v, shape);
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  eachQuery(shape, (row, first, last) => {
    for (let head = 0; head < shape.queryHeads; head++) {
      const kvHead = kvHeadOf(head);
      const scores = scoresOf(q, k, shape, row, head, first, last);
      const lse = logSumExp[row * shape.queryHeads + head]!;
      let mean = 0; // Σ_j probability_j · dprobability_j = dout · out
      for (let c = 0; c < shape.headWidth; c++) {
        mean += dout[query(row, head, c)]! * out[query(row, head, c)]!;
      }
      for (let j = first; j <= last; j++) {
        const score = scores[j - first]!;
        const probability = Math.exp(score - lse);
        let dprobability = 0;
        for (let c = 0; c < shape.headWidth; c++) {
          dprobability += dout[query(row, head, c)]! * v[key(j, kvHead, c)]!;
          dv[key(j, kvHead, c)]! += probability * dout[query(row, head, c)]!;
        }
        const capSlope = shape.softCap === 0 ? 1 : 1 - (score / shape.softCap) ** 2;
        const ddot = probability * (dprobability - mean) * capSlope * shape.scale;
        for (let c = 0; c < shape.headWidth; c++) {
          dq[query(row, head, c)]! += ddot * k[key(j, kvHead, c)]!;
          dk[key(j, kvHead, c)]! += ddot * q[query(row, head, c)]!;
        }
      }
    }
  });
  return { dq, dk, dv };
}
