/**
 * How a model is asked: what was chosen, else what its folder's prompt.json says, else chain of thought after eight worked
 * examples. Embedded models carry a prompt.json because they were trained on prompts of their own.
 */
import { isAbsolute, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { chainOfThoughtTemplate, chatMessages, nextExample, requireQuestion } from "../evaluation/prompt.ts";
import { readShots, type Shots } from "../evaluation/shots.ts";
import type { PromptOptions } from "../evaluation/tasks.ts";
import { ChatTemplate, requireChatTemplate } from "../model/chat_template.ts";
import { belongsToModel, isInside } from "../checkpoint/model_folder.ts";
import { describe, readJsonObject } from "../json_objects.ts";
import type { PromptChoices, PromptSettings, ShotsChoice } from "./settings/prompt.ts";

/** Room for a worked solution of a grade-school problem. */
const reasoningTokens = 320;

const fileSchema = z.strictObject({
  template: z.string("give a text").optional(),
  shots: z.string('give "none", "default" or a file name').optional(),
  stop: z.array(
    z.string("give a list of texts").min(1, "give texts that are not empty"),
    "give a list of texts",
  )
    .optional(),
  thinking_tags: z.array(
    z.string('give a list of texts like "<think> </think>"').regex(
      /^\S+ \S+$/,
      "give two tags parted by a space",
    ),
    'give a list of texts like "<think> </think>"',
  ).optional(),
  max_new_tokens: z.int("give a positive integer").positive("give a positive integer").optional(),
});

/**
 * Resolves how the model in `folder` is asked, down to the text of the shots. Outside of chats the default stop text of a
 * prompt with shots is the beginning of one more example; a chat's default template is the question as it is.
 *
 * @throws InputError for a malformed prompt.json, shots that cannot be read, or a chat template that is missing or fails.
 *
 * @example How a folder wants to be asked
 * ```ts
 * import { promptSettings } from "../../mod.ts";
 *
 * console.log((await promptSettings("fixtures/gemma2-mini")).template); // Q: {question}, A:
 * ```
 */
export async function promptSettings(folder: string, choices: PromptChoices = {}): Promise<PromptSettings> {
  const own = await readPromptFile(folder);
  const chat = choices.chat ?? false;
  const template = choices.template ?? (chat ? "{question}" : own.template ?? chainOfThoughtTemplate);
  requireQuestion(template);
  const shots = await chosenShots(choices.shots ?? own.shots ?? "default");
  const thinkingTags = choices.thinkingTags ?? own.thinking_tags;
  const settings: PromptSettings = {
    ...(choices.description !== undefined && { description: choices.description }),
    template,
    shots,
    chat,
    stop: choices.stop ?? own.stop ??
      (chat || shots.length === 0 ? [] : [nextExample(template) ?? []].flat()),
    maxNewTokens: choices.maxNewTokens ?? own.max_new_tokens ?? reasoningTokens,
    ...(thinkingTags && { thinkingTags }),
    ...(choices.templateVariables && { templateVariables: choices.templateVariables }),
    ...(choices.specialTokens && { specialTokens: true }),
  };
  if (settings.templateVariables && !chat) {
    throw new InputError(
      "Template variables are those of the chat template; ask in a chat.",
      "template-var",
      "chat",
    );
  }
  // A template that fails should do so before gigabytes of weights are loaded; a missing folder is for that to report.
  if (chat && await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false)) {
    const messages = chatMessages("?", settings);
    requireChatTemplate(await ChatTemplate.load(folder), folder).render(messages, settings.templateVariables);
  }
  return settings;
}

function chosenShots(choice: ShotsChoice): Promise<Shots> | Shots {
  if (typeof choice === "string") return readShots(choice);
  return "text" in choice ? choice.text : choice;
}

/**
 * How settings have prompts made and completions read.
 *
 * @example Settings as evaluateTask takes them
 * ```ts
 * import { promptOptions, promptSettings } from "../../mod.ts";
 *
 * const prompt = await promptSettings("fixtures/gemma2-mini");
 * const options = promptOptions({ prompt, referenceCompat: false });
 * console.log(options.maxNewTokens);
 * ```
 */
export function promptOptions(
  { prompt, referenceCompat }: { readonly prompt: PromptSettings; readonly referenceCompat: boolean },
): PromptOptions {
  return { ...prompt, referenceCompat };
}

/** prompt.json of a model folder, checked, with the file of its shots found beside it; nothing where there is none. */
async function readPromptFile(folder: string): Promise<z.infer<typeof fileSchema>> {
  const path = join(folder, "prompt.json");
  const object = await readJsonObject(path);
  if (object === undefined) return {};
  const parsed = fileSchema.safeParse(object);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    if (issue.code === "unrecognized_keys") {
      const known = Object.keys(fileSchema.shape).join(", ");
      throw new InputError(
        `File "${path}" sets "${issue.keys[0]}", which means nothing; it may set ${known}.`,
      );
    }
    const field = String(issue.path[0]);
    throw new InputError(
      `Field "${field}" in "${path}" is ${describe(object[field])}: ${issue.message}.`,
    );
  }
  const { template, shots, ...rest } = parsed.data;
  if (template !== undefined && !template.includes("{question}")) {
    throw new InputError(
      `Field "template" in "${path}" does not contain {question}; put it where the question goes.`,
    );
  }
  const found = shots === undefined ? undefined : await shotsBeside(folder, shots);
  return {
    ...rest,
    ...(template !== undefined && { template }),
    ...(found !== undefined && { shots: found }),
  };
}

/** The shots that a model folder names. Throws InputError for a file that is not its own: a model is not to read what is a user's. */
async function shotsBeside(folder: string, shots: string): Promise<string> {
  if (shots === "none" || shots === "default") return shots;
  const path = join(folder, shots);
  const isOwn = !isAbsolute(shots) && isInside(folder, path) &&
    await belongsToModel(folder, path).catch(() => true); // what is not there is told when it is read
  if (isOwn) return path;
  throw new InputError(
    `Field "shots" in "${join(folder, "prompt.json")}" is ${
      describe(shots)
    }, which lies outside of the model folder; ` +
      "put the file into it, or choose the shots yourself.",
    "shots",
  );
}
