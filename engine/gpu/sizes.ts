/** Sizes of buffers: as text, and rounded up for the pool. In bytes. */

/** Bytes as a short text in MiB. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`;
}

/** Rounds up to one of eight sizes per power of two, so that pooled buffers fit again at ≤ 12.5 % waste. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(8, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}
