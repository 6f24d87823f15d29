/**
 * Selection by task gradient over another gradient: how much a component's rows gain for what their change disturbs.
 * `gradient-conflict` divides by the gradient of the other abilities' answers, `fisher` by the Fisher information of ordinary text.
 */

/** Keeps components that nothing else depends on from winning by a division by nearly zero: this share of the mean is added. */
const damping = 0.1;

/** Task energy over damped harm, of each component [L · P]; both per parameter or both not, which cancels. */
export function gainForHarmScores(task: ArrayLike<number>, harm: ArrayLike<number>): Float64Array {
  let mean = 0;
  for (let i = 0; i < harm.length; i++) mean += harm[i]! / harm.length;
  return Float64Array.from(task, (energy, i) => energy === 0 ? 0 : energy / (harm[i]! + damping * mean));
}
