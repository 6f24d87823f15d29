/** CPython's `random.Random`: the Mersenne Twister (MT19937) seeded by an integer, and `sample` as Python 3 draws it. */

const [size, shift] = [624, 397];

/** See file comment. Equal seeds draw what Python draws. */
export class PythonRandom {
  private readonly state = new Uint32Array(size);
  private next = size;

  /** `seed`: an integer from 0 to 2³² - 1. */
  constructor(seed: number) {
    const { state } = this;
    state[0] = 19650218;
    for (let i = 1; i < size; i++) {
      const last = state[i - 1]!;
      state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
    let i = 1;
    const mix = (factor: number, added: number) => {
      const last = state[i - 1]!;
      state[i] = (state[i]! ^ Math.imul(last ^ (last >>> 30), factor)) + added;
      if (++i === size) {
        state[0] = state[size - 1]!;
        i = 1;
      }
    };
    for (let k = 0; k < size; k++) mix(1664525, seed); // the key is the seed's one word
    for (let k = 1; k < size; k++) mix(1566083941, -i);
    state[0] = 0x80000000;
  }

  /** An integer from 0 to 2^bits - 1; `bits` from 1 to 32. */
  bits(bits: number): number {
    if (this.next === size) this.twist();
    let y = this.state[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return (y >>> 0) >>> (32 - bits);
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    const bits = 32 - Math.clz32(n);
    let drawn = this.bits(bits);
    while (drawn >= n) drawn = this.bits(bits);
    return drawn;
  }

  /** `count` of `from`, without replacement, in the order drawn; `count` at most `from.length`. */
  sample<T>(from: readonly T[], count: number): T[] {
    const n = from.length;
    if (count > n) throw new RangeError(`${count} of ${n} cannot be drawn without replacement`);
    const most = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (n <= most) {
      const pool = [...from];
      return Array.from({ length: count }, (_, i) => {
        const at = this.below(n - i);
        const drawn = pool[at]!;
        pool[at] = pool[n - i - 1]!;
        return drawn;
      });
    }
    const taken = new Set<number>();
    while (taken.size < count) taken.add(this.below(n)); // a set keeps the order in which they came
    return [...taken].map((at) => from[at]!);
  }

  private twist() {
    const { state } = this;
    for (let i = 0; i < size; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % size]! & 0x7fffffff);
      state[i] = state[(i + shift) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}
