/**
 * The one reader of numbers, for reference answers and completions alike. Values are exact fractions, so 1/2 is 0.5 and 1e-7 is
 * not 0. What looks like a number but is none that it knows is *unreadable*, never a part of itself: 12,5 is not 5.
 *
 * | written | read as |
 * |---|---|
 * | `1,234` `1,00,000` `9{,}500` `1\,234` `1 234` (thin or no-break spaces) `1'234` `1_234` | thousands, also Indian ones |
 * | `- 3` `–3` `−3` after the start, `=`, `:`, an opening bracket or a verb | negative; a dash between numbers is subtraction |
 * | `12.50` `.5` `1e-7` `2 × 10^5` `2 \times 10^{5}` `10^3` | decimals, exponents, powers |
 * | `1/2` `1 / 2` `\frac{1}{2}` `\frac12` `½` `1 1/2` `1½` `1\frac{1}{2}` | fractions, mixed numbers |
 * | `$5` `5 €` `USD 5` `5 %` `5kg` `90^\circ` `\boxed{5}` `\text{...}` `**5**` | the number; percent and units are not computed with |
 * | `3 million` `2 lakh` | multiplied |
 * | `12,5` `1.234,56` `1.2.3` `3:30` `12/25/2023` `0x1F` `2\pi` `\sqrt{2}` `\frac{x}{2}` | unreadable |
 */

/** An exact value: numerator / denominator in lowest terms, the denominator positive. */
export interface ExactNumber {
  /** Whole, of either sign. */
  readonly numerator: bigint;
  /** Positive, without a factor in common with the numerator. */
  readonly denominator: bigint;
}

/** The value of what looks like a number; undefined where it is unreadable. */
export type ReadNumber = ExactNumber | undefined;

/** A fraction in lowest terms; undefined for a denominator of 0. */
export function fraction(numerator: bigint, denominator: bigint): ReadNumber {
  if (denominator === 0n) return undefined;
  let [a, b] = [numerator < 0n ? -numerator : numerator, denominator < 0n ? -denominator : denominator];
  while (b) [a, b] = [b, a % b];
  const sign = denominator < 0n ? -1n : 1n;
  return { numerator: sign * numerator / (a || 1n), denominator: sign * denominator / (a || 1n) };
}

const whole = (value: bigint): ExactNumber => ({ numerator: value, denominator: 1n });
const times = (a: ExactNumber, b: ExactNumber) =>
  fraction(a.numerator * b.numerator, a.denominator * b.denominator)!;
const plus = (a: ExactNumber, b: ExactNumber) =>
  fraction(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator)!;
const negated = ({ numerator, denominator }: ExactNumber): ExactNumber => ({
  numerator: -numerator,
  denominator,
});

/**
 * The value as a double; infinite or 0 beyond its range.
 *
 * @example A fraction as a number
 * ```ts
 * import { readNumbers, toDouble } from "../../engine/evaluation/mod.ts";
 *
 * console.log(toDouble(readNumbers("1 1/2")[0]!)); // 1.5
 * ```
 */
export function toDouble({ numerator, denominator }: ExactNumber): number {
  const quotient = Number(numerator) / Number(denominator);
  if (Number.isFinite(quotient) && (quotient !== 0 || numerator === 0n)) return quotient;
  // One of the two exceeds a double: divide to 64 bits, and scale what comes out.
  const size = numerator < 0n ? -numerator : numerator;
  const shift = BigInt(64 - size.toString(2).length + denominator.toString(2).length);
  const scaled = shift > 0n ? (size << shift) / denominator : size / (denominator << -shift);
  return Number(scaled) * 2 ** -Number(shift) * (numerator < 0n ? -1 : 1);
}

/**
 * Whether two values are the same: exactly, or, where one of them is no whole number, to 1e-6 of their size, since decimals
 * are written rounded.
 *
 * @example Equal by value
 * ```ts
 * import { readNumbers, sameNumber } from "../../engine/evaluation/mod.ts";
 *
 * const [a, b] = readNumbers("1/2 and 0.5");
 * console.log(sameNumber(a!, b!)); // true
 * ```
 */
export function sameNumber(a: ExactNumber, b: ExactNumber): boolean {
  if (a.numerator === b.numerator && a.denominator === b.denominator) return true;
  if (a.denominator === 1n && b.denominator === 1n) return false;
  const [x, y] = [toDouble(a), toDouble(b)];
  return Math.abs(x - y) <= 1e-6 * Math.max(Math.abs(x), Math.abs(y));
}

const vulgar: Readonly<Record<string, readonly [number, number]>> = {
  "¼": [1, 4],
  "½": [1, 2],
  "¾": [3, 4],
  "⅐": [1, 7],
  "⅑": [1, 9],
  "⅒": [1, 10],
  "⅓": [1, 3],
  "⅔": [2, 3],
  "⅕": [1, 5],
  "⅖": [2, 5],
  "⅗": [3, 5],
  "⅘": [4, 5],
  "⅙": [1, 6],
  "⅚": [5, 6],
  "⅛": [1, 8],
  "⅜": [3, 8],
  "⅝": [5, 8],
  "⅞": [7, 8],
};
const multipliers: Readonly<Record<string, bigint>> = {
  hundred: 100n,
  thousand: 1000n,
  million: 10n ** 6n,
  billion: 10n ** 9n,
  trillion: 10n ** 12n,
  lakh: 10n ** 5n,
  crore: 10n ** 7n,
};
/** Largest exponent that is multiplied out: beyond it a value is unreadable rather than a million digits long. */
const mostExponent = 400;

/** Typography made plain: digits of any script, dashes, group marks, superscripts, and LaTeX that changes no value. */
function plainText(text: string): string {
  return text
    .replace(/\p{Nd}/gu, (digit) => {
      let zero = digit.codePointAt(0)!;
      if (zero < 128) return digit;
      const own = zero;
      while (own - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
      return String(own - zero);
    })
    .replace(/[\u2212\u2010\u2011\u2012\u2013\uFE63\uFF0D]/g, "-")
    .replace(
      /[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+/g,
      (power) => `^${[...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻".indexOf(c)).map((d) => d > 9 ? "-" : d).join("")}`,
    )
    .replace(/(?<=\d)(?:\{,\}|\\[,!; ]|~|[\u2009\u202F\u00A0\u2007])(?=\d{3}(?!\d))/g, ",")
    .replace(/(?<=\d)['’_](?=\d{3}(?!\d))/g, ",")
    .replace(/[\u2009\u202F\u00A0\u2007\u2002\u2003]/g, " ")
    .replace(/\\(?:left|right|displaystyle|,|!|;|:|quad|qquad)(?![A-Za-z])/g, " ")
    .replace(/\\[dtc]frac(?![A-Za-z])/g, "\\frac")
    .replace(/\\(?:text|mathrm|textbf|mathbf|mbox|boxed|fbox|textrm|operatorname)\s*\{/g, " {")
    .replace(/\^\s*\{?\s*\\circ\s*\}?|\\degree|°/g, " degrees")
    .replace(/(?<=[A-Za-z])\^(?:\{-?\d+\}|-?\d+)/g, "") // the square of square metres
    .replace(/\\([$%#&_])/g, "$1")
    .replace(/\\(?:times|cdot)(?![A-Za-z])|[×·⋅∙]/g, " * ");
}

const grouped = "\\d{1,3}(?:,\\d{3})+|\\d{1,2}(?:,\\d{2})+,\\d{3}";
const digits = `(?:${grouped}|\\d+)(?:\\.\\d+)?|\\.\\d+`;
const exactly = (pattern: string) => new RegExp(`^(?:${pattern})$`);
const isDigits = exactly(digits);
/** Everything that looks like a number, as long as it gets: digits with any marks between them. */
const lookalike = /\.?\d(?:[.,:]?\d)*/y;

/** The value of plain digits with thousands marks and decimals. */
function decimal(text: string): ReadNumber {
  if (!isDigits.test(text)) return undefined;
  const [before, after = ""] = text.replaceAll(",", "").split(".");
  return fraction(BigInt(`${before}${after}` || "0"), 10n ** BigInt(after.length));
}

function power(base: ExactNumber, exponent: number): ReadNumber {
  if (!Number.isInteger(exponent) || Math.abs(exponent) > mostExponent) return undefined;
  const raised = {
    numerator: base.numerator ** BigInt(Math.abs(exponent)),
    denominator: base.denominator ** BigInt(Math.abs(exponent)),
  };
  return exponent >= 0
    ? fraction(raised.numerator, raised.denominator)
    : fraction(raised.denominator, raised.numerator);
}

/** A scanner over plain text; each rule moves `at` behind what it took. */
class Scanner {
  at = 0;
  constructor(readonly text: string) {}

  /** What `pattern` (sticky) matches here, taken. */
  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match) this.at = pattern.lastIndex;
    return match;
  }

  /** A LaTeX argument: {…} with balanced braces, or one digit. */
  argument(): string | undefined {
    this.take(/\s*/y);
    if (this.text[this.at] !== "{") return this.take(/\d/y)?.[0];
    let depth = 0;
    for (let end = this.at; end < this.text.length; end++) {
      if (this.text[end] === "{") depth++;
      if (this.text[end] === "}" && --depth === 0) {
        const inside = this.text.slice(this.at + 1, end);
        this.at = end + 1;
        return inside;
      }
    }
    return undefined;
  }
}

/** The one number that `text` is, sign and spaces aside; undefined for anything more or else. */
function onlyNumber(text: string): ReadNumber {
  const numbers = scan(text);
  const rest = text.replace(/[\d\s.,+\-/{}$]|\\frac/g, "");
  return numbers.length === 1 && rest === "" ? numbers[0]!.value : undefined;
}

/** A fraction \frac{a}{b} whose backslash is at the scanner. */
function latexFraction(scanner: Scanner): ReadNumber {
  scanner.take(/\\frac(?![A-Za-z])/y);
  const [above, below] = [scanner.argument(), scanner.argument()];
  if (above === undefined || below === undefined) return undefined;
  const [a, b] = [onlyNumber(above), onlyNumber(below)];
  return a && b && b.numerator !== 0n
    ? times(a, { numerator: b.denominator, denominator: b.numerator } as ExactNumber)
    : undefined;
}

/** A part of one: ½, 1/2 or \frac{1}{2} behind a whole number. */
function mixedPart(scanner: Scanner): ReadNumber | null {
  const start = scanner.at;
  scanner.take(/(?: +and)? */y);
  const sign = vulgar[scanner.text[scanner.at] ?? ""];
  if (sign) {
    scanner.at++;
    return fraction(BigInt(sign[0]), BigInt(sign[1]));
  }
  if (scanner.text.startsWith("\\frac", scanner.at)) {
    const part = latexFraction(scanner);
    if (part && part.numerator > 0n && part.numerator < part.denominator) return part;
  } else if (scanner.at > start) {
    const match = scanner.take(/(\d+)\/(\d+)(?![\d/.,]*\d)/y);
    if (match && BigInt(match[1]!) < BigInt(match[2]!)) return fraction(BigInt(match[1]!), BigInt(match[2]!));
  }
  scanner.at = start;
  return null;
}

/** What multiplies a value: an exponent, a power of ten, a word. */
function multiplied(scanner: Scanner, value: ExactNumber): ReadNumber {
  const exponent = scanner.take(/[eE]([+-]?\d+)(?!\w|\.\d)/y);
  if (exponent) {
    const factor = power(whole(10n), Number(exponent[1]));
    return factor && times(value, factor);
  }
  const raised = scanner.take(/\s*(?:\^|\*\*)\s*(?:\{\s*([+-]?\d+)\s*\}|\(?([+-]?\d+)\)?)/y);
  if (raised) return power(value, Number(raised[1] ?? raised[2]));
  const tens = scanner.take(/\s*(?:\*|[xX])\s*10\s*(?:\^|\*\*)\s*(?:\{\s*([+-]?\d+)\s*\}|\(?([+-]?\d+)\)?)/y);
  if (tens) {
    const factor = power(whole(10n), Number(tens[1] ?? tens[2]));
    return factor && times(value, factor);
  }
  const word = scanner.take(/\s+(hundred|thousand|million|billion|trillion|lakh|crore)s?\b/iy);
  return word ? times(value, whole(multipliers[word[1]!.toLowerCase()]!)) : value;
}

/** Whether the dash before a number is its sign. `before` is the text up to the dash, `spaced` whether spaces follow it. */
function isSign(before: string, spaced: boolean): boolean {
  if (!spaced) return !/[\w)\]%}]$/.test(before);
  return /(?:^|[=:([{$*#,~≈]|\b(?:is|are|be|was|equals?|to|of|gives|makes|leaves|get|have))\s*$/i.test(
    before,
  );
}

const currency = "(?:[$€£¥₹₩₽¢]|\\b(?:USD|EUR|GBP|INR|CAD|AUD|JPY|CNY|CHF|US\\$|Rs\\.?)) *";
const signBefore = new RegExp(`([-+])( *)(?:${currency})?$`);

/** Numbers of plain text in order, where each begins, and unreadable ones among them. */
function scan(plain: string): FoundNumber[] {
  const found: FoundNumber[] = [];
  const scanner = new Scanner(plain);
  const begin =
    /\\frac(?![A-Za-z])|\\sqrt|√|[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|(?<![A-Za-z_\d^]|\d[.,:])\.?\d|(?<=\b(?:USD|EUR|GBP|INR|CAD|AUD|JPY|CNY|CHF|Rs))\d/g;
  for (let match = begin.exec(plain); match; match = begin.exec(plain)) {
    const start = scanner.at = match.index;
    let value = readAt(scanner, plain, start);
    const signs = signBefore.exec(plain.slice(Math.max(0, start - 24), start));
    if (value && signs?.[1] === "-") {
      const head = plain.slice(Math.max(0, start - signs[0].length - 40), start - signs[0].length);
      if (isSign(head, signs[2] !== "")) value = negated(value);
    }
    if (scanner.at <= start) scanner.at = start + 1;
    found.push({ value, start, end: scanner.at });
    begin.lastIndex = scanner.at;
  }
  return found;
}

/** The value of the number that begins at the scanner; undefined where it is unreadable, with the scanner behind all of it. */
function readAt(scanner: Scanner, plain: string, start: number): ReadNumber {
  let value: ReadNumber;
  const sign = vulgar[plain[start]!];
  if (/\\sqrt|√/y.test(plain.slice(start, start + 5))) {
    scanner.take(/(?:\\sqrt|√)(?:\[[^\]]*\])?/y);
    scanner.argument() ?? scanner.take(/\d+/y);
    return undefined;
  }
  if (sign) {
    scanner.at++;
    return fraction(BigInt(sign[0]), BigInt(sign[1]));
  }
  if (plain[start] === "\\") value = latexFraction(scanner);
  else {
    const run = scanner.take(lookalike)![0];
    value = decimal(run);
    const over = scanner.take(/ ?\/ ?(\d(?:[.,]?\d)*)/y);
    if (over) {
      const below = decimal(over[1]!);
      value = value && below && below.numerator !== 0n
        ? fraction(value.numerator * below.denominator, value.denominator * below.numerator)
        : undefined;
      if (scanner.take(/(?: ?\/ ?\d(?:[.,]?\d)*)+/y)) return undefined; // a date, or a chain of divisions
    } else if (value && value.denominator === 1n) {
      const part = mixedPart(scanner);
      if (part) value = plus(value, part);
    }
  }
  if (value) value = multiplied(scanner, value);
  // 2π, 3√2, 0x1F, 5m2: more than the digits read so far.
  if (scanner.take(/\s*(?:\\pi\b|π|\\sqrt|√)(?:\{[^}]*\}|\d)*/y)) return undefined;
  if (scanner.take(/[A-Za-z]+\d\w*/y)) return undefined;
  return value;
}

/** A number of a text, and where it stands in the plain form of that text. */
export interface FoundNumber {
  readonly value: ReadNumber;
  readonly start: number;
  readonly end: number;
}

/** The numbers of a text in order, and its plain form, in which dashes, digits and LaTeX are made one. */
export function findNumbers(
  text: string,
): { readonly plain: string; readonly numbers: readonly FoundNumber[] } {
  const plain = plainText(text);
  return { plain, numbers: scan(plain) };
}

/**
 * All numbers of a text in order; undefined for what looks like one and is unreadable.
 *
 * @example All numbers of a text
 * ```ts
 * import { readNumbers } from "../../engine/evaluation/mod.ts";
 *
 * console.log(readNumbers("9{,}500 of 12,5")); // 9500, and undefined: 12,5 is no number for certain
 * ```
 */
export function readNumbers(text: string): ReadNumber[] {
  return findNumbers(text).numbers.map(({ value }) => value);
}

/** The last number of a text: undefined where there is none, or where the last is unreadable. */
export function lastNumber(text: string): ReadNumber {
  return readNumbers(text).at(-1);
}
