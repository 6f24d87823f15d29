/**
 * Jinja as chat templates need it: `@huggingface/jinja`, corrected where it differs from Python's Jinja2, and bounded in steps,
 * time and size, since a template is a program that comes with a model. A template sees its variables and nothing else.
 *
 * | what | the library 0.5.11 | here, as Python |
 * |---|---|---|
 * | `'?a?'.strip('?')`, `lstrip`, `rstrip`, `trim('?')` | strips white space whatever is asked | the characters asked for |
 * | `{% break %}`, `{% continue %}` | drop what the iteration has written so far | keep it |
 * | `{{ true }}`, `{{ none }}` | `true`, nothing | `True`, `None` |
 * | `range(10 ** 9)`, endless recursion, strings that double | exhaust time and memory | end in an error |
 * | `strftime_now(format)` | today, some of the codes | a fixed day (see fixedDate), all codes |
 */
import { Environment, Interpreter, parse, tokenize } from "npm:@huggingface/jinja@0.5.11";
import { strftime } from "./strftime.ts";

type Program = ReturnType<typeof parse>;

/** The day that every template is told, so that a prompt is the same on every day. Llama 3's templates fall back on it. */
export const fixedDate = new Date(Date.UTC(2024, 6, 26));

/** Most steps, milliseconds, characters, items of a range and blocks inside each other of a rendering; published templates stay below a hundredth of each. */
const most = { steps: 2_000_000, ms: 800, characters: 16 * 2 ** 20, items: 100_000, blocks: 200 } as const;

/** What the library's values have in common. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}

/** A node of the library's syntax tree; fields by type. */
interface Node {
  readonly type: string;
  readonly body?: readonly Node[];
  readonly callee?: Node;
  readonly args?: readonly Node[];
  readonly object?: Node;
  readonly property?: Node;
  readonly computed?: boolean;
  readonly operand?: Node;
  readonly filter?: Node;
  readonly value?: unknown;
  readonly defaultBlock?: readonly Node[];
}

/** The parts of the library's interpreter that are replaced on an instance. */
interface Hooks {
  evaluate(node: Node, environment: Environment): Value;
  evaluateBlock(nodes: readonly Node[], environment: Environment): Value;
  evaluateFor(node: Node, environment: Environment): Value;
}

/** A loop that is running, and the error with which the library ends it, once `break` was reached. */
interface Loop {
  readonly body: readonly Node[];
  broken?: unknown;
  /** Whether a turn has come to its end, neither broken off nor continued early: else the else part runs. */
  ended: boolean;
  turns: number;
}

/** Parses a template's text. Throws Error with what is wrong with it. */
export function parseTemplate(text: string): Program {
  return parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
}

/** Renders a template with variables. Throws Error for what the template refuses, cannot do or does too much of. */
export function renderTemplate(program: Program, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  const globals = {
    ...{ false: false, true: true, none: null, False: false, True: true, None: null },
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    range: boundedRange,
    strftime_now: (format: unknown) => strftime(fixedDate, String(format)),
  };
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
  const interpreter = new Interpreter(environment);
  correct(interpreter as unknown as Hooks);
  return String((interpreter.run(program) as unknown as Value).value);
}

/** Replaces what the library does otherwise than Jinja2, and counts. */
function correct(interpreter: Hooks) {
  const [evaluate, evaluateFor] = [interpreter.evaluate, interpreter.evaluateFor].map((method) =>
    method.bind(interpreter)
  ) as [Hooks["evaluate"], Hooks["evaluateFor"]];
  const isControl = controlErrors(evaluate);
  const text = (value: string) => evaluate({ type: "StringLiteral", value }, new Environment());
  const loops: Loop[] = [];
  /** What blocks that `break` or `continue` left had written. */
  const written = new WeakMap<object, string>();
  const started = performance.now();
  let [steps, depth] = [0, 0];

  const step = (everyTime = false) => {
    if (++steps > most.steps) throw new Error("it takes too many steps");
    if ((everyTime || steps % 1024 === 0) && performance.now() - started > most.ms) {
      throw new Error("it takes too long");
    }
  };

  interpreter.evaluate = (node, environment) => {
    step();
    const stripped = node && strip(node, environment);
    const value = stripped === undefined ? evaluate(node, environment) : text(stripped);
    if (typeof value.value === "string" && value.value.length > most.characters) {
      throw new Error("it writes too much");
    }
    return value;
  };

  interpreter.evaluateBlock = (nodes, environment) => {
    const loop = loops.at(-1);
    const isLoopBody = loop?.body === nodes;
    if (isLoopBody && loop.broken) throw loop.broken;
    step();
    // The library takes an exhausted stack for an unknown variable, so depth is bounded long before.
    if (++depth > most.blocks) throw new Error("it nests too deeply");
    if (isLoopBody) loop.turns++;
    let result = "";
    try {
      for (const node of nodes) {
        const value = interpreter.evaluate(node, environment);
        result += shown(node, value);
        if (result.length > most.characters) throw new Error("it writes too much");
      }
    } catch (error) {
      const control = isControl(error);
      if (!control) throw error;
      result += written.get(error as object) ?? "";
      written.set(error as object, result);
      if (!isLoopBody) throw error;
      if (control === "break") loop.broken = error;
      return text(result);
    } finally {
      depth--;
    }
    if (isLoopBody) loop.ended = true;
    return text(result);
  };

  interpreter.evaluateFor = (node, environment) => {
    step(true);
    const loop: Loop = { body: node.body!, ended: false, turns: 0 };
    loops.push(loop);
    let result: Value;
    try {
      result = evaluateFor(node, environment);
    } finally {
      loops.pop();
    }
    if (loop.turns === 0 || loop.ended || !node.defaultBlock?.length) return result;
    return text(`${result.value}${interpreter.evaluateBlock(node.defaultBlock, environment).value}`);
  };

  /** The text of a call of strip, lstrip, rstrip or the filter trim; undefined for anything else. */
  function strip(node: Node, environment: Environment): string | undefined {
    const call = node.type === "FilterExpression" ? node.filter! : node;
    if (call.type !== "CallExpression") return undefined;
    const isFilter = node !== call;
    const callee = call.callee!;
    const name = isFilter ? callee.value : !callee.computed && callee.property?.value;
    if (isFilter ? name !== "trim" : !/^[lr]?strip$/.test(String(name))) return undefined;
    if (call.args!.length === 0) return undefined;
    const subject = interpreter.evaluate((isFilter ? node.operand : callee.object)!, environment);
    if (subject.type !== "StringValue" || call.args!.length > 1) return undefined;
    const given = interpreter.evaluate(call.args![0]!, environment);
    if (given.type === "NullValue") return stripped(subject.value as string, undefined, String(name));
    if (given.type !== "StringValue") throw new Error(`${name}() takes a text`);
    return stripped(subject.value as string, given.value as string, String(name));
  }
}

const statements = new Set(["Set", "Macro", "Comment", "Break", "Continue"]);

/** What a node writes. */
function shown({ type }: Node, value: Value): string {
  if (value.type === "UndefinedValue") return "";
  if (value.type === "NullValue") return statements.has(type) ? "" : "None";
  if (value.type === "BooleanValue") return value.value ? "True" : "False";
  return value.toString();
}

/** A text without the characters at its ends, as Python's strip, lstrip and rstrip. */
function stripped(text: string, characters: string | undefined, name: string): string {
  const points = [...text];
  const drops = characters === undefined
    ? (point: string) => /\s/.test(point)
    : (point: string) => characters.includes(point);
  let [start, end] = [0, points.length];
  if (!name.startsWith("r")) { while (start < end && drops(points[start]!)) start++; }
  if (!name.startsWith("l")) { while (end > start && drops(points[end - 1]!)) end--; }
  return points.slice(start, end).join("");
}

/** Tells the library's errors for `break` and `continue` from others; it exports neither class. */
function controlErrors(evaluate: Hooks["evaluate"]) {
  const classOf = (type: string): unknown => {
    try {
      evaluate({ type }, new Environment());
    } catch (error) {
      return (error as Error).constructor;
    }
  };
  const [broken, continued] = ["Break", "Continue"].map(classOf);
  return (error: unknown): "break" | "continue" | undefined => {
    if (typeof error !== "object" || error === null) return undefined;
    return error.constructor === broken ? "break" : error.constructor === continued ? "continue" : undefined;
  };
}

function boundedRange(first: unknown, second?: unknown, step: unknown = 1): number[] {
  const [start, stop] = second === undefined || second === null ? [0, first] : [first, second];
  if (![start, stop, step].every(Number.isInteger) || step === 0) throw new Error("range() takes integers");
  const [from, to, by] = [start, stop, step] as [number, number, number];
  const length = Math.max(0, Math.ceil((to - from) / by));
  if (length > most.items) throw new Error(`range() of ${length} items is too long`);
  return Array.from({ length }, (_, i) => from + i * by);
}
