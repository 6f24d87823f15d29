/** From values to places on a plot, and where ticks go. */

/** A mapping of values to pixels, with its ticks. */
export interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
  /** The middle between both ends, in pixels. */
  readonly middle: number;
}

/** The shortest of 1, 2, 5 · 10ⁿ that makes at most `most` steps of `span`. */
function stepOf(span: number, most: number): number {
  const power = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => span / step <= most)!;
}

/** A linear scale over `values` from one pixel to another; all values and `include` lie within it. */
export function linearScale(
  values: readonly number[],
  [from, to]: readonly [number, number],
  { include = [], ticks: most = 6 }: { include?: readonly number[]; ticks?: number } = {},
): Scale {
  const all = [...values, ...include].filter(Number.isFinite);
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (all.length === 0) [low, high] = [0, 1];
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 10, high + Math.abs(high || 1) / 10];
  const step = stepOf(high - low, most);
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from(
    { length: last - first + 1 },
    (_, i) => Number(((first + i) * step).toPrecision(12)),
  );
  [low, high] = [first * step, last * step];
  return { at: (value) => from + (value - low) / (high - low) * (to - from), ticks, middle: (from + to) / 2 };
}

/** A logarithmic scale over positive values, ticks at powers of ten and, where those are few, between them. */
export function logScale(values: readonly number[], [from, to]: readonly [number, number]): Scale {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  let [low, high] = logs.length > 0 ? [Math.min(...logs), Math.max(...logs)] : [0, 1];
  const margin = Math.max(0.2, 0.08 * (high - low));
  [low, high] = [low - margin, high + margin];
  const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
  const ticksAt = (factors: readonly number[]) =>
    powers.flatMap((power) => factors.map((factor) => Number((factor * 10 ** power).toPrecision(6))))
      .filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  const ticks = [[1], [1, 2, 5]].map(ticksAt).find(({ length }) => length >= 3) ??
    ticksAt([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]);
  return {
    at: (value) => from + (Math.log10(value) - low) / (high - low) * (to - from),
    ticks,
    middle: (from + to) / 2,
  };
}
