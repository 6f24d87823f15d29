/** Tokenizers at work: those that published models have here, any other in a thread of its own; see engine/bounded_work.ts. */
import { type BoundedTask, BoundedWork, serveInThread } from "../bounded_work.ts";
import { createTokenizer, type TokenizerJson, type TokenizerSettings } from "./tokenizer_library.ts";

/** Text to ids and back. Both throw Error for what the tokenizer cannot do, or not within its limits. */
export interface Coder {
  encode(text: string, addSpecialTokens: boolean): number[];
  decode(ids: readonly number[], skipSpecialTokens: boolean): string;
}

type CoderRequest =
  | { readonly text: string; readonly addSpecialTokens: boolean }
  | { readonly ids: readonly number[]; readonly skipSpecialTokens: boolean };

type Tokenizer = ReturnType<typeof createTokenizer>;

/** Regular expressions of published models (GPT-2 has its own in the library); each takes time in proportion to the text. */
const knownExpressions = new Set([
  // Llama 3, OLMo 2
  String
    .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // Qwen 2 and 3
  String
    .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // Mistral NeMo
  String
    .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // DeepSeek 3
  String.raw`\p{N}{1,3}`,
  "[一-龥\u3040-ゟ゠-ヿ]+",
  String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` + "`" + String.raw`{|}~][A-Za-z]+|[^` + "\r\n" +
  String.raw`\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[` + "\r\n" + String.raw`]*|\s*[` + "\r\n" +
  String.raw`]+|\s+(?!\S)|\s+`,
  // ours
  String.raw` ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]|\n`,
]);

/** Characters of a published description of everything but the vocabulary, and of a word that WordPiece takes apart. */
const most = { description: 2 ** 15, word: 1000 } as const;

/** Whether a tokenizer does nothing that could take long: known expressions, and replacements that make no text longer. */
export function isTame(
  { normalizer, pre_tokenizer, post_processor, decoder, model }: TokenizerJson,
): boolean {
  const description = { normalizer, pre_tokenizer, post_processor, decoder };
  if (JSON.stringify(description).length > most.description) return false;
  if (Number(model.max_input_chars_per_word ?? 0) > most.word) return false;
  const isTamePart = (part: unknown): boolean => {
    if (typeof part !== "object" || part === null) return true;
    const { pattern, content } = part as { pattern?: Record<string, unknown>; content?: unknown };
    if (typeof pattern === "object" && pattern !== null) {
      const { Regex: expression, String: text } = pattern;
      const isKnown = typeof expression === "string"
        ? knownExpressions.has(expression) && content === undefined
        : typeof text === "string" && String(content ?? "").length <= text.length;
      if (!isKnown) return false;
    }
    return Object.values(part).every(isTamePart);
  };
  return isTamePart(description);
}

const task: BoundedTask<
  { readonly json: TokenizerJson; readonly settings: TokenizerSettings },
  CoderRequest,
  number[] | string
> = {
  module: new URL(import.meta.url),
  memory: 2048, // a vocabulary of 256,000 with its merges takes a quarter
  begin({ json, settings }) {
    const coder = directCoder(createTokenizer(json, settings));
    return (request) =>
      "text" in request
        ? coder.encode(request.text, request.addSpecialTokens)
        : coder.decode(request.ids, request.skipSpecialTokens);
  },
};

function directCoder(tokenizer: Tokenizer): Coder {
  return {
    // A piece of text that no token covers, in a vocabulary without an unknown token, comes back undefined and is left out.
    encode: (text, add_special_tokens) =>
      tokenizer.encode(text, { add_special_tokens }).ids.filter((id) => id !== undefined),
    decode: (ids, skip_special_tokens) => tokenizer.decode([...ids], { skip_special_tokens }),
  };
}

/** Milliseconds for so many characters or ids. An interruption is answered after them. */
const longest = (length: number) => Math.round(950 + length / 20);

/** The coder of a tokenizer, which was made of the same files. */
export function coderOf(tokenizer: Tokenizer, json: TokenizerJson, settings: TokenizerSettings): Coder {
  if (isTame(json)) return directCoder(tokenizer);
  const work = new BoundedWork(task, { json, settings });
  return {
    encode: (text, addSpecialTokens) =>
      work.ask({ text, addSpecialTokens }, longest(text.length)) as number[],
    decode: (ids, skipSpecialTokens) => work.ask({ ids, skipSpecialTokens }, longest(ids.length)) as string,
  };
}

serveInThread(task);
