/** Numbers as the report writes them. Fractions come in, percent and points go out. */

/** A fraction as percent with one decimal. */
export const percent = (fraction: number): string =>
  Number.isFinite(fraction) ? `${(100 * fraction).toFixed(1)} %` : "none";

/** A probability as percent, never 0 where it is not. */
export const likelihood = (probability: number): string =>
  probability > 0 && probability < 1e-3 ? "< 0.1 %" : percent(probability);

/** A difference of fractions in points, with its sign. */
export function points(difference: number): string {
  if (!Number.isFinite(difference)) return "none";
  const value = (100 * difference).toFixed(1);
  return value === "-0.0" || value === "0.0"
    ? "0.0"
    : value.startsWith("-")
    ? `−${value.slice(1)}`
    : `+${value}`;
}

/** Three significant digits, without an exponent where that is shorter. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "none";
  const exponent = value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6);
  return (exponent ? value.toExponential(1) : String(Number(value.toPrecision(3)))).replaceAll("-", "−");
}

/** A whole number with spaces between thousands. */
export const whole = (value: number): string =>
  !Number.isFinite(value) ? "none" : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Seconds in words. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
