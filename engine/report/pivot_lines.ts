/** Pivots as lines of text, for a terminal. */
import { likelihood } from "./numbers.ts";
import type { Pivot, PivotToken } from "./pivots.ts";

/** As many of a list as asked for, evenly spread over it. */
export function spreadOver<T>(all: readonly T[], count: number): T[] {
  const wanted = Math.min(count, all.length);
  return Array.from({ length: wanted }, (_, i) => all[Math.floor(i * all.length / wanted)]!);
}

/** A pivot: the question, and both traces with their pivotal tokens in brackets and how probable the unchanged model finds them. */
export function pivotLines(
  { template_id, instance_id, greedy_correct, tokens, desired, undesired }: Pivot,
): string[] {
  const text = tokens.join("");
  // What stands before the trace is the question; without a trace its place is not known.
  const at = desired.at ?? undesired.at;
  const question = at === undefined ? undefined : text.slice(0, text.length - at).trim();
  const before = text.slice(-40);
  const side = (name: string, { text, base, trace, at }: PivotToken) => {
    const marked = trace === undefined || at === undefined
      ? `…${before}[${text}]`
      : `${trace.slice(0, at).trimStart()}[${text}]${trace.slice(at + text.length).trimEnd()}`;
    const probability = base === undefined ? "" : `  (${JSON.stringify(text)}: ${likelihood(base)})`;
    return `  ${name}  ${oneLine(marked)}${probability}`;
  };
  return [
    `pivot          template ${template_id}, instance ${instance_id}; the greedy answer was ${
      greedy_correct ? "right" : "wrong"
    }`,
    ...(question === undefined
      ? []
      : [`  asked  ${oneLine(question.length > 300 ? `…${question.slice(-300)}` : question)}`]),
    side("right", desired),
    side("wrong", undesired),
  ];
}

const oneLine = (text: string) => text.replaceAll("\n", "⏎");
