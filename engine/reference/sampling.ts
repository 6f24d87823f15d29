/**
 * Float64 twins of token choice: a counter-based random generator, greedy choice, and filtered sampling.
 * Legend: V vocabulary.
 */

/** High and low 32 bits of the product of two u32. */
function multiply(a: number, b: number): [high: number, low: number] {
  return [Number((BigInt(a) * BigInt(b)) >> 32n), Math.imul(a, b) >>> 0];
}

/**
 * Philox4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four u32 from a
 * counter of four and a key of two. Equal inputs give equal outputs; there is no other state.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0);
    const [high1, low1] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A number in [0,1) that float32 holds exactly, from the top 24 bits of a u32. */
export function uniformFromBits(bits: number): number {
  return (bits >>> 8) / 2 ** 24;
}

/** Index of the largest of logits [V]; the lowest index wins a tie. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0;
  for (let v = 1; v < logits.length; v++) if (logits[v]! > logits[best]!) best = v;
  return best;
}

/** Which tokens may be sampled, and how sharply. */
export interface SamplingFilter {
  /** Logits are divided by it first; must be above 0. */
  readonly temperature: number;
  /** Keep the k largest logits (all that equal the k-th); 0 keeps every one. */
  readonly topK: number;
  /** Then keep the fewest, largest first, whose probabilities reach p (all that equal the last one); 1 keeps every one. */
  readonly topP: number;
}

/**
 * Probabilities [V] after temperature, then top-k, then top-p over what top-k left, normalized to sum 1, and the
 * smallest logit (before temperature) that is kept: a token is kept exactly when its logit is ≥ threshold.
 */
export function filterLogits(
  logits: ArrayLike<number>,
  filter: SamplingFilter,
): { probabilities: Float64Array; threshold: number } {
  const sorted = Float64Array.from(logits).sort().reverse();
  let kept = filter.topK > 0
    ? sorted.filter((logit) => logit >= (sorted[filter.topK - 1] ?? -Infinity))
    : sorted;
  const peak = sorted[0]!;
  const weightOf = (logit: number) => Math.exp((logit - peak) / filter.temperature);
  if (filter.topP < 1) {
    const total = kept.reduce((sum, logit) => sum + weightOf(logit), 0);
    let mass = 0;
    let last = 0;
    for (; last < kept.length - 1; last++) {
      mass += weightOf(kept[last]!);
      if (mass >= filter.topP * total) break;
    }
    kept = kept.filter((logit) => logit >= kept[last]!);
  }
  const threshold = kept.at(-1)!;
  const weights = Float64Array.from(logits, (logit) => logit >= threshold ? weightOf(logit) : 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { probabilities: weights.map((weight) => weight / total), threshold };
}

/** First index whose cumulative probability exceeds `uniform` in [0,1); never one of probability 0. */
export function sampleIndex(probabilities: ArrayLike<number>, uniform: number): number {
  let cumulative = 0;
  let last = 0;
  for (let v = 0; v < probabilities.length; v++) {
    if (probabilities[v]! === 0) continue;
    last = v;
    cumulative += probabilities[v]!;
    if (cumulative > uniform) break;
  }
  return last;
}

/** How one slot samples: the filter, and the stream of its random numbers. */
export interface SlotSampling extends SamplingFilter {
  /** Second word of the generator's counter: one per request. */
  readonly stream: number;
}

/** Float32 sums of exponentials end within this share of the exact ones. */
const slack = 1e-3;

/** Whether `chosen` is what the slot must draw from `logits` (first draw of its stream). */
export function isDrawn(logits: Float32Array, slot: SlotSampling, seed: number, chosen: number): boolean {
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  if (slot.temperature === 0) return logits.indexOf(top) === chosen;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / slot.temperature));
  const descending = weights.toSorted((a, b) => b - a);
  const kept = slot.topK > 0 ? Math.min(slot.topK, descending.length) : descending.length;
  const mass = descending.subarray(0, kept).reduce((a, b) => a + b, 0);
  let last = 0;
  for (let sum = descending[0]!; last + 1 < kept && sum < slot.topP * mass; sum += descending[last]!) last++;
  const edge = descending[last]!;
  const total = weights.reduce((sum, weight) => weight >= edge ? sum + weight : sum, 0);
  const target = uniformFromBits(philox4x32([0, slot.stream, 0, 0], [seed, 0])[0]) * total;
  let before = 0;
  for (let v = 0; v < chosen; v++) if (weights[v]! >= edge) before += weights[v]!;
  const weight = weights[chosen] ?? 0;
  const inside = target >= before - slack * total && target <= before + weight + slack * total;
  return inside && weight >= edge * (1 - slack);
}
