/** All tasks by name, and the groups that stand for several. */
import { InputError } from "../../errors.ts";
import type { AnyTask } from "./task.ts";
import { arc } from "./tasks/arc.ts";
import { gsm8k, gsm8kChainOfThought } from "./tasks/gsm8k.ts";
import { gsmSymbolic } from "./tasks/gsm_symbolic.ts";
import { hellaswag } from "./tasks/hellaswag.ts";
import { mmlu, mmluGroups } from "./tasks/mmlu.ts";
import { triviaqa } from "./tasks/triviaqa.ts";
import { truthfulqa1, truthfulqa2 } from "./tasks/truthfulqa.ts";
import { winogrande } from "./tasks/winogrande.ts";

/** Tasks by name. */
export const catalog: ReadonlyMap<string, AnyTask> = new Map(
  [
    gsm8k,
    gsm8kChainOfThought,
    ...gsmSymbolic,
    ...mmlu,
    triviaqa,
    truthfulqa1,
    truthfulqa2,
    ...arc,
    hellaswag,
    winogrande,
  ].map((task): [string, AnyTask] => [task.name, task]),
);

/** Groups by name, with their parts: tasks, or groups again. */
export const groups: ReadonlyMap<string, readonly string[]> = new Map([
  ["mmlu", Object.keys(mmluGroups)],
  ...Object.entries(mmluGroups),
]);

/** The tasks that names of tasks and groups stand for, each once. Throws InputError, which lists `others` too, for an unknown name. */
export function tasksOf(names: readonly string[], others: readonly string[] = []): AnyTask[] {
  const found = new Map<string, AnyTask>();
  for (const name of names) {
    const parts = groups.get(name);
    const task = catalog.get(name);
    if (parts) tasksOf(parts).forEach((part) => found.set(part.name, part));
    else if (task) found.set(name, task);
    else {
      const known = [...catalog.keys()].filter((one) => !one.startsWith("mmlu_"));
      throw new InputError(
        `Task "${name}" is not known; choose of ${
          [...known, ...others].join(", ")
        }, mmlu, its groups and mmlu_SUBJECT.`,
        "tasks",
      );
    }
  }
  return [...found.values()];
}
