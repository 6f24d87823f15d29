/**
 * Seeded random numbers, so that the same seed gives the same split, sample and interval on every machine.
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, small, fast, and well tested.
 */

/**
 * A random stream of numbers in [0, 1), 32 random bits each, fixed by `seed`.
 * A text seed such as `7/split` gives a stream of its own, so one run's seed can feed many independent uses.
 */
export function seededRandom(seed: number | string): () => number {
  let hash = fnv1a(String(seed));
  // splitmix32 spreads the hash over the four state words, so that neighbouring seeds share nothing.
  const word = () => {
    hash = (hash + 0x9e3779b9) | 0;
    let z = hash ^ (hash >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, counter] = [word(), word(), word(), word()];
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
}

/** A shuffled copy of `items` (Fisher-Yates); `items` itself stays as it is. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const pick = Math.floor(random() * (last + 1));
    [result[last], result[pick]] = [result[pick]!, result[last]!];
  }
  return result;
}

/** The 32-bit FNV-1a hash of a text's UTF-8 bytes. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
