/** Chat templates in the shapes that published models have them, written for these tests. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { type ChatMessage, ChatTemplate, requireChatTemplate } from "../../engine/model/chat_template.ts";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { copyOf, type TemporaryFolder, temporaryFolder, tinyModel } from "./model_fixture.ts";

const turns: ChatMessage[] = [
  { role: "user", content: "2 + 3? " },
  { role: "assistant", content: "The answer is 5." },
  { role: "user", content: "4 + 4?" },
];

/** Refuses a system turn and turns that do not alternate; the assistant is called model. */
const gemmaLike = `{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif -%}
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Turns must alternate') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}`;

/** Writes a system turn with today's date, tools or none. */
const llamaLike = `{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "01 Jan 2000" %}
    {%- endif %}
{%- endif %}
{{- "<|header|>system<|/header|>\\n\\nToday: " + date_string + "\\n" }}
{%- if tools is not none %}{{- "Tools follow." }}{%- endif %}
{{- "<|eot|>" }}
{%- for message in messages %}
    {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
`;

/** No bos; a default system turn; a namespace that walks backwards. */
const qwenLike = `{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nBe of use.<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_user=0) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.last_user == 0 and message.role == "user" %}{%- set ns.last_user = index %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + ('*' if loop.index0 == ns.last_user else '') + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
`;

/** A folder that holds these files. */
async function folderOf(files: Record<string, unknown>): Promise<TemporaryFolder> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    await Deno.writeTextFile(join(folder.path, name), text);
  }
  return folder;
}

async function render(files: Record<string, unknown>, messages = turns): Promise<string> {
  await using folder = await folderOf(files);
  return requireChatTemplate(await ChatTemplate.load(folder.path), folder.path).render(messages);
}

Deno.test("a Gemma-like template names the assistant model and writes bos itself", async () => {
  const text = await render({ "tokenizer_config.json": { chat_template: gemmaLike, bos_token: "<bos>" } });
  assertEquals(
    text,
    "<bos><start_of_turn>user\n2 + 3?<end_of_turn>\n<start_of_turn>model\nThe answer is 5.<end_of_turn>\n" +
      "<start_of_turn>user\n4 + 4?<end_of_turn>\n<start_of_turn>model\n",
  );
});

Deno.test("a Llama-like template gets the same date on every day", async () => {
  const text = await render({
    "tokenizer_config.json": { chat_template: llamaLike, bos_token: { content: "<|begin|>", special: true } },
  });
  assertEquals(
    text,
    "<|begin|><|header|>system<|/header|>\n\nToday: 26 Jul 2024\n<|eot|>" +
      "<|header|>user<|/header|>\n\n2 + 3?<|eot|><|header|>assistant<|/header|>\n\nThe answer is 5.<|eot|>" +
      "<|header|>user<|/header|>\n\n4 + 4?<|eot|><|header|>assistant<|/header|>\n\n",
  );
});

Deno.test("a Qwen-like template puts its own system turn first and needs no bos", async () => {
  const text = await render({ "tokenizer_config.json": { chat_template: qwenLike, bos_token: null } });
  assertEquals(
    text,
    "<|im_start|>system\nBe of use.<|im_end|>\n<|im_start|>user\n2 + 3? <|im_end|>\n" +
      "<|im_start|>assistant\nThe answer is 5.<|im_end|>\n<|im_start|>user*\n4 + 4?<|im_end|>\n" +
      "<|im_start|>assistant\n",
  );
});

Deno.test("templates are found where transformers looks, its own file first and the default of a list", async () => {
  const list = [{ name: "tool_use", template: "tools" }, {
    name: "default",
    template: "listed {{ eos_token }}",
  }];
  const config = { "tokenizer_config.json": { chat_template: list } };
  const map = { "special_tokens_map.json": { eos_token: { content: "</s>" } } };
  const beside = { "chat_template.json": { chat_template: "beside" } };
  assertEquals(await render({ ...config, ...map, ...beside }), "listed </s>");
  assertEquals(await render({ ...config, ...beside, "chat_template.jinja": "own" }), "own");
  assertEquals(await render({ "tokenizer_config.json": {}, ...beside }), "beside");
  // Spaces and ends of lines count as they do at the beginning of a file.
  assertEquals(await render({ "chat_template.jinja": "\n own\n" }), "\n own");
  assertEquals(await render({ "chat_template.jinja": "  {% if true %}\n own{% endif %}" }), " own");
});

Deno.test("a missing, broken, misshapen or refusing template is one sentence", async () => {
  await using empty = await temporaryFolder();
  assertEquals(await ChatTemplate.load(empty.path), undefined);
  const none = assertThrows(
    () => requireChatTemplate(undefined, "some/model"),
    InputError,
    "no chat template",
  );
  const config = (chat_template: unknown) => ({
    "tokenizer_config.json": { chat_template, bos_token: "<bos>" },
  });
  const broken = await assertRejects(
    () => render(config("{% for x in %}")),
    InputError,
    "tokenizer_config.json",
  );
  const refusing = await assertRejects(
    () => render(config(gemmaLike), [{ role: "system", content: "Hello." }, ...turns]),
    InputError,
    "System role not supported",
  );
  const misshapen = await assertRejects(() => render(config({ text: "x" })), InputError, '"chat_template"');
  for (const { message } of [none, broken, refusing, misshapen]) {
    assert(/^[A-Z][^\n]*[^.\n]\.$/.test(message), message);
  }
});

Deno.test("a conversation becomes ids with the special tokens its template writes and no others", async () => {
  await using copy = await copyOf(tinyModel);
  const path = join(copy.path, "tokenizer_config.json");
  const settings = JSON.parse(await Deno.readTextFile(path));
  const tokenizerWith = async (chat_template: string) => {
    await Deno.writeTextFile(path, JSON.stringify({ ...settings, chat_template }));
    return await Tokenizer.load(copy.path);
  };
  const question = "Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?";
  const messages: ChatMessage[] = [{ role: "user", content: question }];
  const plain = await Tokenizer.load(tinyModel);
  const expected = plain.encode(`Q: ${question}\nA:`);
  const withBos = await tokenizerWith("{{ bos_token }}Q: {{ messages[0].content }}\nA:");
  assertEquals(withBos.encodeChat(messages), expected);
  const without = await tokenizerWith("Q: {{ messages[0].content }}\nA:");
  assertEquals(without.encodeChat(messages), expected.slice(1));
  assertThrows(() => plain.encodeChat(messages), InputError, "no chat template");
});
