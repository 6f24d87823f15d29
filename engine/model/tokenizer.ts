/** Text to token ids and back, as the model folder's tokenizer.json says. */
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "npm:@huggingface/tokenizers@0.2.0";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import { type ChatMessage, ChatTemplate, requireChatTemplate } from "./chat_template.ts";
import { readJsonObject } from "../json_objects.ts";

/** The library insists on finding every part, if only as null. */
const part = z.unknown().default(null);
const tokenizerSchema = z.looseObject({
  model: z.looseObject({ unk_token: z.string().nullish() }),
  added_tokens: z.array(z.looseObject({ id: z.int(), content: z.string() })).default([]),
  normalizer: part,
  pre_tokenizer: part,
  post_processor: part,
  decoder: part,
});

/** The tokenizer of one model. */
export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer;

  private constructor(
    tokenizer: HuggingFaceTokenizer,
    private readonly directory: string,
    private readonly chatTemplate: ChatTemplate | undefined,
  ) {
    this.#tokenizer = tokenizer;
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
      const json = tokenizerSchema.parse(object);
      return new Tokenizer(
        new HuggingFaceTokenizer(json, {
          // The library's default would drop spaces before punctuation, so that decoding loses text.
          clean_up_tokenization_spaces: false,
          ...settings,
          // Word-level models look for the unknown token here instead of in tokenizer.json.
          unk_token: json.model.unk_token ?? settings?.unk_token,
        }),
        dir,
        chatTemplate,
      );
    } catch (error) {
      throw new InputError(
        `File "${path}" is not a usable tokenizer (${reason(error)}); download it again or export it anew.`,
      );
    }
  }

  /**
   * Token ids of `text`, with the special tokens the model expects around it (such as a first `<bos>`)
   * unless `addSpecialTokens` is false.
   */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    const { ids } = this.#tokenizer.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
    // A piece of text that no token covers, in a vocabulary without an unknown token, comes back undefined.
    return ids.filter((id) => id !== undefined);
  }

  /**
   * Token ids of a conversation up to where the assistant's next turn begins. The chat template alone decides about
   * special tokens, as in transformers: one that writes `<bos>` gets one, one that does not gets none.
   * Throws InputError for a model without a chat template, and for a template that fails.
   */
  encodeChat(messages: readonly ChatMessage[]): number[] {
    return this.encode(this.chatText(messages), { addSpecialTokens: false });
  }

  /** The text of a conversation, special tokens written out; see encodeChat. Throws InputError like it. */
  chatText(messages: readonly ChatMessage[]): string {
    return requireChatTemplate(this.chatTemplate, this.directory).render(messages);
  }

  /**
   * Text of token `ids`; special tokens are written out unless `skipSpecialTokens`. Ids that the tokenizer has
   * no token for, as models with a padded vocabulary can produce, are left out.
   */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const known = ids.filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    // The library throws on an empty list.
    if (known.length === 0) return "";
    return this.#tokenizer.decode(known, { skip_special_tokens: options.skipSpecialTokens ?? false });
  }
}

/** What is wrong, in a few words that fit inside a sentence. */
function reason(error: unknown): string {
  if (error instanceof z.ZodError) {
    const issue = error.issues[0]!;
    return `"${issue.path.join(".")}": ${issue.message}`;
  }
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").replace(/\.$/, "");
}
