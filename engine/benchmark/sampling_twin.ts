/** Float64 twin of token choice: which ids a draw may yield, given that float32 sums end within a thousandth. */

/** How one slot samples. */
export interface SlotSampling {
  readonly temperature: number;
  /** 0 for all. */
  readonly topK: number;
  /** 1 for all. */
  readonly topP: number;
  readonly stream: number;
}

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
  const target = uniform(slot.stream, seed) * total;
  let before = 0;
  for (let v = 0; v < chosen; v++) if (weights[v]! >= edge) before += weights[v]!;
  const weight = weights[chosen] ?? 0;
  const inside = target >= before - slack * total && target <= before + weight + slack * total;
  return inside && weight >= edge * (1 - slack);
}

/** The uniform number of draw 0 of a stream: Philox4x32-10 of counter (0, stream, 0, 0) and key (seed, 0). */
function uniform(stream: number, seed: number): number {
  const product = (a: number, b: number) => BigInt(a) * BigInt(b);
  const high = (x: bigint) => Number(x >> 32n);
  const low = (x: bigint) => Number(x & 0xffffffffn);
  let [c0, c1, c2, c3] = [0, stream, 0, 0];
  let [k0, k1] = [seed >>> 0, 0];
  for (let round = 0; round < 10; round++) {
    const first = product(0xd2511f53, c0);
    const second = product(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [
      (high(second) ^ c1 ^ k0) >>> 0,
      low(second),
      (high(first) ^ c3 ^ k1) >>> 0,
      low(first),
    ];
    [k0, k1] = [(k0 + 0x9e3779b9) >>> 0, (k1 + 0xbb67ae85) >>> 0];
  }
  return ((c0 >>> 8) + 0.5) / 2 ** 24;
}
