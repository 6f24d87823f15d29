/** Sets of indices as schedulers write them: `0,3-5`. */

/** The option of sbatch for an array of these indices. */
export function arrayOption(indices: readonly number[]): string {
  return `--array=${indexExpression(indices)}`;
}

/** Increasing indices as ranges with commas. */
export function indexExpression(indices: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const index of indices) {
    const last = ranges.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(",");
}
