import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../../engine/errors.ts";
import { Tokenizer } from "../../engine/model/tokenizer.ts";

const embeddedModel = new URL("../../fixtures/gemma2-mini/", import.meta.url).pathname;
const taskData = new URL("../../fixtures/tasks/", import.meta.url).pathname;
const greedyCases: { question: string; prompt_ids: number[]; greedy_ids: number[]; text: string }[] = JSON
  .parse(
    await Deno.readTextFile(join(embeddedModel, "greedy_cases.json")),
  );

/** Loads a tokenizer from a temporary folder that holds only the given files. */
async function loadFrom(files: Record<string, string>): Promise<Tokenizer> {
  const dir = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(join(dir, name), text);
    return await Tokenizer.load(dir);
  } catch (error) {
    // Messages name the folder, which differs from run to run.
    if (error instanceof InputError) error.message = error.message.replaceAll(dir, "DIR");
    throw error;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function assertRefused(files: Record<string, string>, message: string): Promise<void> {
  const error = await assertRejects(() => loadFrom(files), InputError);
  assertEquals(error.message, message);
  assertMatch(error.message, /^[A-Z].*\.$/);
  assert(!/[.!?]\s/.test(error.message), "The message is one sentence");
}

/** A word-level tokenizer that knows "red", "blue" and an unknown token. */
const wordLevel = {
  added_tokens: [{ id: 3, content: "<end>", special: true, normalized: false }],
  pre_tokenizer: { type: "WhitespaceSplit" },
  model: { type: "WordLevel", vocab: { red: 0, blue: 1, "<?>": 2 }, unk_token: "<?>" },
};

Deno.test("encoding a prompt gives the very ids the model was trained on, <bos> included", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  assertEquals(greedyCases.length, 24);
  for (const { question, prompt_ids } of greedyCases) {
    assertEquals(tokenizer.encode(`Q: ${question}\nA:`), prompt_ids);
  }
});

Deno.test("encoding without special tokens leaves <bos> out", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  const { question, prompt_ids } = greedyCases[0]!;
  assertEquals(tokenizer.encode(`Q: ${question}\nA:`, { addSpecialTokens: false }), prompt_ids.slice(1));
});

Deno.test("decoding greedy ids gives the expected text exactly", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  for (const { greedy_ids, text } of greedyCases) {
    assertEquals(tokenizer.decode(greedy_ids, { skipSpecialTokens: true }), text);
  }
});

Deno.test("decoding writes special tokens out unless told to skip them", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  const { greedy_ids, text } = greedyCases[0]!;
  assertEquals(tokenizer.decode(greedy_ids), `${text}<eos>`);
});

Deno.test("decoding nothing gives the empty string", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  assertEquals(tokenizer.decode([]), "");
  assertEquals(tokenizer.decode([1, 2], { skipSpecialTokens: true }), "");
});

Deno.test("decoding leaves out ids that the tokenizer has no token for", async () => {
  const tokenizer = await Tokenizer.load(embeddedModel);
  const [first, second] = greedyCases[0]!.greedy_ids;
  assertEquals(tokenizer.decode([first!, 5000, second!]), tokenizer.decode([first!, second!]));
});

for (const file of ["math", "choice", "reverse", "fact"]) {
  Deno.test(`every text of ${file}.jsonl survives encoding and decoding`, async () => {
    const tokenizer = await Tokenizer.load(embeddedModel);
    const lines = (await Deno.readTextFile(join(taskData, `${file}.jsonl`))).trim().split("\n");
    assert(lines.length >= 72);
    for (const line of lines) {
      const { question, answer } = JSON.parse(line) as { question: string; answer: string };
      // Math answers end in "#### N", which the model never writes.
      const texts = [`Q: ${question}\nA:`, ` ${answer.split("\n")[0]}`];
      for (const text of texts) {
        const ids = tokenizer.encode(text);
        assertEquals(ids[0], 1);
        assert(!ids.includes(3), "No piece of the text is unknown");
        assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), text);
      }
    }
  });
}

Deno.test("tokenizer_config.json is optional, and so are the parts of tokenizer.json that may be null", async () => {
  const tokenizer = await loadFrom({ "tokenizer.json": JSON.stringify(wordLevel) });
  assertEquals(tokenizer.encode("blue green red<end>"), [1, 2, 0, 3]);
});

Deno.test("spaces before punctuation are kept unless tokenizer_config.json asks to clean them up", async () => {
  const vocab = { what: 0, " ?": 1 };
  const files = {
    "tokenizer.json": JSON.stringify({ model: { type: "WordLevel", vocab }, decoder: { type: "Fuse" } }),
  };
  assertEquals((await loadFrom(files)).decode([0, 1]), "what ?");
  const settings = JSON.stringify({ clean_up_tokenization_spaces: true });
  assertEquals((await loadFrom({ ...files, "tokenizer_config.json": settings })).decode([0, 1]), "what?");
});

Deno.test("text that no token covers is dropped where the vocabulary has no unknown token", async () => {
  const { unk_token: _, ...model } = wordLevel.model;
  const tokenizer = await loadFrom({ "tokenizer.json": JSON.stringify({ ...wordLevel, model }) });
  assertEquals(tokenizer.encode("blue green red"), [1, 0]);
});

Deno.test("a folder without tokenizer.json is refused", () =>
  assertRefused(
    {},
    'File "DIR/tokenizer.json" does not exist; pass a model folder that holds its tokenizer.',
  ));

Deno.test("a tokenizer.json that is not JSON is refused", () =>
  assertRefused(
    { "tokenizer.json": "{" },
    'File "DIR/tokenizer.json" is not valid JSON; download it again or mend it.',
  ));

Deno.test("a tokenizer.json that holds a list is refused", () =>
  assertRefused(
    { "tokenizer.json": "[]" },
    'File "DIR/tokenizer.json" holds [] where a JSON object is needed; download it again.',
  ));

Deno.test("a tokenizer.json without a model is refused", () =>
  assertRefused(
    { "tokenizer.json": "{}" },
    'File "DIR/tokenizer.json" is not a usable tokenizer ("model": Invalid input: expected object, received undefined); ' +
      "download it again or export it anew.",
  ));

Deno.test("a tokenizer.json of a kind the library does not know is refused", () =>
  assertRefused(
    { "tokenizer.json": JSON.stringify({ ...wordLevel, decoder: { type: "Rot13" } }) },
    'File "DIR/tokenizer.json" is not a usable tokenizer ("decoder.type": is none of Sequence, Replace, ' +
      "Metaspace, WordPiece, BPEDecoder, CTC, Strip, ByteLevel, Fuse, ByteFallback); " +
      "download it again or export it anew.",
  ));

Deno.test("a malformed tokenizer_config.json is refused", () =>
  assertRefused(
    { "tokenizer.json": JSON.stringify(wordLevel), "tokenizer_config.json": "oops" },
    'File "DIR/tokenizer_config.json" is not valid JSON; download it again or mend it.',
  ));
