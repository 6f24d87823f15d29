/**
 * GSM-Symbolic's template files (arXiv 2410.05229, apple/ml-gsm-symbolic), read and sampled without Python.
 *
 * A file holds `question_annotated`: the question with `{variable,example}` in it, then `#init:` (a line a variable: what it is
 * drawn from), `#conditions:` (a line each) and `#answer:` (an expression); and `answer_annotated`, a worked solution with
 * `{expression}` in it. For example:
 *
 *     {n, Kim} has {x,3} cups and buys {y,4} more. How many cups does {n, Kim} have?
 *     #init:
 *     - n = sample(names)
 *     - $x = range(2, 20)
 *     - $y = range(2, 20)
 *     #conditions:
 *     - x > y
 *     #answer: x + y
 */
import { z } from "npm:zod@4.6.7";
import { InputError } from "../../errors.ts";
import { seededRandom } from "../../random.ts";
import {
  compareValues,
  type Expression,
  floorOf,
  type Functions,
  integerOf,
  numberOf,
  parseExpression,
  shown,
  type Value,
  whole,
} from "./expression.ts";
import { fraction } from "../number.ts";
import { pools } from "./pools.ts";

const fileSchema = z.looseObject({
  id_orig: z.union([z.int(), z.string()]),
  question_annotated: z.string(),
  answer_annotated: z.string(),
});

/** A row of a data file, in the fields of GSM-Symbolic. */
export interface Instance {
  /** Of the template. */
  readonly original_id: number | string;
  readonly instance: number;
  readonly question: string;
  readonly answer: string;
}

/** A template that can be sampled. */
export interface Template {
  readonly id: number | string;
  /** What the expressions draw from. */
  readonly source: Source;
  /** Variables that one line draws together, and how; in order, since later ones may use earlier ones. */
  readonly draws: readonly {
    readonly names: readonly string[];
    readonly from: Expression;
    readonly isDrawn: boolean;
  }[];
  readonly conditions: readonly Expression[];
  /** The number behind the worked solution's `####`, as in the authors' own instances; #answer where there is none. */
  readonly answer: Expression;
  /** #answer. */
  readonly stated: Expression;
  /** Pieces of text and expressions by turns. */
  readonly question: readonly (string | Expression)[];
  readonly solution: readonly (string | Expression)[];
}

/** Most draws for one instance; conditions that so few fulfil are said to be too narrow. */
const mostDraws = 200_000;
/** Most items of a range. */
const longestRange = 100_000;

/** Where draws come from: one generator at a time, that of the instance being made. */
export interface Source {
  random: () => number;
}

/** One item of a list, or `count` distinct ones. */
function sample({ random }: Source, list: Value, count?: Value): Value {
  if (!Array.isArray(list)) throw new InputError("sample() takes a list.");
  const items = [...list as readonly Value[]];
  if (count === undefined) return items[Math.floor(random() * items.length)]!;
  const wanted = integerOf(count);
  if (wanted > items.length) throw new InputError(`sample() of ${wanted} out of ${items.length}.`);
  return Array.from({ length: wanted }, () => items.splice(Math.floor(random() * items.length), 1)[0]!);
}

/** Python's range and numpy's arange, of fractions too. */
function range(...args: Value[]): Value[] {
  const numbers = args.map(numberOf);
  const [start, stop] = numbers.length > 1 ? [numbers[0]!, numbers[1]!] : [whole(0), numbers[0]!];
  const step = numbers[2] ?? whole(1);
  const scale = start.denominator * stop.denominator * step.denominator;
  const [from, to, by] = [start, stop, step].map((value) =>
    value.numerator * (scale / value.denominator)
  ) as [
    bigint,
    bigint,
    bigint,
  ];
  if (by <= 0n) throw new InputError("A range that does not rise.");
  const items: Value[] = [];
  for (let value = from; value < to && items.length < longestRange; value += by) {
    items.push(fraction(value, scale)!);
  }
  return items;
}

const same = (list: Value): Value => list;
/** What expressions may call; draws take their numbers from `source`. */
const functionsOf = (source: Source): Functions => ({
  sample: (list, count) => sample(source, list!, count),
  sample_sequential: (list, count) => {
    const items = list as readonly Value[];
    const first = Math.floor(source.random() * (items.length - integerOf(count!) + 1));
    return items.slice(first, first + integerOf(count!));
  },
  range,
  "np.arange": range,
  frange: range,
  numbers_within: (from, to) => range(from!, whole(integerOf(to!) + 1)),
  "np.random.randint": (from, to, count) =>
    Array.from(
      { length: count === undefined ? 1 : integerOf(count) },
      () => whole(integerOf(from!) + Math.floor(source.random() * (integerOf(to!) - integerOf(from!)))),
    ),
  list: (list) => same(list!),
  fix_floats: (list) => same(list!),
  shuffle_list: (list) => same(list!),
  int: (value) => {
    const number = numberOf(value!);
    return whole(number.numerator / number.denominator);
  },
  round: (value, places) => {
    const scale = whole(10n ** BigInt(places === undefined ? 0 : integerOf(places)));
    const { numerator, denominator } = numberOf(value!);
    // Half to even, as Python rounds.
    const scaled = { numerator: numerator * scale.numerator, denominator };
    const below = floorOf(scaled);
    const twice = 2n * (scaled.numerator - below * denominator);
    const up = twice > denominator || (twice === denominator && below % 2n !== 0n);
    return fraction(below + (up ? 1n : 0n), scale.numerator)!;
  },
  is_int: (value) => numberOf(value!).denominator === 1n,
  divides: (value, by) => {
    const [a, b] = [numberOf(value!), numberOf(by!)];
    return b.numerator !== 0n && (a.numerator * b.denominator) % (b.numerator * a.denominator) === 0n;
  },
  Fraction: (value, below) => {
    const [a, b] = [numberOf(value!), below === undefined ? whole(1) : numberOf(below)];
    const quotient = fraction(a.numerator * b.denominator, a.denominator * b.numerator);
    if (!quotient) throw new InputError("A fraction over 0.");
    return quotient;
  },
  format_frac: (value) => same(value!),
  abs: (value) => {
    const { numerator, denominator } = numberOf(value!);
    return { numerator: numerator < 0n ? -numerator : numerator, denominator };
  },
  len: (list) => whole((list as readonly Value[]).length),
  str: (value) => shown(value!),
});

/**
 * Reads a template file's object; `path` names it in messages.
 * @throws {InputError} for a file that is no template, or whose expressions cannot be read.
 */
export function readTemplate(object: unknown, path: string): Template {
  const parsed = fileSchema.safeParse(object);
  if (!parsed.success) {
    throw new InputError(
      `Template file "${path}" lacks "${parsed.error.issues[0]!.path.join(".")}" as it should be.`,
    );
  }
  const { id_orig: id, question_annotated, answer_annotated } = parsed.data;
  const match = /^([^]*?)#init:?([^]*?)(?:#conditions?:?([^]*?))?#answer:?([^]*)$/.exec(question_annotated);
  if (!match) {
    throw new InputError(`Template file "${path}" lacks #init: or #answer: in "question_annotated".`);
  }
  const [, text, init, conditions = "", answer] = match;
  const source: Source = { random: () => 0 };
  const functions = functionsOf(source);
  const read = (expression: string): Expression => {
    try {
      return parseExpression(expression, functions);
    } catch (error) {
      throw placed(error, path);
    }
  };
  const stated = read(answer!.trim().replace(/^[={$\s]+|\}$/g, ""));
  const marked = /####\s*\{([^{}]*)\}\s*$/.exec(answer_annotated)?.[1];
  return {
    id,
    source,
    draws: linesOf(init!).map((line) => {
      const found = /^(\$?)\s*([\w$]+(?:\s*,\s*[\w$]+)*)\s*=\s*([^]+)$/.exec(line);
      if (!found) throw new InputError(`Template file "${path}": "${line}" draws no variable.`);
      const names = found[2]!.split(",").map((name) => name.replace("$", "").trim());
      // A list is what one value is drawn from; what sample() yields is drawn already, a pair too.
      const isDrawn = /^sample(_sequential)?\(/.test(found[3]!);
      return { names, from: read(found[3]!), isDrawn };
    }),
    conditions: linesOf(conditions).map(read),
    answer: marked === undefined ? stated : read(marked),
    stated,
    question: pieces(text!.trim(), (inside) => read(inside.split(",", 1)[0]!)),
    solution: pieces(answer_annotated.trim(), read),
  };
}

function placed(error: unknown, path: string): unknown {
  return error instanceof InputError ? new InputError(`Template file "${path}": ${error.message}`) : error;
}

/** The lines of a section, without their dashes. */
function linesOf(section: string): string[] {
  return section.split("\n").map((line) => line.replace(/^\s*-\s*/, "").trim()).filter((line) =>
    line !== "" && !line.startsWith("#")
  );
}

function pieces(text: string, read: (inside: string) => Expression): (string | Expression)[] {
  return text.split(/\{([^{}]*)\}/).map((piece, i) => i % 2 ? read(piece) : piece);
}

/**
 * Distinct instances of a template. The same seed gives the same instances, whatever other templates there are.
 * @throws {InputError} where an expression cannot be computed, or too few draws fulfil the conditions.
 */
export function sampleTemplate(
  template: Template,
  count: number,
  seed: number | string,
  path: string,
  notice?: (sentence: string) => void,
): Instance[] {
  template.source.random = seededRandom(`${seed}/template/${template.id}/${path}`);
  let disagrees = false;
  const found = new Map<string, Instance>();
  try {
    for (let draws = 0; found.size < count; draws++) {
      if (draws > mostDraws * (found.size + 1)) {
        throw new InputError(`only ${found.size} of ${count} distinct instances were found; ask for fewer.`);
      }
      const variables = draw(template);
      if (!template.conditions.every((condition) => condition(variables) === true)) continue;
      const question = write(template.question, variables);
      if (found.has(question)) continue;
      if (compareValues(template.answer(variables), template.stated(variables)) !== 0) disagrees = true;
      found.set(question, {
        original_id: template.id,
        instance: found.size,
        question,
        answer: solutionOf(template, variables),
      });
    }
  } catch (error) {
    throw placed(error, path);
  }
  if (disagrees) {
    notice?.(`Template file "${path}": #answer is not what the worked solution ends on, which counts.`);
  }
  return [...found.values()];
}

function draw({ draws, source }: Template): Record<string, Value> {
  const variables: Record<string, Value> = { ...pools };
  for (const { names, from, isDrawn } of draws) {
    const drawn = from(variables);
    if (names.length > 1) names.forEach((name, i) => variables[name] = (drawn as readonly Value[])[i]!);
    else variables[names[0]!] = Array.isArray(drawn) && !isDrawn ? sample(source, drawn) : drawn;
  }
  return variables;
}

function write(parts: readonly (string | Expression)[], variables: Readonly<Record<string, Value>>): string {
  return parts.map((part) => typeof part === "string" ? part : shown(part(variables))).join("");
}

/** Variables with numbers for words that stand for them: a solution computes with 3, not with "three times". */
function numbersFor(variables: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [
      name,
      typeof value === "object" && "text" in value && !/^\d/.test(value.text) ? value.value : value,
    ]),
  );
}

/** The worked solution with its number as the last line. */
function solutionOf(template: Template, variables: Readonly<Record<string, Value>>): string {
  const answer = shown(numberOf(template.answer(variables)));
  const worked = write(template.solution, numbersFor(variables)).replace(/\n*####[^\n]*$/, "");
  return `${worked}\n#### ${answer}`;
}
