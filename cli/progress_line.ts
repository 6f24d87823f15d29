/** One line of progress that fits the terminal: counts, rate and time left always, the rest as there is room. */

/** What a line shows. */
export interface ProgressState {
  readonly stage: string;
  readonly done: number;
  /** 0 where it is not known. */
  readonly total: number;
  /** Done a second, undefined before anything is done. */
  readonly rate: number | undefined;
  /** Of the whole run, e.g. "about 4 min left". */
  readonly run?: string | undefined;
  readonly note?: string | undefined;
}

const bar = { least: 6, most: 30 } as const;
const stageWidth = { least: 10, most: 28 } as const;
/** Longest part of a line that may give way. */
const most = 200;

/** A line of at most `columns` characters. */
export function progressLine(
  { stage, done, total, rate, run, note }: ProgressState,
  columns: number,
): string {
  const facts = `${count(done)}${total > 0 ? `/${count(total)}` : ""}` +
    (rate === undefined ? "" : ` ${rateText(rate)}`) +
    (rate === undefined || total === 0 ? "" : ` ${duration((total - done) / rate)} left`);
  let room = columns - 1 - facts.length; // the cursor takes a column
  const name = fitted(stage, Math.max(stageWidth.least, Math.min(stageWidth.most, room - 1)));
  room -= name.length + 1;
  const whole = run === undefined ? "" : ` | run: ${run}`;
  const shownRun = room >= whole.length ? whole : "";
  room -= shownRun.length;
  const length = total > 0 && room > bar.least ? Math.min(bar.most, room - 1) : 0;
  const filled = Math.round(length * Math.min(1, done / Math.max(total, 1)));
  const drawn = length === 0 ? "" : ` ${"█".repeat(filled)}${"░".repeat(length - filled)}`;
  room -= drawn.length;
  const said = note && room > 12 ? ` | ${fitted(note, Math.min(most, room - 3))}` : "";
  return fitted(`${name}${drawn} ${facts}${shownRun}${said}`, columns - 1);
}

function fitted(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

function count(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

/** A rate a second, a minute or an hour, whichever shows a number that says something. */
export function rateText(rate: number): string {
  const [value, unit] = rate >= 0.5
    ? [rate, "s"]
    : rate * 60 >= 0.5
    ? [rate * 60, "min"]
    : [rate * 3600, "h"];
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)}/${unit}`;
}

/** Seconds in words, to two figures or so. */
export function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.ceil(Math.max(0, seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${(minutes / 60).toFixed(minutes < 600 ? 1 : 0)} h`;
}
