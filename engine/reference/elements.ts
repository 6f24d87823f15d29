/**
 * Float64 twins, one output element at a time, for shapes too large to compute whole: a few hundred elements tell.
 * Plain loops, no tricks. Legend: T tokens, H query heads, K key/value heads, C head width.
 */

type Numbers = ArrayLike<number>;

/** Σ_k a[aStart + k · aStep] · b[bStart + k · bStep]: one element of a product in any layout. */
export function dot(
  a: Numbers,
  b: Numbers,
  count: number,
  [aStart, aStep]: readonly [number, number],
  [bStart, bStep]: readonly [number, number],
): number {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += a[aStart + k * aStep]! * b[bStart + k * bStep]!;
  return sum;
}

/** Element `at` of RMSNorm of rows of x with gain [width]. */
export function rmsNorm(x: Numbers, gain: Numbers, epsilon: number, at: number): number {
  const width = gain.length;
  const start = at - at % width;
  let squares = 0;
  for (let w = 0; w < width; w++) squares += x[start + w]! ** 2;
  return x[at]! / Math.sqrt(squares / width + epsilon) * gain[at % width]!;
}

/** Element `at` [N, F] of activation(gate) · up from gateUp [N, 2F], with the tanh form of GELU. */
export function gatedMlp(gateUp: Numbers, width: number, at: number): number {
  const gate = gateUp[at + width * Math.floor(at / width)]!;
  const up = gateUp[at + width * (Math.floor(at / width) + 1)]!;
  return 0.5 * gate * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (gate + 0.044715 * gate ** 3))) * up;
}

/** cap · tanh(x / cap). */
export const softCap = (x: number, cap: number): number => cap * Math.tanh(x / cap);

/** log Σ exp of one row. */
export function logSumExp(row: Float32Array): number {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  return top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

/** Constants of one AdamW step. */
export interface AdamStep {
  /** 1, 2, … */
  readonly t: number;
  /** Learning rate. */
  readonly rate: number;
  /** Decoupled from the gradient. */
  readonly weightDecay: number;
  /** Decay of the two moments. */
  readonly betas: readonly [number, number];
  /** Added outside the square root. */
  readonly epsilon: number;
}

/** A value after an AdamW step, from its gradient and the moments before the step. */
export function adamW(
  value: number,
  gradient: number,
  moments: readonly [number, number],
  { t, rate, weightDecay, betas, epsilon }: AdamStep,
): number {
  const first = (betas[0] * moments[0] + (1 - betas[0]) * gradient) / (1 - betas[0] ** t);
  const second = (betas[1] * moments[1] + (1 - betas[1]) * gradient ** 2) / (1 - betas[1] ** t);
  return value * (1 - rate * weightDecay) - rate * first / (Math.sqrt(second) + epsilon);
}

/** Attention of queries at given positions over cached rows, forward and backward, computed where asked. */
export class AttentionTwin {
  private readonly rows = new Map<number, { probabilities: Float64Array; out: Float64Array }>();

  /** q [N, H, C], cache [rows, 2, K, C]; query n sees the cache rows keyRows(n). */
  constructor(
    private readonly q: Numbers,
    private readonly cache: Numbers,
    private readonly sizes: { queryHeads: number; keyValueHeads: number; headWidth: number; scale: number },
    private readonly keyRows: (n: number) => readonly number[],
  ) {}

  /** Element `at` of y [N, H, C]. */
  forward(at: number): number {
    return this.row(Math.floor(at / this.sizes.headWidth)).out[at % this.sizes.headWidth]!;
  }

  /** Element `at` of dq [N, H, C]. */
  queryGradient(dy: Numbers, at: number): number {
    const { headWidth: C, scale } = this.sizes;
    const row = Math.floor(at / C);
    return this.keyRows(this.token(row)).reduce((sum, key, j) => {
      return sum + this.scoreGradient(dy, row, j) * this.cache[this.index(key, 0, row) + at % C]! * scale;
    }, 0);
  }

  /** Element `at` of dkv [N, 2, K, C] where token n's own key is row n and every query m ≥ n sees rows 0 … m. */
  keyValueGradient(dy: Numbers, tokens: number, at: number): number {
    const { queryHeads: H, keyValueHeads: K, headWidth: C, scale } = this.sizes;
    const [n, part, head, c] = [
      Math.floor(at / (2 * K * C)),
      Math.floor(at / (K * C)) % 2,
      Math.floor(at / C) % K,
      at % C,
    ];
    let sum = 0;
    for (let m = n; m < tokens; m++) {
      for (let h = head * H / K; h < (head + 1) * H / K; h++) {
        const row = m * H + h;
        if (part === 1) sum += this.row(row).probabilities[n]! * dy[row * C + c]!;
        else sum += this.scoreGradient(dy, row, n) * scale * this.q[row * C + c]!;
      }
    }
    return sum;
  }

  /** Loss by score j of a query row. */
  private scoreGradient(dy: Numbers, row: number, j: number): number {
    const C = this.sizes.headWidth;
    const { probabilities, out } = this.row(row);
    const value = this.index(this.keyRows(this.token(row))[j]!, 1, row);
    let difference = 0;
    for (let c = 0; c < C; c++) difference += dy[row * C + c]! * (this.cache[value + c]! - out[c]!);
    return probabilities[j]! * difference;
  }

  private row(row: number) {
    const known = this.rows.get(row);
    if (known) return known;
    const { headWidth: C, scale } = this.sizes;
    const keys = this.keyRows(this.token(row));
    const scores = Float64Array.from(
      keys,
      (key) => scale * dot(this.q, this.cache, C, [row * C, 1], [this.index(key, 0, row), 1]),
    );
    const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
    const probabilities = scores.map((score) => Math.exp(score - top) / total);
    const out = new Float64Array(C);
    keys.forEach((key, j) => {
      const value = this.index(key, 1, row);
      for (let c = 0; c < C; c++) out[c]! += probabilities[j]! * this.cache[value + c]!;
    });
    const made = { probabilities, out };
    this.rows.set(row, made);
    return made;
  }

  private token(row: number): number {
    return Math.floor(row / this.sizes.queryHeads);
  }

  /** Where the key (part 0) or value (1) that a query row reads of a cache row begins. */
  private index(cacheRow: number, part: 0 | 1, row: number): number {
    const { queryHeads: H, keyValueHeads: K, headWidth: C } = this.sizes;
    return ((cacheRow * 2 + part) * K + Math.floor((row % H) * K / H)) * C;
  }
}
