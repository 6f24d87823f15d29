/** What GSM-Symbolic's templates draw from by name. The authors' lists were not published; these are ours, of the same kinds. */
import type { Named, Value } from "./expression.ts";
import { fraction } from "../number.ts";

const words = (text: string) => text.split(" ");
const named = (entries: readonly (readonly [string, number, number])[]): Named[] =>
  entries.map(([text, n, d]) => ({ text, value: fraction(BigInt(n), BigInt(d))! }));

const names_female = words(
  "Ada Bea Clara Dina Elsa Fatima Greta Hana Ines Julia Kira Lena Mara Nora Olga Priya Rosa Sara Tara Vera Yara Zoe",
);
const names_male = words(
  "Adam Boris Carlos David Emil Farid Georg Hugo Ivan Jonas Karim Leo Marco Nils Omar Pavel Rami Samir Tom Uri Victor Yusuf",
);
const fraction_alph = named([["half", 1, 2], ["one-third", 1, 3], ["one-fourth", 1, 4], ["one-fifth", 1, 5], [
  "two-thirds",
  2,
  3,
], ["three-fourths", 3, 4]]);
const fraction_nums = named([
  ["1/2", 1, 2],
  ["1/3", 1, 3],
  ["1/4", 1, 4],
  ["1/5", 1, 5],
  ["2/3", 2, 3],
  ["3/4", 3, 4],
  ["2/5", 2, 5],
  ["3/5", 3, 5],
]);
const fraction_decimals = named([
  ["0.1", 1, 10],
  ["0.2", 1, 5],
  ["0.25", 1, 4],
  ["0.3", 3, 10],
  ["0.4", 2, 5],
  ["0.5", 1, 2],
  ["0.6", 3, 5],
  ["0.75", 3, 4],
  ["0.8", 4, 5],
]);
const multi_times = named([
  ["twice", 2, 1],
  ["three times", 3, 1],
  ["four times", 4, 1],
  ["five times", 5, 1],
  ["six times", 6, 1],
]);

/** Lists by the names that templates use. */
export const pools: Readonly<Record<string, readonly Value[]>> = {
  names_female,
  names_male,
  names: [...names_female, ...names_male],
  currencies_sym: ["$", "€", "£", "₹", "¥"],
  fraction_alph,
  fraction_nums,
  fraction_decimals,
  fraction_alnum: [...fraction_alph, ...fraction_nums],
  fractions: fraction_nums,
  multi_times,
  multiple: multi_times,
  multiple_ice: named([["double", 2, 1], ["triple", 3, 1], ["quadruple", 4, 1]]),
  fruits: words("apples pears plums cherries peaches mangoes figs lemons"),
  sports: words("football basketball tennis hockey rugby volleyball"),
  weights_sm: words("grams ounces"),
  weights_med: words("kilograms pounds"),
  weights_lg: words("tons tonnes"),
  length_sm: words("inches centimeters"),
  length_med: words("feet meters yards"),
  length_lg: words("miles kilometers"),
  cities: words("Lisbon Oslo Nairobi Lima Kyoto Quito Riga Tunis"),
  colors: words("red blue green yellow purple orange white black"),
  weekdays: words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
};
