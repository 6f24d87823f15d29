/** Prompts and completions from public reports that once had other tokens or other text, each through a whole generation. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { runEvaluate } from "../../engine/run/evaluation_run.ts";
import { runGenerate } from "../../engine/run/generation_run.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { answeringModel } from "./answering_model.ts";

const specials = ["<pad>", "<bos>", "<eos>", "<unk>"];
const token = (content: string, id: number, fields: Record<string, unknown> = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...fields,
});

/** A tokenizer of these files; fields go over those of a word-level one. */
async function tokenizerOf(json: Record<string, unknown> = {}, config: Record<string, unknown> = {}) {
  await using folder = await temporaryFolder();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(join(folder.path, name), JSON.stringify(value));
  await write("tokenizer.json", {
    version: "1.0",
    added_tokens: specials.map((content, id) => token(content, id)),
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: null,
    decoder: { type: "Fuse" },
    model: {
      type: "WordLevel",
      vocab: { "<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, hi: 4, cat: 5, s: 6 },
      unk_token: "<unk>",
    },
    ...json,
  });
  await write("tokenizer_config.json", {
    bos_token: "<bos>",
    eos_token: "<eos>",
    unk_token: "<unk>",
    ...config,
  });
  return await Tokenizer.load(folder.path);
}

Deno.test("classes of Llama and Gemma put bos and eos around a text by their flags (swift-transformers#161)", async () => {
  const ids = async (config: Record<string, unknown>, post_processor: unknown = null) =>
    (await tokenizerOf({ post_processor }, config)).encode("hi");
  const byteLevel = { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true };
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: {},
  };
  assertEquals(
    await ids(
      { tokenizer_class: "LlamaTokenizerFast", add_bos_token: true, add_eos_token: false },
      byteLevel,
    ),
    [1, 4],
  );
  assertEquals(await ids({ tokenizer_class: "LlamaTokenizer", add_eos_token: true }), [1, 4, 2]);
  assertEquals(await ids({ tokenizer_class: "GemmaTokenizer" }), [1, 4]);
  assertEquals(await ids({ tokenizer_class: "LlamaTokenizer", add_bos_token: false }, template), [4]);
  assertEquals(await ids({ tokenizer_class: "LlamaTokenizer" }, template), [1, 4]);
  assertEquals(await ids({ tokenizer_class: "PreTrainedTokenizerFast", add_bos_token: true }), [4]);
  assertEquals(await ids({ tokenizer_class: "PreTrainedTokenizerFast" }, template), [1, 4]);
});

Deno.test("bytes stand for what Unigram has no piece for (tokenizers.js#26)", async () => {
  const hex = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
  const bytes = Array.from({ length: 256 }, (_, byte) => [hex(byte), -10]);
  const vocab = [...specials.map((text) => [text, 0]), ...bytes, ["▁the", -1], ["▁cat", -1], ["▁", -2]];
  const unigram = (byte_fallback: boolean) =>
    tokenizerOf({
      pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
      decoder: {
        type: "Sequence",
        decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, {
          type: "Fuse",
        }],
      },
      model: { type: "Unigram", unk_id: 3, vocab, byte_fallback },
    });
  const tokenizer = await unigram(true);
  const ids = tokenizer.encode("the 🍣\ncat");
  assertEquals(ids, [260, 262, ...[0xf0, 0x9f, 0x8d, 0xa3, 0x0a, 0x63, 0x61, 0x74].map((byte) => byte + 4)]);
  assertEquals(tokenizer.decode(ids), " the 🍣\ncat");
  assertEquals(tokenizer.decode([0xf0 + 4, 0x9f + 4, 260]), "\ufffd\ufffd the");
  assertEquals((await unigram(false)).encode("the 🍣"), [260, 262, 3]);
});

Deno.test("added tokens are found as their flags say", async () => {
  const words = (...added: Record<string, unknown>[]) =>
    tokenizerOf({ added_tokens: [...specials.map((content, id) => token(content, id)), ...added] });
  const single = await words(token("cat", 5, { single_word: true, special: false }), token("<x>", 7));
  assertEquals(single.encode("hi cat"), [4, 5]);
  assertEquals(single.encode("hi cats"), [4, 3]);
  assertEquals(single.encode("<x>cat<x>"), [7, 5, 7]);
  assertEquals(single.encode("cat_"), [3]);
  const strips = await words(token("<x>", 7, { lstrip: true, rstrip: true }));
  assertEquals(strips.encode("hi  <x>  cat"), [4, 7, 5]);
  const decoder = await tokenizerOf({}, {
    added_tokens_decoder: { 7: token("<tool>", 7), 2: token("<eos>", 2, { special: true }) },
  });
  assertEquals(decoder.encode("hi <tool>"), [4, 7]);
  assertEquals(decoder.decode([4, 7, 2], { skipSpecialTokens: true }), "hi");
});

Deno.test("clean-up of spaces is not for byte-pair text (transformers#44915)", async () => {
  const text = " if a != b , the word 'cat' is right .";
  const bpe = {
    model: {
      type: "BPE",
      vocab: { "<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, a: 4 },
      merges: [],
      unk_token: "<unk>",
    },
  };
  const added_tokens = [
    ...specials.map((content, id) => token(content, id)),
    token(text, 5, { special: false }),
  ];
  const tokenizer = await tokenizerOf({ ...bpe, added_tokens }, { clean_up_tokenization_spaces: true });
  assertEquals(tokenizer.decode([5]), text);
});

Deno.test("names of control tokens in questions are text unless asked for", async () => {
  const tokenizer = await tokenizerOf();
  assertEquals(tokenizer.encode("hi <eos>"), [4, 2]);
  assertEquals(tokenizer.encode(tokenizer.asText("hi <eos>")), [4, 3]);
  assertEquals(tokenizer.encode(`${tokenizer.asText("hi <eos>")} <eos>`), [4, 3, 2]);
  assertEquals(tokenizer.asText("hi there"), "hi there");
  const llama = await tokenizerOf({}, { tokenizer_class: "LlamaTokenizer", add_eos_token: true });
  assertEquals(llama.encode(llama.asText("<bos> hi")), [1, 3, 4, 2]);
});

Deno.test("the name of a control token that is text has the tokens of its characters", async () => {
  const characters = [..."<>eosbhi"];
  const vocab = Object.fromEntries([...specials, ...characters].map((text, id) => [text, id]));
  const post_processor = {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "<bos>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "<eos>", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {},
  };
  const tokenizer = await tokenizerOf({
    pre_tokenizer: null,
    post_processor,
    model: { type: "BPE", vocab, merges: [], unk_token: "<unk>" },
  });
  const spelled = [..."hi<eos>hi"].map((character) => vocab[character]!);
  const marked = tokenizer.asText("hi<eos>hi");
  assertEquals(tokenizer.encode(marked, { addSpecialTokens: false }), spelled);
  assertEquals(tokenizer.encode(marked), [1, ...spelled, 2]);
  assertEquals(tokenizer.encode("hi<eos>hi"), [1, ...spelled.slice(0, 2), 2, ...spelled.slice(-2), 2]);
});

Deno.test("a template is told the date in its own form, and its variables", async () => {
  const chat_template =
    "{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content.strip('?') }}{% if enable_thinking %} think{% endif %}";
  const tokenizer = await tokenizerOf({}, { chat_template });
  const messages = [{ role: "user", content: "why ?" }] as const;
  assertEquals(tokenizer.chatText(messages), "2024-07-26 why ");
  assertEquals(tokenizer.chatText(messages, { enable_thinking: true }), "2024-07-26 why  think");
});

Deno.test("the tokenizer's own end token ends a chat, and nothing else (mlx-vlm#2112)", async () => {
  // Token 4 is the answer and leads to id 2; here the tokenizer says that 4 ends a turn.
  await using folder = await answeringModel("7", {
    config: { eos_token_id: 0 },
    tokenizerConfig: { eos_token: "<eos>", chat_template: "{{ messages[0].content }}" },
  });
  using gpu = await Gpu.open();
  const tokens = async (chat: boolean) => {
    const { completions } = await runGenerate(
      gpu,
      {
        model: { source: folder.path },
        generation: { question: "?" },
        prompt: { chat, maxNewTokens: 6, template: "{question}" },
      },
      { tune: false },
    );
    return completions[0]!.ids;
  };
  assertEquals(await tokens(true), [4, 2]);
  assertEquals((await tokens(false)).length, 6);
  await Deno.writeTextFile(join(folder.path, "generation_config.json"), '{"eos_token_id": [4]}');
  assertEquals(await tokens(false), [4]);
});

Deno.test("template variables need a chat", async () => {
  await using folder = await answeringModel("7");
  using gpu = await Gpu.open();
  const { message } = await assertRejects(
    () =>
      runEvaluate(gpu, {
        model: { source: folder.path },
        prompt: { templateVariables: { enable_thinking: false } },
      }),
    InputError,
  );
  assertEquals(message, "Template variables are those of the chat template; ask in a chat.");
});
