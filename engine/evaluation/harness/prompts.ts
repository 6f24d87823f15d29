/** Rows as requests: contexts with worked examples, as text or as a conversation, and what is asked after them. */
import { InputError } from "../../errors.ts";
import type { ChatMessage } from "../../model/chat_template.ts";
import { PythonRandom } from "./python_random.ts";
import { answerDelimiter, type AnyTask, exampleDelimiter } from "./task.ts";

/** One row with its prompt. */
export interface Prompted {
  /** Its number in the whole split, from 0. */
  readonly docId: number;
  /** The row as published. */
  readonly row: Readonly<Record<string, unknown>>;
  /** The row as its task reads it. */
  readonly doc: unknown;
  /** One, or one for each choice. */
  readonly contexts: readonly string[];
  /** Of a choice task, with the delimiter before them. */
  readonly continuations: readonly string[];
}

/** Rows of both parts: as published, and as the task reads them. */
export interface TaskRows {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly docs: readonly unknown[];
  /** Where worked examples come from; none where the task brings its own or needs none. */
  readonly shotDocs: readonly unknown[];
}

/** How prompts are made. */
export interface PromptForm {
  readonly shots: number;
  /** Seed of the choice of worked examples; the harness's own is 1234. */
  readonly seed: number;
  /** Turns a conversation into text, where the model is asked in one. */
  readonly chat?: (messages: readonly ChatMessage[]) => string;
}

/** How many worked examples a prompt has: as asked, unless the task fixes it. */
export function shotCount(task: AnyTask, asked: number | undefined): number {
  return task.shotsFixed ? task.shots : asked ?? task.shots;
}

/**
 * The prompts of the first `limit` rows. Which examples a row gets depends on its number alone, so that parts of a split that are
 * run apart agree.
 * @throws InputError if there are fewer worked examples than asked for.
 */
export function promptsOf(task: AnyTask, data: TaskRows, form: PromptForm, limit = Infinity): Prompted[] {
  const random = new PythonRandom(form.seed);
  return data.docs.slice(0, limit).map((doc, docId) => {
    const shots = shotsFor(task, doc, data, form.shots, random);
    const texts: readonly string[] = task.kind === "choice" && task.contexts
      ? task.contexts(doc)
      : [task.text(doc)];
    const ask = (text: string) =>
      form.chat ? conversation(task, shots, text, form.chat) : plain(task, shots, text);
    const delimiter = form.chat ? "" : answerDelimiter; // a turn begins without a space
    return {
      docId,
      row: { ...data.rows[docId]!, ...task.derived?.(doc) },
      doc,
      contexts: texts.map(ask),
      continuations: task.kind === "choice" ? task.choices(doc).map((choice) => delimiter + choice) : [],
    };
  });
}

function shotsFor(
  task: AnyTask,
  doc: unknown,
  data: TaskRows,
  count: number,
  random: PythonRandom,
): unknown[] {
  if (count === 0) return [];
  const from: readonly unknown[] = task.shotDocs ?? data.shotDocs;
  // Where nothing but a validation part exists, a spare one is drawn for the case that the row draws itself.
  const spare = task.sampler !== "first" && task.split === "validation" ? 1 : 0;
  if (from.length < count + spare) {
    throw new InputError(
      `Task ${task.name} has ${from.length} rows to take ${count} worked examples from; ask for fewer.`,
      "num-fewshot",
    );
  }
  if (task.sampler === "first") return from.slice(0, count);
  const same = spare ? JSON.stringify(doc) : undefined;
  return random.sample(from, count + spare)
    .filter((shot) => !spare || JSON.stringify(shot) !== same)
    .slice(0, count);
}

function plain(task: AnyTask, shots: readonly unknown[], text: string): string {
  const examples = shots.map((shot) => {
    const answer = task.answer(shot);
    return task.text(shot) + (answer && answerDelimiter + answer) + exampleDelimiter;
  });
  return (task.description ?? "") + examples.join("") + text;
}

function conversation(
  task: AnyTask,
  shots: readonly unknown[],
  text: string,
  render: (messages: readonly ChatMessage[]) => string,
): string {
  return render([
    ...(task.description ? [{ role: "system", content: task.description } as const] : []),
    ...shots.flatMap((shot): ChatMessage[] => [
      { role: "user", content: task.text(shot) },
      { role: "assistant", content: task.answer(shot) },
    ]),
    { role: "user", content: text },
  ]);
}
