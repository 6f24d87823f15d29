/** Python's strftime in the C locale, for dates that chat templates ask for. */

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  ...["January", "February", "March", "April", "May", "June"],
  ...["July", "August", "September", "October", "November", "December"],
];
const pad = (value: number, width = 2, fill = "0") => String(value).padStart(width, fill);

/** A date, in UTC, in the asked form. Codes that there are not stay as they are; `%-d` leaves out padding. */
export function strftime(date: Date, format: string): string {
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const [hour, minute, second, weekday] = [
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
    date.getUTCDay(),
  ];
  const dayOfYear = Math.round((Date.UTC(year, month, day) - Date.UTC(year, 0, 1)) / 86400000) + 1;
  const week = (firstDay: number) => Math.floor((dayOfYear + 6 - (weekday - firstDay + 7) % 7) / 7);
  const hour12 = hour % 12 || 12;
  const iso = isoWeek(year, dayOfYear, weekday);
  const codes: Record<string, () => string> = {
    a: () => days[weekday]!.slice(0, 3),
    A: () => days[weekday]!,
    b: () => months[month]!.slice(0, 3),
    B: () => months[month]!,
    c: () => strftime(date, "%a %b %e %H:%M:%S %Y"),
    C: () => pad(Math.floor(year / 100)),
    d: () => pad(day),
    D: () => strftime(date, "%m/%d/%y"),
    e: () => pad(day, 2, " "),
    f: () => pad(date.getUTCMilliseconds() * 1000, 6),
    F: () => strftime(date, "%Y-%m-%d"),
    G: () => String(iso.year),
    g: () => pad(iso.year % 100),
    h: () => months[month]!.slice(0, 3),
    H: () => pad(hour),
    I: () => pad(hour12),
    j: () => pad(dayOfYear, 3),
    k: () => pad(hour, 2, " "),
    l: () => pad(hour12, 2, " "),
    m: () => pad(month + 1),
    M: () => pad(minute),
    n: () => "\n",
    p: () => hour < 12 ? "AM" : "PM",
    P: () => hour < 12 ? "am" : "pm",
    r: () => strftime(date, "%I:%M:%S %p"),
    R: () => strftime(date, "%H:%M"),
    s: () => String(Math.floor(date.getTime() / 1000)),
    S: () => pad(second),
    t: () => "\t",
    T: () => strftime(date, "%H:%M:%S"),
    u: () => String(weekday || 7),
    U: () => pad(week(0)),
    V: () => pad(iso.week),
    w: () => String(weekday),
    W: () => pad(week(1)),
    x: () => strftime(date, "%m/%d/%y"),
    X: () => strftime(date, "%H:%M:%S"),
    y: () => pad(year % 100),
    Y: () => String(year),
    z: () => "", // a naive datetime has no zone
    Z: () => "",
    "%": () => "%",
  };
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, bare: string, code: string) => {
    const value = codes[code]?.();
    return value === undefined ? whole : bare ? value.replace(/^[0 ]+(?=\w)/, "") : value;
  });
}

/** ISO 8601: weeks begin on Monday, and the first holds the year's first Thursday. */
function isoWeek(year: number, dayOfYear: number, weekday: number): { year: number; week: number } {
  const week = Math.floor((dayOfYear - (weekday || 7) + 10) / 7);
  const weeksOf = (of: number) => {
    const january = new Date(Date.UTC(of, 0, 1)).getUTCDay();
    const leap = of % 4 === 0 && (of % 100 !== 0 || of % 400 === 0);
    return january === 4 || (leap && january === 3) ? 53 : 52;
  };
  if (week < 1) return { year: year - 1, week: weeksOf(year - 1) };
  return week > weeksOf(year) ? { year: year + 1, week: 1 } : { year, week };
}
