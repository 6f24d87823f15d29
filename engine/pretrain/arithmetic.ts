/** Arithmetic word problems: twelve templates, each with the sums that solve it written out. */
import { items, names } from "./words.ts";

/** A question with its worked solution, e.g. "9 + 9 = 18. 18 + 14 = 32." and 32. */
export interface WordProblem {
  readonly question: string;
  readonly solution: string;
  readonly result: number;
}

/** Draws for one instance of a template. */
interface Draw {
  /** An integer from `least` to `most`, both possible. */
  integer(least: number, most: number): number;
  /** Two people and one kind of thing. */
  readonly a: string;
  readonly b: string;
  readonly things: string;
}

/** Question, and the sums as [left, operator, right]; the last sum's result is the answer. */
type Template = (draw: Draw) => { question: string; sums: [number, "+" | "-" | "*", number][] };

/** By `original_id`. Ranges keep every result above 0 and most below 100. */
const templates: readonly Template[] = [
  ({ integer, a, things }) => {
    const [had, more] = [integer(5, 59), integer(5, 39)];
    return {
      question: `${a} has ${had} ${things}. ${a} buys ${more} more. How many ${things} does ${a} have?`,
      sums: [[had, "+", more]],
    };
  },
  ({ integer, a, b, things }) => {
    const had = integer(20, 99);
    const given = integer(3, had - 1);
    return {
      question: `${a} has ${had} ${things}. ${a} gives ${b} ${given}. How many ${things} are left?`,
      sums: [[had, "-", given]],
    };
  },
  ({ integer, things }) => {
    const [boxes, each] = [integer(2, 9), integer(2, 12)];
    return {
      question: `There are ${boxes} boxes with ${each} ${things} each. How many ${things} are there?`,
      sums: [[boxes, "*", each]],
    };
  },
  ({ integer, a, things }) => {
    const [had, found] = [integer(10, 50), integer(5, 40)];
    const lost = integer(2, had + found - 1);
    return {
      question:
        `${a} has ${had} ${things}. ${a} finds ${found} more and loses ${lost}. How many ${things} are left?`,
      sums: [[had, "+", found], [had + found, "-", lost]],
    };
  },
  ({ integer, a, things }) => {
    const [bags, each] = [integer(3, 9), integer(3, 12)];
    const sold = integer(2, bags * each - 1);
    return {
      question:
        `${a} has ${bags} bags of ${each} ${things}. ${a} sells ${sold}. How many ${things} are left?`,
      sums: [[bags, "*", each], [bags * each, "-", sold]],
    };
  },
  ({ integer, a, b, things }) => {
    const [had, more] = [integer(5, 40), integer(3, 20)];
    return {
      question:
        `${a} has ${had} ${things}. ${b} has ${more} more than ${a}. How many ${things} do they have together?`,
      sums: [[had, "+", more], [had, "+", had + more]],
    };
  },
  ({ integer, a, b, things }) => {
    const had = integer(10, 40);
    const fewer = integer(2, had - 1);
    return {
      question:
        `${a} has ${had} ${things}. ${b} has ${fewer} fewer than ${a}. How many ${things} do they have together?`,
      sums: [[had, "-", fewer], [had, "+", had - fewer]],
    };
  },
  ({ integer, a, b, things }) => {
    const [first, second, more] = [integer(2, 9), integer(2, 9), integer(2, 8)];
    return {
      question: `${a} has ${first} ${things}. ${b} has ${second}. Each gets ${more} more. ` +
        `How many ${things} do they have together?`,
      sums: [[first, "+", second], [more, "+", more], [first + second, "+", 2 * more]],
    };
  },
  ({ integer, a }) => {
    const [pages, days, rest] = [integer(2, 6), integer(2, 9), integer(3, 30)];
    return {
      question:
        `${a} reads ${pages} pages a day for ${days} days and then ${rest} pages. How many pages does ${a} read?`,
      sums: [[pages, "*", days], [pages * days, "+", rest]],
    };
  },
  ({ integer, a, things }) => {
    const [count, price] = [integer(2, 7), integer(2, 9)];
    const [pots, potPrice] = [integer(2, 7), integer(2, 7)];
    return {
      question:
        `${a} buys ${count} ${things} for ${price} dollars each and ${pots} pots for ${potPrice} dollars each. ` +
        `How many dollars does ${a} pay?`,
      sums: [[count, "*", price], [pots, "*", potPrice], [count * price, "+", pots * potPrice]],
    };
  },
  ({ integer, a, b, things }) => {
    const [had, first, second] = [integer(10, 40), integer(5, 20), integer(5, 20)];
    const lost = integer(2, had + first + second - 1);
    return {
      question:
        `${a} has ${had} ${things}. ${b} gives ${a} ${first} and then ${second}. ${a} loses ${lost}. ` +
        `How many ${things} are left?`,
      sums: [[had, "+", first], [had + first, "+", second], [had + first + second, "-", lost]],
    };
  },
  ({ integer, a, things }) => {
    const had = integer(30, 99);
    const monday = integer(2, Math.floor(had / 2) - 1);
    const sunday = integer(2, Math.floor(had / 2) - 1);
    return {
      question: `${a} has ${had} ${things}. ${a} gives away ${monday} on Monday and ${sunday} on Sunday. ` +
        `How many ${things} are left?`,
      sums: [[monday, "+", sunday], [had, "-", monday + sunday]],
    };
  },
];

/** Number of templates. */
export const templateCount = templates.length;

/** A random instance of a template. */
export function wordProblem(template: number, random: () => number): WordProblem {
  const pick = (count: number) => Math.floor(random() * count);
  const a = pick(names.length);
  const b = (a + 1 + pick(names.length - 1)) % names.length;
  const { question, sums } = templates[template]!({
    integer: (least, most) => least + pick(most - least + 1),
    a: names[a]!,
    b: names[b]!,
    things: items[pick(items.length)]!,
  });
  const results = sums.map(([x, operator, y]) => operator === "+" ? x + y : operator === "-" ? x - y : x * y);
  const solution = sums.map(([x, operator, y], i) => `${x} ${operator} ${y} = ${results[i]}.`).join(" ");
  return { question, solution, result: results.at(-1)! };
}
