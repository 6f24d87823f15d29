/** Text to token ids and back, as the model folder's tokenizer.json says. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";
import {
  type ChatMessage,
  ChatTemplate,
  requireChatTemplate,
  type TemplateVariables,
} from "./chat_template.ts";
import { checkedTokenizer } from "./tokenizer_file.ts";
import {
  createTokenizer,
  type TokenizerJson,
  type TokenizerSettings,
  tokenText,
} from "./tokenizer_library.ts";
import { type Coder, coderOf } from "./tokenizer_work.ts";

/** Private-use characters around the number of a control token whose name is text; see Tokenizer.asText. */
const markStart = "\u{F8FE}\u{F0000}", markEnd = "\u{F0001}\u{F8FE}";
const marks = new RegExp(`${markStart}(\\d+)${markEnd}`, "u");

/** A tokenizer to which the names of control tokens are words like any other. */
function withoutControls(json: TokenizerJson, settings: TokenizerSettings, controls: readonly string[]) {
  const { vocab, unk_token } = json.model;
  // Unigram lists its vocabulary, and control tokens in it have scores that no text reaches.
  const model = Array.isArray(vocab) ? json.model : {
    ...json.model,
    vocab: Object.fromEntries(
      Object.entries(vocab as Record<string, number>).filter(([text]) =>
        text === unk_token || !controls.includes(text)
      ),
    ),
  };
  const added_tokens = json.added_tokens.filter(({ content }) => !controls.includes(content));
  const plain = { ...json, model, added_tokens, post_processor: null };
  const rest = { ...settings, added_tokens_decoder: undefined, tokenizer_class: undefined };
  return coderOf(createTokenizer(plain, rest), plain, rest);
}

/** The tokenizer of one model. */
export class Tokenizer {
  /** What knows the vocabulary. */
  readonly #tokenizer: ReturnType<typeof createTokenizer>;
  readonly #coder: Coder;
  /** Contents of control tokens, longest first. */
  readonly #controls: readonly string[];
  #plain: Coder | undefined;

  private constructor(
    private readonly json: TokenizerJson,
    private readonly settings: TokenizerSettings,
    private readonly directory: string,
    private readonly chatTemplate: ChatTemplate | undefined,
  ) {
    this.#tokenizer = createTokenizer(json, settings);
    this.#coder = coderOf(this.#tokenizer, json, settings);
    const added = [...this.#tokenizer.get_added_tokens_decoder().values()];
    this.#controls = added.filter(({ special }) => special).map(({ content }) => content)
      .sort((a, b) => b.length - a.length);
  }

  /**
   * Loads `tokenizer.json`, and `tokenizer_config.json` and a chat template where there is one, from the model folder `dir`.
   * Throws InputError when tokenizer.json is missing or a file is malformed.
   */
  static async load(dir: string): Promise<Tokenizer> {
    const path = join(dir, "tokenizer.json");
    const object = await readJsonObject(path);
    if (object === undefined) {
      throw new InputError(`File "${path}" does not exist; pass a model folder that holds its tokenizer.`);
    }
    const settings = await readJsonObject(join(dir, "tokenizer_config.json"));
    const chatTemplate = await ChatTemplate.load(dir);
    try {
      return new Tokenizer(checkedTokenizer(object), settings ?? {}, dir, chatTemplate);
    } catch (error) {
      throw unusable(path, error);
    }
  }

  /**
   * Token ids of `text` as the Rust tokenizers library has them, names of control tokens as those tokens; with what the model
   * expects around a text (such as a first `<bos>`) unless `addSpecialTokens` is false. Parts that `asText` has marked are
   * encoded as the characters they are.
   * @throws {InputError} for a tokenizer that fails or takes too long or too much memory, which only one of unknown kind can.
   */
  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): number[] {
    const encoded = (part: string, special: boolean) => this.#try(() => this.#coder.encode(part, special));
    if (!text.includes(markStart)) return encoded(text, addSpecialTokens);
    // Every other part is the number of a control token whose name is text.
    const parts = text.split(marks);
    const inside = parts.flatMap((part, i) =>
      i % 2 ? this.#asCharacters(Number(part)) : encoded(part, false)
    );
    if (!addSpecialTokens) return inside;
    const [around, alone] = [encoded("a", true), encoded("a", false)];
    const before = around.findIndex((_, i) => alone.every((id, j) => around[i + j] === id));
    return [...around.slice(0, before), ...inside, ...around.slice(before + alone.length)];
  }

  /**
   * `text` with the names of control tokens marked, so that `encode` reads them as text. What users and data say goes through
   * here, unless they are to speak in control tokens; nothing changes where there are none.
   */
  asText(text: string): string {
    return this.#controls.some((control) => text.includes(control))
      ? this.#controls.reduce(
        (marked, control, k) => marked.replaceAll(control, `${markStart}${k}${markEnd}`),
        text,
      )
      : text;
  }

  #asCharacters(k: number): number[] {
    this.#plain ??= withoutControls(this.json, this.settings, this.#controls);
    const plain = this.#plain;
    return this.#try(() => plain.encode(this.#controls[k]!, false));
  }

  /** What the tokenizer makes of something. Throws InputError for one that cannot, or not within its limits. */
  #try<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw unusable(join(this.directory, "tokenizer.json"), error);
    }
  }

  /** Ids of control tokens that end a turn beside those of the model's configuration: the tokenizer's own end token. */
  get endOfTurn(): number[] {
    const end = tokenText(this.settings.eos_token);
    const id = end === undefined ? undefined : this.#tokenizer.token_to_id(end);
    return id === undefined ? [] : [id];
  }

  /**
   * Token ids of a conversation up to where the assistant's next turn begins. The chat template alone decides about
   * special tokens, as in transformers: one that writes `<bos>` gets one, one that does not gets none. `variables` are those
   * of the template, such as enable_thinking.
   *
   * @throws {InputError} for a model without a chat template, and for a template that fails.
   */
  encodeChat(messages: readonly ChatMessage[], variables?: TemplateVariables): number[] {
    return this.encode(this.chatText(messages, variables), { addSpecialTokens: false });
  }

  /** The text of a conversation, special tokens written out; see encodeChat. Throws InputError like it. */
  chatText(messages: readonly ChatMessage[], variables?: TemplateVariables): string {
    return requireChatTemplate(this.chatTemplate, this.directory).render(messages, variables);
  }

  /** Words of a text that the vocabulary has no tokens for, each once; none for tokenizers that can spell anything. */
  unknownWords(text: string): string[] {
    const { unk_token } = this.json.model;
    const unknown = typeof unk_token !== "string" ? undefined : this.#tokenizer.token_to_id(unk_token);
    if (unknown === undefined) return [];
    const isKnown = (piece: string) => !this.encode(piece, { addSpecialTokens: false }).includes(unknown);
    const words = new Set(text.match(/[\p{L}\p{M}\p{N}]+/gu));
    return [...words].filter((word) => !isKnown(` ${word}`) && !isKnown(word));
  }

  /**
   * Text of token `ids`; special tokens are written out unless `skipSpecialTokens`. Ids that the tokenizer has
   * no token for, as models with a padded vocabulary can produce, are left out.
   */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const known = ids.filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    // The library throws on an empty list.
    if (known.length === 0) return "";
    return this.#try(() => this.#coder.decode(known, options.skipSpecialTokens ?? false));
  }
}

function unusable(path: string, error: unknown): InputError {
  return new InputError(
    `File "${path}" is not a usable tokenizer (${reason(error)}); download it again or export it anew.`,
  );
}

/** What is wrong, in a few words that fit inside a sentence. */
function reason(error: unknown): string {
  if (error instanceof z.ZodError) {
    const issue = error.issues[0]!;
    return `"${issue.path.join(".")}": ${issue.message}`;
  }
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").replace(/\.$/, "");
}
