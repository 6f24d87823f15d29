import { assert, assertEquals } from "@std/assert";
import {
  type ExactNumber,
  lastNumber,
  readNumbers,
  sameNumber,
  toDouble,
} from "../../engine/evaluation/number.ts";
import { seededRandom } from "../../engine/random.ts";

const shown = (value: ExactNumber | undefined) =>
  value && (value.denominator === 1n ? `${value.numerator}` : `${value.numerator}/${value.denominator}`);
const read = (text: string) => readNumbers(text).map(shown);

/** Written, and all numbers read from it; undefined is unreadable. */
const table: readonly (readonly [string, ...(string | undefined)[]])[] = [
  // thousands
  ["1,234", "1234"],
  ["1,00,000", "100000"],
  ["12,34,56,789", "123456789"],
  ["9{,}500", "9500"],
  ["9\\,500", "9500"],
  ["9\u2009500 and 9\u202f500 and 9\u00a0500", "9500", "9500", "9500"],
  ["1'234'567", "1234567"],
  ["1_000", "1000"],
  ["1, 2, 3", "1", "2", "3"],
  // signs
  ["- 3", "-3"],
  ["\u20133", "-3"],
  ["\u22123.5", "-7/2"],
  ["2 - 5 = - 3", "2", "5", "-3"],
  ["= \u2013 3", "-3"],
  ["is - 3", "-3"],
  ["7-5", "7", "5"],
  ["7 - 5", "7", "5"],
  ["-$1,000.50", "-2001/2"],
  ["$-5", "-5"],
  ["+5", "5"],
  // decimals and exponents
  ["12.50", "25/2"],
  [".5", "1/2"],
  ["5.", "5"],
  ["1e-7", "1/10000000"],
  ["1E+3", "1000"],
  ["2 \u00d7 10^5", "200000"],
  ["2 \\times 10^{-2}", "1/50"],
  ["10\u00b3", "1000"],
  ["2^10", "1024"],
  ["12345678901234567890", "12345678901234567890"],
  // fractions
  ["1/2", "1/2"],
  ["-3 / 4", "-3/4"],
  ["\\frac{1}{2}", "1/2"],
  ["\\dfrac{3}{4}", "3/4"],
  ["-\\frac12", "-1/2"],
  ["\u00bd", "1/2"],
  ["1 1/2", "3/2"],
  ["1\u00bd", "3/2"],
  ["2\\frac{1}{3}", "7/3"],
  ["2 and 1/2", "5/2"],
  ["1/0", undefined],
  ["12/25/2023", undefined],
  ["\\frac{x}{2}", undefined],
  // units, currency, percent, markup
  ["70%", "70"],
  ["70\\%", "70"],
  ["5 \u20ac", "5"],
  ["USD 5 and Rs.500 and Rs500", "5", "500", "500"],
  ["5kg", "5"],
  ["5 m\u00b2", "5"],
  ["5 cm^2", "5"],
  ["90^\\circ", "90"],
  ["\\boxed{18}", "18"],
  ["\\boxed{18 \\text{ dollars}}", "18"],
  ["**42**", "42"],
  ["$5$", "5"],
  ["3 million", "3000000"],
  ["2.5 lakh", "250000"],
  ["CO2 and x1"],
  ["\u0661\u0662\u0663", "123"],
  ["\uff11\uff12", "12"],
  // unreadable as one number
  ["12,5", undefined],
  ["1.234,56", undefined],
  ["1.2.3", undefined],
  ["3:30", undefined],
  ["0x1F", undefined],
  ["2\\pi", undefined],
  ["3\u221a2", undefined],
  ["\\sqrt{2}", undefined],
  ["1e999999999", undefined],
  [""],
  ["no number"],
];

Deno.test("numbers are read as they are written in prose, LaTeX and JSON", () => {
  for (const [text, ...expected] of table) assertEquals(read(text), expected, text);
});

/** A random value in lowest terms: mostly whole, also decimals and fractions, of either sign. */
function randomValue(random: () => number): ExactNumber {
  const below = (n: number) => Math.floor(random() * n);
  const numerator = BigInt(below(10 ** (1 + below(15))));
  const denominator = [1n, 1n, 10n ** BigInt(1 + below(4)), BigInt(2 + below(30))][below(4)]!;
  const gcd = (a: bigint, b: bigint): bigint => b ? gcd(b, a % b) : a;
  const common = gcd(numerator, denominator) || 1n;
  const sign = random() < 0.3 ? -1n : 1n;
  return { numerator: sign * numerator / common, denominator: denominator / common };
}

/** The decimal digits of a value; undefined where they do not end. */
function decimalDigits({ numerator, denominator }: ExactNumber): string | undefined {
  for (let places = 0; places <= 6; places++) {
    const scale = 10n ** BigInt(places);
    if (scale % denominator !== 0n) continue;
    const digits = `${numerator < 0n ? -numerator : numerator}`;
    const scaled = `${BigInt(digits) * (scale / denominator)}`.padStart(places + 1, "0");
    return places === 0 ? scaled : `${scaled.slice(0, -places)}.${scaled.slice(-places)}`;
  }
}

const western = (whole: string, mark: string) => whole.replace(/\B(?=(\d{3})+$)/g, () => mark);
const indian = (whole: string) => whole.replace(/\B(?=(\d\d)*\d{3}$)/g, ",");

/** The ways in which a value may be written, sign and surroundings aside. */
function writings(value: ExactNumber): string[] {
  const size = { ...value, numerator: value.numerator < 0n ? -value.numerator : value.numerator };
  const { numerator: n, denominator: d } = size;
  const ways: string[] = [];
  const digits = decimalDigits(size);
  if (digits !== undefined) {
    const [whole, places] = digits.split(".");
    const tail = places === undefined ? "" : `.${places}`;
    ways.push(digits, indian(whole!) + tail);
    for (const mark of [",", "{,}", "\\,", "\u2009", "\u202f", "\u00a0", "'", "_"]) {
      ways.push(western(whole!, mark) + tail);
    }
    ways.push(`${digits}${places === undefined ? ".0" : "0"}`, `${digits}e0`, `${digits} \\times 10^{0}`);
    ways.push(`${BigInt(digits.replace(".", ""))}e-${places?.length ?? 0}`);
  }
  if (d !== 1n) {
    ways.push(`${n}/${d}`, `\\frac{${n}}{${d}}`, `\\dfrac{${n}}{${d}}`, `${n} / ${d}`);
    if (n > d) ways.push(`${n / d} ${n % d}/${d}`, `${n / d}\\frac{${n % d}}{${d}}`);
  }
  return ways;
}

Deno.test("10,000 generated numbers are read as the values they were made from, whatever their form", () => {
  const random = seededRandom("numbers");
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  for (let i = 0; i < 10_000; i++) {
    const value = randomValue(random);
    const negative = value.numerator < 0n;
    const minus = negative ? pick(["-", "\u2212", "\u2013", "- "]) : "";
    const currency = pick(["", "", "$", "€"]);
    const number = `${minus}${currency}${pick(writings(value))}`;
    const text = pick([
      (n: string) => n,
      (n: string) => `2 + 3 = ${n}`,
      (n: string) => `so it is ${n}.`,
      (n: string) => `after 7 days: ${n} apples`,
      (n: string) => `\\boxed{${n}}`,
      (n: string) => `**${n}**`,
      (n: string) => `(${n})`,
      (n: string) => `x = ${n}%, then`,
    ])(number);
    const got = lastNumber(text);
    assertEquals(shown(got), shown(value), text);
    assert(sameNumber(got!, value), text);
    const [a, b] = [toDouble(value), Number(value.numerator) / Number(value.denominator)];
    assert(Math.abs(a - b) <= 1e-15 * Math.abs(b), text);
  }
});

Deno.test("values are equal exactly, or where one is no whole number to a millionth", () => {
  const of = (text: string) => lastNumber(text)!;
  assert(sameNumber(of("1/2"), of("0.50")));
  assert(sameNumber(of("1/3"), of("0.3333333")));
  assert(!sameNumber(of("1/3"), of("0.333")));
  assert(!sameNumber(of("12345678901234567890"), of("12345678901234567891")));
  assert(!sameNumber(of("1e-7"), of("0")));
  assertEquals(toDouble(of("1e400")), Infinity);
  assertEquals(toDouble(of("1e-400 ")), 0);
  assertEquals(toDouble(of("-0")), 0);
});
