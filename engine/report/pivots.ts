/** Pivots of a run for people: tokens, probabilities before and after, and the traces that part there. */
import { z } from "npm:zod@4.6.7";
import { readList, readObject, readRows } from "./run_files.ts";

const probabilities = z.looseObject({ desired: z.array(z.number()), undesired: z.array(z.number()) });
const evaluationsSchema = z.record(z.string(), z.looseObject({ pivots: probabilities.optional() }));

const tokenSchema = z.looseObject({ text: z.string(), probability: z.number() });

type Token = z.infer<typeof tokenSchema>;

const pivotSchema = z.looseObject({
  omitted: z.number(),
  tokens: z.array(z.string()),
  desired: tokenSchema,
  undesired: tokenSchema,
});

const exampleSchema = z.looseObject({
  template_id: z.string(),
  instance_id: z.string(),
  greedy_correct: z.boolean(),
});

const traceSchema = z.looseObject({
  template_id: z.string(),
  instance_id: z.string(),
  correct: z.boolean(),
  text: z.string(),
});

/** A pivot: the tokens around it, and how probable its two tokens are before and after the update. */
export interface Pivot {
  readonly template_id: string;
  readonly instance_id: string;
  readonly greedy_correct: boolean;
  readonly omitted: number;
  readonly tokens: readonly string[];
  readonly desired: PivotToken;
  readonly undesired: PivotToken;
}

/** One of the two tokens; probabilities and the text of the trace that it is of where they are known. */
export interface PivotToken {
  readonly text: string;
  readonly base?: number | undefined;
  readonly amplified?: number | undefined;
  readonly trace?: string | undefined;
  /** Where in the trace it begins, in characters. */
  readonly at?: number | undefined;
}

/**
 * The pivots of a run folder, undefined where it has none; `unchanged` where no step was kept, so that the amplified model is the
 * base model.
 * @throws {InputError} for a damaged file.
 */
export async function readPivots(folder: string, unchanged = false): Promise<Pivot[] | undefined> {
  const texts = await readRows(folder, "pivots.jsonl", pivotSchema);
  const examples = await readList(folder, "localization.json", exampleSchema);
  if (!texts || !examples || texts.length !== examples.length) return undefined;
  const evaluations = await readObject(folder, "evaluations.json", evaluationsSchema) ?? {};
  const traces = await readRows(folder, "traces.jsonl", traceSchema) ?? [];
  const byProblem = Map.groupBy(traces, (trace) => problemKey(trace));
  return texts.map(({ omitted, tokens, desired, undesired }, i) => {
    const example = examples[i]!;
    const { template_id, instance_id, greedy_correct } = example;
    const own = byProblem.get(problemKey(example)) ?? [];
    const token = (name: "desired" | "undesired", { text, probability }: Token): PivotToken => {
      const trace = own.find(({ correct }) => correct === (name === "desired"))?.text;
      return {
        text,
        base: probability,
        amplified: evaluations.amplified?.pivots?.[name][i] ?? (unchanged ? probability : undefined),
        trace,
        at: trace === undefined ? undefined : placeInTrace(trace, tokens, text),
      };
    };
    return {
      template_id,
      instance_id,
      greedy_correct,
      omitted,
      tokens,
      desired: token("desired", desired),
      undesired: token("undesired", undesired),
    };
  });
}

/** Where in a trace its pivotal token begins: behind as many of the tokens before it as the trace begins with. */
function placeInTrace(trace: string, before: readonly string[], token: string): number | undefined {
  for (let first = 0; first <= before.length; first++) {
    const text = before.slice(first).join("");
    if (trace.startsWith(text + token)) return text.length;
  }
}

const problemKey = (row: { template_id: string; instance_id: string }) =>
  JSON.stringify([row.template_id, row.instance_id]);
