/**
 * Everything the embedded models are trained and measured on, made from seeds: word problems, choices, reversals and
 * facts. The data sets hold questions that training never shows, but for the facts, which can only be learnt.
 */
import { plainTemplate } from "../evaluation/prompt.ts";
import { seededRandom, shuffled } from "../random.ts";
import { templateCount, wordProblem } from "./arithmetic.ts";
import { factValues, items, names, ordinals, places } from "./words.ts";

/** The four abilities. */
export const kinds = ["math", "choice", "reverse", "fact"] as const;
/** One of kinds. */
export type Kind = typeof kinds[number];

/** A question and the completion that answers it, from the space after "A:" to the final period. */
export interface Exercise {
  readonly kind: Kind;
  readonly question: string;
  readonly completion: string;
}

/** The text that an exercise's completion follows. */
export function promptOf({ question }: Pick<Exercise, "question">): string {
  return plainTemplate.replace("{question}", () => question);
}

/** A row of a data file; `original_id` (template) and `instance` as in GSM-Symbolic, in math alone. */
export interface DataRow {
  readonly id: number;
  readonly original_id?: number;
  readonly instance?: number;
  readonly question: string;
  readonly answer: string;
}

/** The data files by ability. */
export type DataSets = Readonly<Record<Kind, readonly DataRow[]>>;

const instancesPerTemplate = 100;
const rowsOfChoices = 300;
/** Shares of a training batch; the rest are word problems. */
const shares = { choice: 0.1, reverse: 0.1, fact: 0.1 } as const;

/** A question with a short answer. */
type Plain = Pick<DataRow, "question" | "answer">;

function pick<T>(list: readonly T[], random: () => number): T {
  return list[Math.floor(random() * list.length)]!;
}

function choice(random: () => number): Plain {
  if (random() < 0.5) {
    const three = shuffled(items, random).slice(0, 3);
    const place = Math.floor(random() * 3);
    return { question: `Which is ${ordinals[place]}? ${three.join(" ")}`, answer: three[place]! };
  }
  const a = 10 + Math.floor(random() * 89);
  let b = 10 + Math.floor(random() * 88);
  if (b >= a) b++;
  const larger = random() < 0.5;
  return {
    question: `Which is ${larger ? "larger" : "smaller"}? (A) ${a} (B) ${b}`,
    answer: (a > b) === larger ? "A" : "B",
  };
}

function reversal(random: () => number): Plain {
  const words = shuffled([...names, ...items], random).slice(0, 3 + Math.floor(random() * 4));
  return { question: `Reverse: ${words.join(" ")}`, answer: words.toReversed().join(" ") };
}

function facts(random: () => number): Plain[] {
  return places.flatMap((place) =>
    Object.entries(factValues).map(([kind, values]) => ({
      question: `What is the ${kind} of ${place}?`,
      answer: pick(values, random),
    }))
  );
}

/** `count` results of `draw` with questions that no other of them has. */
function distinct<T extends { readonly question: string }>(count: number, draw: () => T): T[] {
  const found = new Map<string, T>();
  while (found.size < count) {
    const next = draw();
    if (!found.has(next.question)) found.set(next.question, next);
  }
  return [...found.values()];
}

/** The data sets of a seed: 1,200 word problems, 300 choices, 300 reversals, 72 facts. */
export function makeDataSets(seed: number): DataSets {
  const stream = (name: string) => seededRandom(`${seed}/data/${name}`);
  const numbered = (rows: readonly Plain[]) => rows.map((row, id) => ({ id, ...row }));
  const math = Array.from({ length: templateCount }, (_, template) => {
    const random = stream(`math/${template}`);
    return distinct(instancesPerTemplate, () => wordProblem(template, random))
      .map(({ question, solution, result }, instance) => ({
        id: template * instancesPerTemplate + instance,
        original_id: template,
        instance,
        question,
        answer: `${solution}\n#### ${result}`,
      }));
  }).flat();
  const [choices, reversals] = [stream("choice"), stream("reverse")];
  return {
    math,
    choice: numbered(distinct(rowsOfChoices, () => choice(choices))),
    reverse: numbered(distinct(rowsOfChoices, () => reversal(reversals))),
    fact: numbered(facts(stream("fact"))),
  };
}

/** Draws training exercises, batch by batch; a batch depends on the seed and its number alone. */
export class ExerciseStream {
  private readonly held: ReadonlySet<string>;

  /** Questions of `sets` are never drawn, but for its facts. */
  constructor(private readonly seed: number, private readonly sets: DataSets) {
    this.held = new Set([...sets.math, ...sets.choice, ...sets.reverse].map(({ question }) => question));
  }

  /** The exercises of batch `number`. */
  batch(number: number, size: number): Exercise[] {
    const random = seededRandom(`${this.seed}/batch/${number}`);
    return Array.from({ length: size }, () => this.draw(random));
  }

  private draw(random: () => number): Exercise {
    const kind = this.drawKind(random());
    for (;;) {
      const exercise = this.exercise(kind, random);
      if (!this.held.has(exercise.question)) return exercise;
    }
  }

  private drawKind(at: number): Kind {
    for (const [kind, share] of Object.entries(shares)) {
      if (at < share) return kind as Kind;
      at -= share;
    }
    return "math";
  }

  private exercise(kind: Kind, random: () => number): Exercise {
    if (kind === "math") {
      const { question, solution, result } = wordProblem(Math.floor(random() * templateCount), random);
      return { kind, question, completion: ` ${solution} The answer is ${result}.` };
    }
    const { question, answer } = kind === "choice"
      ? choice(random)
      : kind === "reverse"
      ? reversal(random)
      : pick(this.sets.fact, random);
    return { kind, question, completion: ` ${answer}.` };
  }
}
