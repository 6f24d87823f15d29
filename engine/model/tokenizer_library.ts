/**
 * `@huggingface/tokenizers`, corrected where it differs from the Rust library of that name or from what transformers makes of a
 * model folder. Everything that is corrected stands here; each can go when the library does it.
 *
 * | what | the library 0.2.0 | here |
 * |---|---|---|
 * | Unigram with `byte_fallback` (huggingface/tokenizers.js#26) | `<unk>` | `<0xNN>` for each byte |
 * | `<0xNN>` that are no UTF-8 | fewer U+FFFD, and a leading U+FEFF is lost | one U+FFFD a byte |
 * | `single_word` of added tokens | ignored | no match beside a letter, digit or underscore |
 * | Metaspace with `split` | one piece | a piece for each `▁` |
 * | Metaspace decoder with `prepend_scheme` never | drops a leading space | keeps it |
 * | added tokens and flags of `added_tokens_decoder` | not read | added, as transformers does |
 * | `add_bos_token`, `add_eos_token` of Llama's and Gemma's classes (huggingface/swift-transformers#161) | not read | decide |
 * | `clean_up_tokenization_spaces` of BPE (huggingface/transformers#44915) | eats spaces before punctuation | not done |
 */
import { Tokenizer } from "npm:@huggingface/tokenizers@0.2.0";

/** An added token as tokenizer.json has it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word?: boolean | undefined;
  readonly lstrip?: boolean | undefined;
  readonly rstrip?: boolean | undefined;
  readonly normalized?: boolean | undefined;
  readonly special?: boolean | undefined;
}

/** tokenizer.json as far as it is looked at here. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedToken[];
  readonly model: Readonly<Record<string, unknown>>;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
  readonly normalizer: unknown;
}

/** tokenizer_config.json. */
export type TokenizerSettings = Readonly<Record<string, unknown>>;

/** A part of the library's pipeline, whose methods are replaced. */
interface Part {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly replacement?: string;
  readonly tokens_to_ids?: ReadonlyMap<string, number>;
  encode(tokens: readonly string[]): string[];
  decode_chain(tokens: readonly string[]): string[];
  pre_tokenize_text(text: string, options: unknown): string[];
}

/** The library's tokenizer of a folder's files, corrected. Throws what the library throws for files that it cannot read. */
export function createTokenizer(json: TokenizerJson, settings: TokenizerSettings): Tokenizer {
  const added_tokens = mergedTokens(json.added_tokens, settings);
  const whole = { ...json, added_tokens, post_processor: postProcessor(json, added_tokens, settings) };
  const isByPairs = json.model.type === "BPE";
  const tokenizer = new Tokenizer(whole, {
    ...settings,
    clean_up_tokenization_spaces: !isByPairs && settings.clean_up_tokenization_spaces === true,
    // Word-level models look for the unknown token here instead of in tokenizer.json.
    unk_token: json.model.unk_token ?? settings.unk_token,
  });
  const { model, pre_tokenizer, decoder, ...splitters } = tokenizer as unknown as {
    model: Part;
    pre_tokenizer: Part | null;
    decoder: Part | null;
    splitter_unnormalized: { split: (text: string) => string[] };
    splitter_normalized: { split: (text: string) => string[] };
  };
  if (json.model.type === "Unigram" && json.model.byte_fallback) correctUnigram(model);
  for (const [part, description] of parts(pre_tokenizer, json.pre_tokenizer, "tokenizers")) {
    if (description.type === "Metaspace" && description.split !== false) splitAtSpaces(part);
  }
  for (const [part, description] of parts(decoder, json.decoder, "decoders")) {
    if (description.type === "ByteFallback") part.decode_chain = decodeBytes;
    if (description.type === "Metaspace" && description.prepend_scheme === "never") keepSpace(part);
  }
  const single = added_tokens.filter(({ single_word }) => single_word).map(({ content }) => content);
  if (single.length > 0) {
    const contents = new Set(added_tokens.map(({ content }) => content));
    for (const splitter of [splitters.splitter_unnormalized, splitters.splitter_normalized]) {
      const split = splitter.split.bind(splitter);
      splitter.split = (text) => joinWords(split(text), contents, new Set(single));
    }
  }
  return tokenizer;
}

/** Texts of special tokens as the JSON files spell them: plain, or objects that hold them. */
export function tokenText(value: unknown): string | undefined {
  const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
  return typeof text === "string" ? text : undefined;
}

/** The added tokens of tokenizer.json with those and the flags of added_tokens_decoder; named special tokens are special. */
function mergedTokens(added: readonly AddedToken[], settings: TokenizerSettings): AddedToken[] {
  const tokens = new Map(added.map((token) => [token.id, token]));
  const decoder = settings.added_tokens_decoder;
  if (typeof decoder === "object" && decoder !== null) {
    for (const [key, token] of Object.entries(decoder as Record<string, Partial<AddedToken>>)) {
      const id = Number(key);
      const known = tokens.get(id);
      if (!Number.isInteger(id) || typeof token?.content !== "string") continue;
      if (!known || known.content === token.content) tokens.set(id, { ...known, ...token, id } as AddedToken);
    }
  }
  const named = new Set(
    ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => tokenText(settings[name])),
  );
  return [...tokens.values()].sort((a, b) => a.id - b.id)
    .map((token) => named.has(token.content) ? { ...token, special: true } : token);
}

const classesWithFlags = /^(Llama|CodeLlama|Gemma)Tokenizer(Fast)?$/;

/**
 * What is put around a text. transformers rebuilds it from add_bos_token (default true) and add_eos_token for the classes of
 * Llama and Gemma; every other class leaves it to tokenizer.json.
 */
function postProcessor(
  json: TokenizerJson,
  added: readonly AddedToken[],
  settings: TokenizerSettings,
): unknown {
  const { tokenizer_class, add_bos_token, add_eos_token } = settings;
  if (typeof tokenizer_class !== "string" || !classesWithFlags.test(tokenizer_class)) {
    return json.post_processor;
  }
  const isSilent = add_bos_token === undefined && add_eos_token === undefined;
  if (isSilent && JSON.stringify(json.post_processor)?.includes("TemplateProcessing")) {
    return json.post_processor;
  }
  const token = (name: string, wanted: boolean) => {
    const text = wanted ? tokenText(settings[name]) : undefined;
    const known = added.find(({ content }) => content === text);
    return known ? [{ SpecialToken: { id: known.content, type_id: 0 } }] : [];
  };
  const [bos, eos] = [
    token("bos_token", add_bos_token !== false),
    token("eos_token", add_eos_token === true),
  ];
  const single = [...bos, { Sequence: { id: "A", type_id: 0 } }, ...eos];
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, ...bos, { Sequence: { id: "B", type_id: 1 } }, ...eos],
  };
}

/** The parts of a pipeline beside their descriptions, those of sequences one by one. */
function* parts(
  part: Part | null,
  description: unknown,
  list: string,
): Generator<[Part, Record<string, unknown>]> {
  if (!part || typeof description !== "object" || description === null) return;
  const described = description as Record<string, unknown>;
  if (described.type !== "Sequence") return yield [part, described];
  const descriptions = (described.pretokenizers ?? described.decoders ?? []) as unknown[];
  const inner = (part as unknown as Record<string, Part[]>)[list] ?? [];
  for (const [i, one] of inner.entries()) yield* parts(one, descriptions[i], list);
}

function correctUnigram(model: Part) {
  const encode = model.encode.bind(model);
  const known = model.tokens_to_ids!;
  const bytesOf = (piece: string) =>
    [...new TextEncoder().encode(piece)].map((byte) =>
      `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
    );
  model.encode = (tokens) =>
    encode(tokens).flatMap((piece) => {
      if (known.has(piece)) return [piece];
      const bytes = bytesOf(piece);
      return bytes.every((byte) => known.has(byte)) ? bytes : [piece];
    });
}

function splitAtSpaces(part: Part) {
  const whole = part.pre_tokenize_text.bind(part);
  const mark = part.replacement ?? "▁";
  part.pre_tokenize_text = (text, options) =>
    whole(text, options).flatMap((piece) =>
      piece.split(mark).flatMap((rest, i) => i === 0 ? (rest ? [rest] : []) : [mark + rest])
    );
}

function keepSpace(part: Part) {
  const mark = part.replacement ?? "▁";
  part.decode_chain = (tokens) => tokens.map((token) => token.replaceAll(mark, " "));
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Runs of <0xNN> as the text that they spell, or as one U+FFFD a byte where they spell none. */
function decodeBytes(tokens: readonly string[]): string[] {
  const result: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      result.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      result.push("\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else {
      flush();
      result.push(token);
    }
  }
  flush();
  return result;
}

const wordEnd = /[\p{L}\p{M}\p{Nd}\p{Pc}]$/u, wordStart = /^[\p{L}\p{M}\p{Nd}\p{Pc}]/u;

/** Makes added tokens that must be words of their own, and are not, part of the text around them. */
function joinWords(
  sections: readonly string[],
  added: ReadonlySet<string>,
  single: ReadonlySet<string>,
): string[] {
  const result: string[] = [];
  let endsInText = false;
  sections.forEach((section, i) => {
    const isInside = single.has(section) &&
      (wordEnd.test(sections[i - 1] ?? "") || wordStart.test(sections[i + 1] ?? ""));
    const isText = !added.has(section) || isInside;
    if (isText && endsInText) result[result.length - 1] += section;
    else result.push(section);
    endsInText = isText;
  });
  return result;
}
