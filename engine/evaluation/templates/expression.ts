/**
 * The expressions of GSM-Symbolic's template files: a subset of Python, read and computed here, with exact fractions in place of
 * floats, so that `0.1 * 30` is 3. Nothing else can be said in them: no attribute, no assignment, no call but of the functions given.
 */
import { InputError } from "../../errors.ts";
import { type ExactNumber, fraction } from "../number.ts";

/** A value that is written otherwise than it is computed with, such as "half" for 1/2. */
export interface Named {
  readonly text: string;
  readonly value: ExactNumber;
}

/** What an expression may yield. */
export type Value = ExactNumber | string | boolean | Named | readonly Value[];

/** Functions by name, dots included (`np.arange`). */
export type Functions = Readonly<Record<string, (...args: Value[]) => Value>>;

/** A parsed expression: computes its value from variables. */
export type Expression = (variables: Readonly<Record<string, Value>>) => Value;

export const whole = (value: number | bigint): ExactNumber => ({ numerator: BigInt(value), denominator: 1n });
const isNumber = (value: Value): value is ExactNumber => typeof value === "object" && "numerator" in value;
const isNamed = (value: Value): value is Named => typeof value === "object" && "text" in value;

/** The number that a value is. Throws InputError for one that is none. */
export function numberOf(value: Value): ExactNumber {
  if (isNumber(value)) return value;
  if (isNamed(value)) return value.value;
  if (typeof value === "boolean") return whole(value ? 1 : 0);
  throw new InputError(`${shown(value)} is no number.`);
}

/** The integer that a value is. Throws InputError for one that is none. */
export function integerOf(value: Value): number {
  const { numerator, denominator } = numberOf(value);
  if (denominator !== 1n) throw new InputError(`${shown(value)} is no integer.`);
  return Number(numerator);
}

/** A value as text in a problem. */
export function shown(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (isNamed(value)) return value.text;
  if (!isNumber(value)) return `[${value.map(shown).join(", ")}]`;
  const { numerator, denominator } = value;
  if (denominator === 1n) return `${numerator}`;
  const digits = 20n;
  const scale = 10n ** digits;
  const exact = scale % denominator === 0n;
  if (!exact) return String(Number((Number(numerator) / Number(denominator)).toPrecision(12)));
  const text = `${(numerator < 0n ? -numerator : numerator) * (scale / denominator)}`.padStart(21, "0");
  return `${numerator < 0n ? "-" : ""}${text.slice(0, -20)}.${text.slice(-20).replace(/0+$/, "")}`;
}

export const floorOf = ({ numerator, denominator }: ExactNumber): bigint => {
  const quotient = numerator / denominator;
  return numerator % denominator < 0n ? quotient - 1n : quotient;
};
const minus = (a: ExactNumber, b: ExactNumber) =>
  fraction(a.numerator * b.denominator - b.numerator * a.denominator, a.denominator * b.denominator)!;
const times = (a: ExactNumber, b: ExactNumber) =>
  fraction(a.numerator * b.numerator, a.denominator * b.denominator)!;

function over(a: ExactNumber, b: ExactNumber): ExactNumber {
  const result = fraction(a.numerator * b.denominator, a.denominator * b.numerator);
  if (!result) throw new InputError("A division by 0.");
  return result;
}

function power(a: ExactNumber, b: ExactNumber): ExactNumber {
  const exponent = Number(b.numerator);
  if (b.denominator !== 1n || Math.abs(exponent) > 64) {
    throw new InputError("A power that is no small integer.");
  }
  const [n, d] = [a.numerator ** BigInt(Math.abs(exponent)), a.denominator ** BigInt(Math.abs(exponent))];
  return exponent < 0 ? over(whole(d), whole(n)) : fraction(n, d)!;
}

/** The order of two values: below 0, 0 or above 0. */
export function compareValues(a: Value, b: Value): number {
  if (typeof a === "string" || typeof b === "string") {
    const [x, y] = [shown(a), shown(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  const { numerator } = minus(numberOf(a), numberOf(b));
  return numerator < 0n ? -1 : numerator > 0n ? 1 : 0;
}

const binary: Readonly<Record<string, (a: Value, b: Value) => Value>> = {
  "+": (a, b) => {
    if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
    if (typeof a === "string" && typeof b === "string") return a + b;
    const [x, y] = [numberOf(a), numberOf(b)];
    return minus(x, { ...y, numerator: -y.numerator });
  },
  "-": (a, b) => minus(numberOf(a), numberOf(b)),
  "*": (a, b) =>
    Array.isArray(a)
      ? Array.from({ length: integerOf(b) }, () => a as readonly Value[]).flat()
      : times(numberOf(a), numberOf(b)),
  "/": (a, b) => over(numberOf(a), numberOf(b)),
  "//": (a, b) => whole(floorOf(over(numberOf(a), numberOf(b)))),
  "%": (a, b) => {
    const [x, y] = [numberOf(a), numberOf(b)];
    return minus(x, times(whole(floorOf(over(x, y))), y));
  },
  "**": (a, b) => power(numberOf(a), numberOf(b)),
};
const comparisons: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  "==": (a, b) => compareValues(a, b) === 0,
  "!=": (a, b) => compareValues(a, b) !== 0,
  "<": (a, b) => compareValues(a, b) < 0,
  "<=": (a, b) => compareValues(a, b) <= 0,
  ">": (a, b) => compareValues(a, b) > 0,
  ">=": (a, b) => compareValues(a, b) >= 0,
  "in": (a, b) => (b as readonly Value[]).some((one) => compareValues(a, one) === 0),
};
const truth = (value: Value) =>
  typeof value === "boolean"
    ? value
    : typeof value === "string" || Array.isArray(value)
    ? value.length > 0
    : numberOf(value).numerator !== 0n;

const tokens =
  /\s*(\d+\.?\d*|\.\d+|"[^"]*"|'[^']*'|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\*\*|\/\/|==|!=|<=|>=|[-+*/%<>()[\],:])/gy;

/**
 * Reads an expression.
 * @throws {InputError} for text that is none, and a function that there is not.
 */
export function parseExpression(text: string, functions: Functions): Expression {
  const words: string[] = [];
  tokens.lastIndex = 0;
  while (tokens.lastIndex < text.trimEnd().length) {
    const at = tokens.lastIndex;
    const match = tokens.exec(text);
    if (!match) {
      throw new InputError(`"${text.trim()}" cannot be read at "${text.slice(at).trim().slice(0, 20)}".`);
    }
    words.push(match[1]!);
  }
  let at = 0;
  const peek = () => words[at];
  const take = (word: string) => peek() === word && (at++, true);
  const need = (word: string) => {
    if (!take(word)) {
      throw new InputError(`"${text.trim()}" lacks "${word}"${peek() ? ` before "${peek()}"` : ""}.`);
    }
  };

  const list = (end: string): Expression[] => {
    const items: Expression[] = [];
    while (!take(end)) {
      items.push(choice());
      if (!take(",") && peek() !== end) need(end);
    }
    return items;
  };
  const atom = (): Expression => {
    const word = words[at++];
    if (word === undefined) throw new InputError(`"${text.trim()}" ends too early.`);
    if (word === "(") {
      const inside = choice();
      if (take(")")) return inside;
      need(",");
      const items = [inside, ...list(")")];
      return (variables) => {
        const values = items.map((item) => item(variables));
        const [text, number] = values;
        // A pair of words and what they stand for.
        return values.length === 2 && typeof number === "object" && "numerator" in number
          ? { text: shown(text!), value: number }
          : values;
      };
    }
    if (word === "[") {
      const items = list("]");
      return (variables) => items.map((item) => item(variables));
    }
    if (/^["']/.test(word)) return () => word.slice(1, -1);
    if (/^[\d.]/.test(word)) {
      const [before, after = ""] = word.split(".");
      const value = fraction(BigInt(`${before}${after}` || "0"), 10n ** BigInt(after.length))!;
      return () => value;
    }
    if (word === "True" || word === "False") return () => word === "True";
    if (!/^[A-Za-z_]/.test(word)) throw new InputError(`"${text.trim()}" cannot be read at "${word}".`);
    if (take("(")) {
      const call = Object.hasOwn(functions, word) ? functions[word]! : undefined;
      if (!call) throw new InputError(`There is no function "${word}".`);
      const args = list(")");
      return (variables) => call(...args.map((arg) => arg(variables)));
    }
    return (variables) => {
      if (!Object.hasOwn(variables, word)) throw new InputError(`There is no variable "${word}".`);
      return variables[word]!;
    };
  };
  const indexed = (): Expression => {
    let value = atom();
    while (take("[")) {
      const inner = value;
      if (take(":")) {
        const end = choice();
        need("]");
        value = (variables) => (inner(variables) as readonly Value[]).slice(0, integerOf(end(variables)));
        continue;
      }
      const index = choice();
      need("]");
      value = (variables) => {
        const from = inner(variables);
        // What stands for a number is a pair of its words and its value.
        const items = typeof from === "object" && "text" in from
          ? [from.text, from.value]
          : from as readonly Value[];
        const one = items[integerOf(index(variables))];
        if (one === undefined) throw new InputError(`"${text.trim()}" counts beyond its list.`);
        return one;
      };
    }
    return value;
  };
  const powered = (): Expression => {
    const base = indexed();
    if (!take("**")) return base;
    const exponent = signed();
    return (variables) => binary["**"]!(base(variables), exponent(variables));
  };
  const signed = (): Expression => {
    if (take("-")) {
      const value = signed();
      return (variables) => binary["-"]!(whole(0), value(variables));
    }
    return take("+") ? signed() : powered();
  };
  const level = (operators: readonly string[], below: () => Expression) => (): Expression => {
    let left = below();
    while (operators.includes(peek() ?? "")) {
      const [operator, first, second] = [words[at++]!, left, below()];
      left = (variables) => binary[operator]!(first(variables), second(variables));
    }
    return left;
  };
  const sum = level(["+", "-"], level(["*", "/", "//", "%"], signed));
  const compared = (): Expression => {
    const first = sum();
    const rest: [string, Expression][] = [];
    for (;;) {
      const operator = peek() === "not" && words[at + 1] === "in" ? (at++, "not in") : peek() ?? "";
      if (operator !== "not in" && !Object.hasOwn(comparisons, operator)) break;
      at++;
      rest.push([operator, sum()]);
    }
    if (rest.length === 0) return first;
    return (variables) => {
      let left = first(variables);
      return rest.every(([operator, right]) => {
        const [a, b] = [left, right(variables)];
        left = b;
        return operator === "not in" ? !comparisons.in!(a, b) : comparisons[operator]!(a, b);
      });
    };
  };
  const negated = (): Expression => {
    if (!take("not")) return compared();
    const value = negated();
    return (variables) => !truth(value(variables));
  };
  const both = (): Expression => {
    let left = negated();
    while (take("and")) {
      const [a, b] = [left, negated()];
      left = (variables) => truth(a(variables)) ? b(variables) : false;
    }
    return left;
  };
  const either = (): Expression => {
    let left = both();
    while (take("or")) {
      const [a, b] = [left, both()];
      left = (variables) => {
        const value = a(variables);
        return truth(value) ? value : b(variables);
      };
    }
    return left;
  };
  function choice(): Expression {
    const value = either();
    if (!take("if")) return value;
    const condition = either();
    need("else");
    const other = choice();
    return (variables) => truth(condition(variables)) ? value(variables) : other(variables);
  }

  const parsed = choice();
  if (peek() !== undefined) throw new InputError(`"${text.trim()}" cannot be read at "${peek()}".`);
  return parsed;
}
