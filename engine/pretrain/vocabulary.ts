/**
 * The word and digit tokenizer of the embedded models, as the tokenizer.json that Hugging Face's tokenizers read. Every
 * digit is a token of its own and a word brings the space before it, so that decoding is concatenation.
 */
import { ExerciseStream, makeDataSets, promptOf } from "./exercises.ts";
import { factValues, items, names, ordinals, places } from "./words.ts";

/** Special tokens, with the ids 0, 1, 2, 3. */
export const specialTokens = ["<pad>", "<bos>", "<eos>", "<unk>"] as const;
export const [padToken, bosToken, eosToken] = [0, 1, 2];

/** Longest sequence in tokens that the embedded models promise to handle. */
export const longestSequence = 256;

const pieces = / ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]|\n/g;

/**
 * Every piece that a text of the generator can hold, special tokens first, then in order of code units. A thousand
 * exercises show the wording of every template; what varies within it comes from the word lists and the ten digits.
 */
export function makeVocabulary(): string[] {
  const exercises = new ExerciseStream(0, makeDataSets(0)).batch(0, 1000);
  const texts = exercises.map((exercise) => promptOf(exercise) + exercise.completion);
  const words = [names, items, places, ordinals, Object.keys(factValues), ...Object.values(factValues)]
    .flat();
  const found = new Set([
    ...texts.flatMap((text) => text.match(pieces)!),
    ...words.map((word) => ` ${word}`),
    ...[..."0123456789"].flatMap((digit) => [digit, ` ${digit}`]),
  ]);
  return [...specialTokens, ...[...found].sort()];
}

/** The contents of tokenizer.json. */
export function tokenizerJson(vocabulary: readonly string[]): Record<string, unknown> {
  const bos = { SpecialToken: { id: "<bos>", type_id: 0 } };
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Split",
      pattern: { Regex: pieces.source },
      behavior: "Isolated",
      invert: false,
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [bos, sequence("A", 0)],
      pair: [bos, sequence("A", 0), sequence("B", 1)],
      special_tokens: { "<bos>": { id: "<bos>", ids: [bosToken], tokens: ["<bos>"] } },
    },
    decoder: { type: "Fuse" },
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
      unk_token: "<unk>",
    },
  };
}

/** The contents of tokenizer_config.json. */
export const tokenizerConfig: Readonly<Record<string, unknown>> = {
  tokenizer_class: "PreTrainedTokenizerFast",
  bos_token: "<bos>",
  eos_token: "<eos>",
  pad_token: "<pad>",
  unk_token: "<unk>",
  model_max_length: longestSequence,
  clean_up_tokenization_spaces: false,
  add_bos_token: true,
};
