/** Chat templates: the Jinja text by which an instruction-tuned model's folder turns a conversation into a prompt. */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";
import { renderBounded } from "./template_work.ts";
import { tokenText } from "./tokenizer_library.ts";
import { readWholeText } from "../whole_file.ts";

/** One turn of a conversation. */
export interface ChatMessage {
  /** Who speaks. */
  readonly role: "system" | "user" | "assistant";
  /** What is said. */
  readonly content: string;
}

/** Values for a template's own variables, such as enable_thinking. */
export type TemplateVariables = Readonly<Record<string, unknown>>;

const specialTokens = ["bos_token", "eos_token", "pad_token", "unk_token"] as const;

/** The chat template of one model folder. */
export class ChatTemplate {
  private constructor(
    /** Looked at when first used: a model that is never chatted with need not have a good one. */
    private readonly source: unknown,
    /** The file it stands in. */
    private readonly path: string,
    private readonly variables: Readonly<Record<string, string>>,
  ) {}

  /**
   * Finds the template of model folder `dir` where transformers looks for it: chat_template.jinja, then chat_template in
   * tokenizer_config.json (text, or a list of named ones of which "default" is taken), then chat_template.json.
   * Undefined where there is none. Throws InputError when one of the files is malformed.
   */
  static async load(dir: string): Promise<ChatTemplate | undefined> {
    const settingsPath = join(dir, "tokenizer_config.json");
    const settings = await readJsonObject(settingsPath);
    const map = await readJsonObject(join(dir, "special_tokens_map.json"));
    const variables = Object.fromEntries(specialTokens.flatMap((name) => {
      const text = tokenText(settings?.[name]) ?? tokenText(map?.[name]);
      return text === undefined ? [] : [[name, text]];
    }));
    const own = join(dir, "chat_template.jinja");
    const text = await readWholeText(own).catch((error) => {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw new InputError(`File "${own}" cannot be read (${reason(error)}).`);
    });
    if (text !== undefined) return new ChatTemplate(text, own, variables);
    const beside = join(dir, "chat_template.json");
    for (
      const [path, object] of [[settingsPath, settings], [beside, await readJsonObject(beside)]] as const
    ) {
      if (object?.chat_template === undefined || object.chat_template === null) continue;
      return new ChatTemplate(object.chat_template, path, variables);
    }
    return undefined;
  }

  /**
   * The prompt text up to where the assistant's next turn begins, special tokens written out. `variables` win over what
   * templates are told otherwise: no tools, no documents, add_generation_prompt.
   *
   * @throws {InputError} when the template cannot be read, refuses the conversation or does too much.
   */
  render(messages: readonly ChatMessage[], variables: TemplateVariables = {}): string {
    const text = templateText(this.source, this.path);
    try {
      return renderBounded(text, {
        messages,
        add_generation_prompt: true,
        tools: null,
        documents: null,
        ...this.variables,
        ...variables,
      });
    } catch (error) {
      throw new InputError(
        `The chat template in "${this.path}" fails (${reason(error)}); mend it or ask without a chat.`,
        "chat",
      );
    }
  }
}

/** The template of model folder `dir`, or an InputError where it has none. */
export function requireChatTemplate(template: ChatTemplate | undefined, dir: string): ChatTemplate {
  if (template) return template;
  throw new InputError(
    `Model folder "${dir}" has no chat template, so it cannot be asked in a chat; ask without, or use an instruction-tuned model.`,
    "chat",
  );
}

function templateText(value: unknown, path: string): string {
  const named = Array.isArray(value) ? value as ({ name?: unknown; template?: unknown } | null)[] : undefined;
  const text = named ? (named.find((one) => one?.name === "default") ?? named[0])?.template : value;
  if (typeof text === "string") return text;
  throw new InputError(
    `Field "chat_template" in "${path}" is neither a text nor a list of named texts; download it again.`,
  );
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").replace(/[.\s]+$/, "");
}
