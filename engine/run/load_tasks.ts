/** The tasks that settings name: each as its file says it is asked and judged, and as the settings say where it says nothing. */
import { type DataTask, loadDataTask } from "../evaluation/data_task.ts";
import type { Task, TaskPrompt } from "../evaluation/tasks.ts";
import type { DataSettings } from "./settings/evaluation.ts";
import type { PromptSettings } from "./settings/prompt.ts";

/** The main task, with how it is asked. */
export interface MainTask extends Omit<DataTask, "prompt"> {
  readonly prompt: PromptSettings;
  /** Whether its prompt is a task file's. */
  readonly ownPrompt: boolean;
}

/** Loads the main task and tells what a user should know of it. Throws InputError for data that cannot be asked or judged. */
export async function loadMainTask(
  { file, scorer }: DataSettings,
  general: PromptSettings,
  notice?: (sentence: string) => void,
): Promise<MainTask> {
  const { prompt, said, ...task } = await loadDataTask(file, { setting: "data", scorer, usual: "number" });
  const own = Object.entries(prompt ?? {}).flatMap(([key, value]) =>
    value === undefined ? [] : promptNames[key]!
  );
  const notices = own.length > 0
    ? [...said, `"${file}" says its own ${own.join(", ")}; settings of these do not change it.`]
    : said;
  notices.forEach((sentence) => notice?.(sentence));
  return {
    ...task,
    said: notices,
    prompt: { ...general, ...prompt },
    ownPrompt: prompt?.template !== undefined,
  };
}

const promptNames: Readonly<Record<string, string>> = {
  description: "description",
  template: "prompt",
  shots: "worked examples",
  stop: "stop texts",
  maxNewTokens: "number of new tokens",
} satisfies Record<keyof TaskPrompt, string>;

/** Loads the other abilities by their files. `main` is how the main task is asked, where abilities are not asked alike. */
export async function loadAbilities(
  files: Readonly<Record<string, string>>,
  { general, main }: { readonly general: PromptSettings; readonly main: PromptSettings },
  notice?: (sentence: string) => void,
): Promise<Task[]> {
  const { description, template, shots, stop, maxNewTokens } = general;
  const usual: TaskPrompt = { description, template, shots, stop, maxNewTokens };
  const alike = Object.entries(usual).every(([key, value]) => main[key as keyof TaskPrompt] === value);
  const abilities: Task[] = [];
  for (const [name, file] of Object.entries(files)) {
    const task = await loadDataTask(file, { setting: "ability", usual: "exact" });
    task.said.forEach((sentence) => notice?.(sentence));
    const { problems, scoring, prompt } = task;
    abilities.push({
      name,
      problems,
      scoring,
      ...((prompt || !alike) && { prompt: { ...usual, ...prompt } }),
    });
  }
  return abilities;
}
