/** Models that would take for ever or all memory: each is refused in one sentence, within seconds, and what comes next works. */
import { join } from "node:path";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { isTame } from "../../engine/model/tokenizer_work.ts";
import { readJsonObject } from "../../engine/json_objects.ts";
import { copyOf, embeddedModel, temporaryFolder } from "./model_fixture.ts";

/** Milliseconds that a refusal may take on a machine that does other things too; alone it takes one second. */
const most = 30_000;

function assertSoon<T>(work: () => T): T {
  const started = performance.now();
  try {
    return work();
  } finally {
    const took = performance.now() - started;
    assert(took < most, `${took} ms`);
  }
}

const messages = [{ role: "user", content: "Hello" }] as const;

/** The embedded model's tokenizer with other parts. */
async function changed(parts: Record<string, unknown>, template?: string): Promise<Tokenizer> {
  await using copy = await copyOf(embeddedModel);
  const path = join(copy.path, "tokenizer.json");
  const json = await readJsonObject(path);
  await Deno.writeTextFile(path, JSON.stringify({ ...json, ...parts }));
  if (template !== undefined) await Deno.writeTextFile(join(copy.path, "chat_template.jinja"), template);
  return await Tokenizer.load(copy.path);
}

const doubling = (start: string, step: string, then: string) =>
  `{% set n = namespace(x=${start}) %}{% for i in range(60) %}{% set n.x = ${step} %}{% endfor %}${then}`;

for (
  const [what, template] of [
    [
      "loops inside loops",
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    ],
    ["a range without end", "{% for a in range(10 ** 15) %}{% endfor %}"],
    ["a macro that calls itself", "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}"],
    ["text that doubles", doubling("'ab'", "n.x ~ n.x", "{{ n.x }}")],
    ["text that doubles by adding", doubling("'ab'", "n.x + n.x", "")],
    ["a list that doubles", doubling("[1, 2]", "n.x + n.x", "{{ n.x | length }}")],
    ["a list of itself twice, written", doubling("[1]", "[n.x, n.x]", "{{ n.x }}")],
    ["a list of itself twice, as JSON", doubling("[1]", "[n.x, n.x]", "{{ n.x | tojson }}")],
    [
      "a map of itself twice, as JSON",
      doubling("{}", "{'a': n.x, 'b': n.x}", "{{ n.x | tojson(indent=8) }}"),
    ],
    ["JSON with a wide margin", "{{ [1, 2] | tojson(indent=1000000000) }}"],
    ["text indented far", "{{ 'a\\nb' | indent(10 ** 12) }}"],
    [
      "text cut to pieces again and again",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x | replace('', 'abcdefgh') %}{% endfor %}",
    ],
    [
      "a list joined with itself",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = [n.x, n.x, n.x] | join(n.x) %}{% endfor %}",
    ],
    ["deep nesting", "{% if true %}".repeat(50_000) + "{% endif %}".repeat(50_000)],
    ["a deep expression", `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`],
    ["an operator without end", `{{ ${"not ".repeat(200_000)}1 }}`],
  ] as const
) {
  Deno.test(`a chat template with ${what} ends in one sentence`, async () => {
    (await changed({}, "{{ messages }}")).chatText(messages); // the thread is there
    const tokenizer = await changed({}, template);
    const error = assertSoon(() => assertThrows(() => tokenizer.chatText(messages), InputError));
    assert(
      /^The chat template in ".*" fails \(.{5,200}\); mend it or ask without a chat\.$/.test(error.message),
      error.message,
    );
    assertEquals((await changed({}, "{{ messages[0].content }}!")).chatText(messages), "Hello!");
  });
}

const split = (expression: string) => ({
  pre_tokenizer: { type: "Split", pattern: { Regex: expression }, behavior: "Isolated", invert: false },
});
const growing = Array.from(
  { length: 60 },
  () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" }),
);

for (
  const [what, parts] of [
    ["an expression that goes back and forth", split("(a+)+$")],
    ["two ways to match the same", split("(a|a)*b")],
    ["many stars", split("a*a*a*a*a*a*a*a*a*c")],
    ["an expression of its normalizer", {
      normalizer: { type: "Replace", pattern: { Regex: "(a*)*c" }, content: "" },
    }],
    ["text that doubles", { normalizer: { type: "Sequence", normalizers: growing } }],
    ["text between all characters", {
      normalizer: {
        type: "Sequence",
        normalizers: growing.map(() => ({ type: "Replace", pattern: { String: "" }, content: "abcdefgh" })),
      },
    }],
  ] as const
) {
  Deno.test(`a tokenizer with ${what} ends in one sentence`, async () => {
    const tokenizer = await changed(parts);
    if ("pre_tokenizer" in parts) tokenizer.encode("7"); // the thread is there
    const error = assertSoon(() => assertThrows(() => tokenizer.encode("a".repeat(60) + "!"), InputError));
    assert(/tokenizer\.json" is not a usable tokenizer \(.*\); download/.test(error.message), error.message);
    // The thread starts anew for what does not take long.
    if ("pre_tokenizer" in parts) assertEquals(tokenizer.decode(tokenizer.encode("7")), "<bos>7");
  });
}

Deno.test("a tokenizer whose expression is not a published one gives the ids that it would give here", async () => {
  const plain = await Tokenizer.load(embeddedModel);
  const json = await readJsonObject(join(embeddedModel, "tokenizer.json"));
  const { pattern } = json!.pre_tokenizer as { pattern: { Regex: string } };
  const other = await changed(split(`${pattern.Regex}|zzzz`));
  for (const text of ["Q: Kim has 24 cups.\nA:", "", "<eos> é \u{1f600}"]) {
    const ids = plain.encode(text);
    assertEquals(other.encode(text), ids);
    assertEquals(other.decode(ids), plain.decode(ids));
  }
});

Deno.test("published expressions are known, growing replacements and others are not", async () => {
  const json = (await readJsonObject(join(embeddedModel, "tokenizer.json"))) as never as Parameters<
    typeof isTame
  >[0];
  const spaces = { type: "Replace", pattern: { String: " " }, content: "▁" };
  assert(isTame(json));
  assert(isTame({ ...json, normalizer: spaces }));
  assert(!isTame({ ...json, normalizer: { ...spaces, content: "▁▁" } }));
  assert(
    !isTame({
      ...json,
      normalizer: { type: "Sequence", normalizers: [{ ...spaces, pattern: { Regex: " " } }] },
    }),
  );
  assert(!isTame({ ...json, decoder: { ...spaces, content: "a".repeat(1e5) } }));
  assert(!isTame({ ...json, model: { ...json.model, max_input_chars_per_word: 1e9 } }));
});

Deno.test("parts of a tokenizer that are none are refused in one sentence", async () => {
  const json = await readJsonObject(join(embeddedModel, "tokenizer.json"));
  for (
    const parts of [
      {
        post_processor: { type: "TemplateProcessing", single: ["constructor"], pair: [], special_tokens: {} },
      },
      { post_processor: { type: "TemplateProcessing", single: 7, pair: [] } },
      { post_processor: { type: "constructor" } },
      { decoder: { type: "Sequence", decoders: "x" } },
      { normalizer: { type: "Sequence" } },
      { pre_tokenizer: { type: "Split" } },
      { decoder: { type: "Replace", pattern: { Text: "a" }, content: "" } },
      {
        post_processor: {
          type: "TemplateProcessing",
          single: [{ SpecialToken: { id: "<boz>", type_id: 0 } }],
          pair: [],
        },
      },
      {
        post_processor: {
          type: "TemplateProcessing",
          single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }],
          pair: [],
          special_tokens: { "<bos>": { id: "<bos>", ids: [2], tokens: ["<bos>"] } },
        },
      },
      { model: { ...json!.model as object, type: "Unknown" } },
      { model: { ...json!.model as object, vocab: { Q: "1" } } },
      { model: { ...json!.model as object, vocab: { Q: -1 } } },
      { model: { ...json!.model as object, vocab: { Q: 1.5 } } },
      { model: { ...json!.model as object, vocab: { Q: 1e300 } } },
    ]
  ) {
    try {
      (await changed(parts)).encode("Q: Kim");
    } catch (error) {
      assert(error instanceof InputError, `${error} for ${JSON.stringify(parts).slice(0, 200)}`);
      assert(/tokenizer\.json" is not a usable tokenizer \(/.test(error.message), error.message);
      continue;
    }
    throw new Error(`nothing refused ${JSON.stringify(parts).slice(0, 100)}`);
  }
});

Deno.test("JSON that nests without end is refused, however it is reached", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "config.json");
  for (const [open, close] of [["[", "]"], ['{"a":', "}"]] as const) {
    await Deno.writeTextFile(path, `{"a":${open.repeat(200_000)}1${close.repeat(200_000)}}`);
    try {
      await readJsonObject(path);
      throw new Error("it was read");
    } catch (error) {
      assert(error instanceof InputError && error.message.includes("levels deep"), String(error));
    }
  }
});
