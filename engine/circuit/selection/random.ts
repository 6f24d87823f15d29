/** Selection at random: every order of components is equally likely. */

/** A score in [0, 1) for each of `count` components. */
export function randomScores(count: number, random: () => number): Float64Array {
  return Float64Array.from({ length: count }, random);
}
