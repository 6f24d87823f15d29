/** Chat templates: the Jinja text by which an instruction-tuned model's folder turns a conversation into a prompt. */
import { join } from "node:path";
import { Template } from "npm:@huggingface/jinja@0.5.11";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";

/** One turn of a conversation. */
export interface ChatMessage {
  /** Who speaks. */
  readonly role: "system" | "user" | "assistant";
  /** What is said. */
  readonly content: string;
}

// Templates that state today's date would give another prompt every day; all of them get this one. The line's end is the
// block's, by the rules chat templates are read by, so what follows is as if nothing stood before it.
const fixedDate = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}\n";

const specialTokens = ["bos_token", "eos_token", "pad_token", "unk_token"] as const;

/** The chat template of one model folder. */
export class ChatTemplate {
  private parsed: Template | undefined;

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
    const text = await Deno.readTextFile(own).catch((error) => {
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
   * The prompt text up to where the assistant's next turn begins, special tokens written out.
   * Throws InputError when the template cannot be read or refuses the conversation.
   */
  render(messages: readonly ChatMessage[]): string {
    const text = templateText(this.source, this.path);
    try {
      this.parsed ??= new Template(fixedDate + text);
      return this.parsed.render({
        messages,
        add_generation_prompt: true,
        tools: null,
        documents: null,
        ...this.variables,
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

/** A special token as the JSON files spell it: its text, or an object that holds it. */
function tokenText(value: unknown): string | undefined {
  const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
  return typeof text === "string" ? text : undefined;
}

function templateText(value: unknown, path: string): string {
  const named = Array.isArray(value) ? value as { name?: unknown; template?: unknown }[] : undefined;
  const text = named ? (named.find(({ name }) => name === "default") ?? named[0])?.template : value;
  if (typeof text === "string") return text;
  throw new InputError(
    `Field "chat_template" in "${path}" is neither a text nor a list of named texts; download it again.`,
  );
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").replace(/[.\s]+$/, "");
}
