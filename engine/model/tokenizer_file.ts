/**
 * tokenizer.json as it must be for the library to do what the Rust library does with it: the library passes over parts that lack
 * what they need, numbers that are none and tokens that are not in the vocabulary. Fields are those of the Rust library.
 */
import { z } from "npm:zod@4.6.7";
import type { TokenizerJson } from "./tokenizer_library.ts";

const mostId = 2 ** 31 - 1;
const id = z.int("is no integer from 0").min(0, "is no integer from 0").max(
  2 ** 31 - 1,
  "is no token's number",
);
const text = z.string();
const flag = z.boolean();
const token = z.tuple([text, id]);
const pattern = z.union([z.strictObject({ String: text }), z.strictObject({ Regex: text })]);
const replacement = { pattern, content: text };
const behavior = z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]);
const metaspace = {
  replacement: text,
  prepend_scheme: z.enum(["always", "never", "first"]).optional(),
  add_prefix_space: flag.optional(),
  split: flag.optional(),
};

type Fields = Readonly<Record<string, z.ZodType>>;

/** One of the parts of these types, or nothing. */
function partOf(types: Readonly<Record<string, Fields>>) {
  const [first, ...others] = Object.entries(types).map(([type, fields]) =>
    z.looseObject({ type: z.literal(type), ...fields })
  );
  const error = (issue: { readonly code?: string }) =>
    issue.code === "invalid_union" ? `is none of ${Object.keys(types).join(", ")}` : undefined;
  return z.discriminatedUnion("type", [first!, ...others], { error });
}

/** The library insists on finding every part, if only as null. */
const optional = <T extends z.ZodType>(part: T) => part.nullish().transform((value) => value ?? null);

const normalizer: z.ZodType = z.lazy(() =>
  partOf({
    Sequence: { normalizers: z.array(normalizer) },
    Replace: replacement,
    Prepend: { prepend: text },
    Precompiled: { precompiled_charsmap: text.nullish() },
    BertNormalizer: {
      clean_text: flag.optional(),
      handle_chinese_chars: flag.optional(),
      strip_accents: flag.nullish(),
      lowercase: flag.optional(),
    },
    Strip: { strip_left: flag, strip_right: flag },
    ...{ StripAccents: {}, Lowercase: {}, NFC: {}, NFD: {}, NFKC: {}, NFKD: {} },
  })
);
const preTokenizer: z.ZodType = z.lazy(() =>
  partOf({
    Sequence: { pretokenizers: z.array(preTokenizer) },
    Split: { pattern, behavior, invert: flag.optional() },
    Metaspace: metaspace,
    ByteLevel: { add_prefix_space: flag, trim_offsets: flag.optional(), use_regex: flag.optional() },
    Punctuation: { behavior: behavior.optional() },
    Digits: { individual_digits: flag },
    FixedLength: { length: z.int().min(1) },
    ...{ BertPreTokenizer: {}, Whitespace: {}, WhitespaceSplit: {} },
  })
);
const piece = z.union([
  z.strictObject({ SpecialToken: z.looseObject({ id: text, type_id: z.int() }) }),
  z.strictObject({ Sequence: z.looseObject({ id: z.enum(["A", "B"]), type_id: z.int() }) }),
]);
const postProcessor: z.ZodType = z.lazy(() =>
  partOf({
    Sequence: { processors: z.array(postProcessor) },
    TemplateProcessing: {
      single: z.array(piece),
      pair: z.array(piece),
      special_tokens: z.record(text, z.looseObject({ ids: z.array(id), tokens: z.array(text) })).optional(),
    },
    BertProcessing: { sep: token, cls: token },
    RobertaProcessing: { sep: token, cls: token },
    ByteLevel: {},
  })
);
const decoder: z.ZodType = z.lazy(() =>
  partOf({
    Sequence: { decoders: z.array(decoder) },
    Replace: replacement,
    Metaspace: metaspace,
    WordPiece: { prefix: text, cleanup: flag },
    BPEDecoder: { suffix: text },
    CTC: { pad_token: text, word_delimiter_token: text, cleanup: flag },
    Strip: { content: text, start: z.int().min(0), stop: z.int().min(0) },
    ...{ ByteLevel: {}, Fuse: {}, ByteFallback: {} },
  })
);

const model = z.looseObject({
  type: z.enum(["BPE", "WordPiece", "WordLevel", "Unigram"]).optional(),
  vocab: z.unknown().optional(),
  unk_token: text.nullish(),
  unk_id: id.nullish(),
  merges: z.unknown().optional(),
  byte_fallback: flag.optional(),
  fuse_unk: flag.optional(),
  ignore_merges: flag.optional(),
  continuing_subword_prefix: text.nullish(),
  end_of_word_suffix: text.nullish(),
  max_input_chars_per_word: z.int().min(1).optional(),
});

const schema = z.looseObject({
  model,
  added_tokens: z.array(z.looseObject({
    id,
    content: text.min(1, "is empty"),
    single_word: flag.optional(),
    lstrip: flag.optional(),
    rstrip: flag.optional(),
    normalized: flag.optional(),
    special: flag.optional(),
  })).default([]),
  normalizer: optional(normalizer),
  pre_tokenizer: optional(preTokenizer),
  post_processor: optional(postProcessor),
  decoder: optional(decoder),
});

/** The contents of tokenizer.json, checked. Throws Error (ZodError among them) for what the library would misread. */
export function checkedTokenizer(object: Readonly<Record<string, unknown>>): TokenizerJson {
  const json = schema.parse(object);
  const ids = idsOf(json.model);
  for (const { content, id } of json.added_tokens) ids.set(content, id);
  checkMerges(json.model.merges, ids, json.model);
  for (const [name, number] of tokensAround(json.post_processor)) {
    const known = ids.get(name);
    if (known === undefined) throw new Error(`"post_processor" adds "${name}", which is no token of it`);
    if (number !== undefined && number !== known) {
      throw new Error(`"post_processor" numbers "${name}" ${number}, and the vocabulary ${known}`);
    }
  }
  return json;
}

/** Numbers by tokens of a vocabulary, which zod would take long over. */
function idsOf({ type, vocab }: z.infer<typeof model>): Map<string, number> {
  if (Array.isArray(vocab)) {
    if (type !== undefined && type !== "Unigram") {
      throw new Error(`"model.vocab" is a list, as no ${type} has`);
    }
    const bad = vocab.find((entry) =>
      !Array.isArray(entry) || typeof entry[0] !== "string" || !Number.isFinite(entry[1])
    );
    if (bad !== undefined) throw new Error('"model.vocab" has an entry that is no token with its score');
    return new Map(vocab.map(([token], number) => [token, number]));
  }
  if (typeof vocab !== "object" || vocab === null) throw new Error('"model.vocab" is missing');
  if (type === "Unigram") throw new Error('"model.vocab" is no list, as Unigram has');
  const ids = new Map<string, number>();
  for (const token in vocab) {
    const number = (vocab as Record<string, unknown>)[token] as number;
    if (!Number.isInteger(number) || number < 0 || number > mostId) {
      throw new Error(`"model.vocab" numbers ${JSON.stringify(token).slice(0, 40)} otherwise than from 0`);
    }
    ids.set(token, number);
  }
  return ids;
}

function checkMerges(
  merges: unknown,
  ids: ReadonlyMap<string, number>,
  { type, continuing_subword_prefix: prefix }: z.infer<typeof model>,
) {
  if (merges === undefined || merges === null) {
    if (type === "BPE") throw new Error('"model.merges" is missing');
    return;
  }
  if (!Array.isArray(merges)) throw new Error('"model.merges" is no list');
  for (const merge of merges) {
    const [first, second] = pairOf(merge) ?? [];
    const rest = prefix && second?.startsWith(prefix) ? second.slice(prefix.length) : second;
    if (ids.has(first!) && ids.has(second!) && ids.has(first! + rest)) continue;
    throw new Error(
      `"model.merges" has ${JSON.stringify(merge).slice(0, 40)}, which is no pair of its tokens`,
    );
  }
}

/** The two tokens of a merge, as a list or as a text with one space between them. */
function pairOf(merge: unknown): [string, string] | undefined {
  if (typeof merge === "string") {
    const at = merge.indexOf(" ");
    if (at > 0 && merge.indexOf(" ", at + 1) < 0) return [merge.slice(0, at), merge.slice(at + 1)];
  }
  if (!Array.isArray(merge) || merge.length !== 2) return undefined;
  const [first, second] = merge;
  return typeof first === "string" && typeof second === "string" ? [first, second] : undefined;
}

/** Tokens that are put around a text, with their numbers where they are given. */
function* tokensAround(part: unknown): Generator<[string, number | undefined]> {
  if (typeof part !== "object" || part === null) return;
  const { type, processors, single, special_tokens, sep, cls } = part as {
    readonly type: string;
    readonly processors: readonly unknown[];
    readonly single: readonly z.infer<typeof piece>[];
    readonly special_tokens?: Readonly<Record<string, { readonly ids: readonly number[] }>>;
    readonly sep: [string, number];
    readonly cls: [string, number];
  };
  if (type === "Sequence") { for (const processor of processors) yield* tokensAround(processor); }
  if (type === "BertProcessing" || type === "RobertaProcessing") yield* [sep, cls];
  if (type !== "TemplateProcessing") return;
  for (const one of single) {
    if ("SpecialToken" in one) yield [one.SpecialToken.id, special_tokens?.[one.SpecialToken.id]?.ids[0]];
  }
}
