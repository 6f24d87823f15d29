/** What makes text into ids: tokenizer.json, its settings, chat templates, and prompt.json with its shots. */
import { join } from "node:path";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { promptSettings } from "../../engine/run/prompt_settings.ts";
import { embeddedModel } from "../model/model_fixture.ts";
import { type Bytes, changeBytes, changeTree, decode, encode, rewritten, stranger } from "./mutation.ts";
import type { Meaning, Mutant, Subject } from "./trial.ts";

const texts = ["Q: Kim has 24 cups. Kim buys 17 more. How many?\nA:", "", "<eos> 7", "é \u{1f600} \u202e x"];

async function readTokenizer(folder: string): Promise<Meaning> {
  const tokenizer = await Tokenizer.load(folder);
  const meaning: Record<string, string> = { end: String(tokenizer.endOfTurn) };
  texts.forEach((text, i) => {
    const ids = tokenizer.encode(text);
    meaning[`ids.${i}`] = String(ids);
    meaning[`plain.${i}`] = String(tokenizer.encode(tokenizer.asText(text), { addSpecialTokens: false }));
    meaning[`text.${i}`] = tokenizer.decode(ids);
    meaning[`short.${i}`] = tokenizer.decode(ids, { skipSpecialTokens: true });
  });
  return meaning;
}

async function prepareTokenizer(folder: string) {
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(join(embeddedModel, name), join(folder, name));
  }
}

/** Pieces of regular expressions, put together at random: some are none, some take long. */
const pieces = [
  "(",
  ")",
  "a",
  "+",
  "*",
  "|",
  "[^a]",
  "\\s",
  "\\p{L}",
  "?",
  "{1,3}",
  "$",
  "(?=",
  "(?!",
  "\\1",
  ".",
  "(a+)+",
  "[",
  "\\",
];

export const tokenizer: Subject = {
  name: "tokenizer",
  prepare: prepareTokenizer,
  read: readTokenizer,
  mutate(dice, files): Mutant {
    const file = dice.happens(0.8) ? "tokenizer.json" : "tokenizer_config.json";
    const value = JSON.parse(decode(files.get(file)!)) as Record<string, unknown>;
    const made = (what: string, text: string, rest: Partial<Mutant> = {}): Mutant => ({
      what: `${file}, ${what}`,
      files: { [file]: encode(text) },
      may: () => true,
      ...rest,
    });
    switch (dice.below(6)) {
      case 0:
        return made("written otherwise", JSON.stringify(value, null, dice.below(4)), { expected: "same" });
      case 1: {
        value[dice.pick(["comment", "exported_by", "__proto_", "toString"])] = stranger(dice);
        return made("something added that nobody reads", JSON.stringify(value));
      }
      case 2: {
        const changed = changeBytes(files.get(file)!, dice);
        return { what: `${file}, ${changed.what}`, files: { [file]: changed.bytes }, may: () => true };
      }
      case 3: {
        if (!dice.happens(0.1)) return made("a stranger", JSON.stringify(changeTree(value, dice).tree));
        const Regex = Array.from({ length: 1 + dice.below(6) }, () => dice.pick(pieces)).join("");
        const part = dice.happens(0.5)
          ? { pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false } }
          : { normalizer: { type: "Replace", pattern: { Regex }, content: dice.pick(["", "a", "aa"]) } };
        return {
          what: `an expression ${Regex}`,
          files: {
            "tokenizer.json": encode(
              JSON.stringify({ ...JSON.parse(decode(files.get("tokenizer.json")!)), ...part }),
            ),
          },
          may: () => true,
        };
      }
      default: {
        const { tree, what } = changeTree(value, dice);
        return made(what, JSON.stringify(tree));
      }
    }
  },
};

const templateFile = "chat_template.jinja";
const good =
  `{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}Q: {{ message.content | trim }}
A:{% else %} {{ message['content'] }}
{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "" }}{% endif %}`;

/** What a template may be made of. */
const snippets = [
  ...[
    "{% for m in messages %}",
    "{% endfor %}",
    "{% if true %}",
    "{% endif %}",
    "{{ messages }}",
    "{{ x }}",
    "{% else %}",
  ],
  ...[
    "{% set x = [x, x] %}",
    "{% set x = messages %}",
    "{{ messages | tojson }}",
    "{{ range(10) }}",
    "{{ 1 / 0 }}",
    "{{",
  ],
  ...[
    "{% macro m(a) %}",
    "{% endmacro %}",
    "{{ m(1) }}",
    "{{ ''.join(messages) }}",
    "{{ messages[7].role }}",
    "%}",
    "{#",
  ],
  ...[
    "{{ 'a' * 3 }}",
    "{{ messages.constructor }}",
    "{{ x.__proto__ }}",
    "{% break %}",
    "{{ raise_exception('no') }}",
  ],
  ...[
    "{{ 'a'.split('') }}",
    "{% set ns = namespace() %}",
    "{{ loop.index }}",
    "\u001b[2J",
    "{{ messages | length }}",
  ],
];

const conversations = [
  [{ role: "user", content: "Hello" }],
  [{ role: "system", content: "Be brief." }, { role: "user", content: " 1 + 1? " }, {
    role: "assistant",
    content: "2",
  }],
] as const;

export const template: Subject = {
  name: "template",
  async prepare(folder) {
    await prepareTokenizer(folder);
    await Deno.writeTextFile(join(folder, templateFile), good);
  },
  async read(folder) {
    const tokenizer = await Tokenizer.load(folder);
    return Object.fromEntries(conversations.flatMap((messages, i) => [
      [`chat.${i}`, tokenizer.chatText(messages)],
      [`ids.${i}`, String(tokenizer.encodeChat(messages))],
    ]));
  },
  mutate(dice, files) {
    const text = decode(files.get(templateFile)!);
    const cut = dice.below(text.length);
    const may = () => true;
    const file = (content: string) => ({ [templateFile]: encode(content) });
    switch (dice.below(6)) {
      case 0: {
        const comment = `{# ${dice.pick(["a note", "é", "{{ x }}"])} #}`;
        return { what: "a comment", files: file(comment + text), expected: "same" };
      }
      case 1: {
        const settings = JSON.parse(decode(files.get("tokenizer_config.json")!));
        const moved = {
          "tokenizer_config.json": encode(JSON.stringify({ ...settings, chat_template: text })),
          [templateFile]: null,
        };
        return { what: "in tokenizer_config.json", files: moved, expected: "same" };
      }
      case 2: {
        const chat_template = dice.happens(0.3)
          ? [{ name: "other", template: "x" }, { name: "default", template: stranger(dice) }]
          : stranger(dice);
        return {
          what: `a template that is ${JSON.stringify(chat_template).slice(0, 60)}`,
          files: { "chat_template.json": encode(JSON.stringify({ chat_template })), [templateFile]: null },
          may,
        };
      }
      case 3: {
        const changed = changeBytes(files.get(templateFile)!, dice);
        return { what: changed.what, files: { [templateFile]: changed.bytes }, may };
      }
      case 4:
        if (dice.happens(0.02)) {
          const body = dice.pick([
            "{% set x.y = x.y + x.y %}",
            "{% set x.y = [x.y, x.y] %}",
            "{% for b in range(99999) %}{% endfor %}",
          ]);
          const endless =
            `{% set x = namespace(y=[1]) %}{% for a in range(99999) %}${body}{% endfor %}{{ x.y | tojson }}`;
          return { what: "without end", files: file(text + endless), expected: "refused" };
        }
        return {
          what: "a template of snippets",
          files: file(Array.from({ length: 1 + dice.below(9) }, () => dice.pick(snippets)).join(" ")),
          may,
        };
      default: {
        const snippet = dice.pick(snippets);
        return {
          what: `${snippet} put in`,
          files: file(text.slice(0, cut) + snippet + text.slice(cut)),
          may,
        };
      }
    }
  },
};

const goodPrompt = {
  template: "Q: {question}\nA:",
  shots: "shots/mine.txt",
  stop: ["\n"],
  max_new_tokens: 48,
};

export const prompt: Subject = {
  name: "prompt",
  async prepare(folder) {
    await Deno.mkdir(join(folder, "shots"));
    await Deno.writeTextFile(join(folder, "prompt.json"), JSON.stringify(goodPrompt));
    await Deno.writeTextFile(join(folder, "shots", "mine.txt"), "Q: 1 + 1?\nA: 2\n");
  },
  async read(folder) {
    const settings = await promptSettings(folder);
    return Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, JSON.stringify(value)]));
  },
  mutate(dice, files) {
    const value = JSON.parse(decode(files.get("prompt.json")!)) as typeof goodPrompt;
    const made = (content: Bytes) => ({ "prompt.json": content });
    switch (dice.below(5)) {
      case 0:
        return { what: "written otherwise", files: made(encode(rewritten(value, dice))), expected: "same" };
      case 1: {
        const shots = dice.pick([
          ...[
            "../secret",
            "shots/../../secret",
            "./../secret",
            "/etc/passwd",
            "shots/../../../prompt/secret",
            "..",
            "shots",
          ],
          ...["shots/mine.txt/../../../secret", "/", "\u0000", "../folder/../secret", "a".repeat(5000)],
        ]);
        return {
          what: `shots ${shots.slice(0, 40)}`,
          files: made(encode(JSON.stringify({ ...value, shots }))),
          expected: "refused",
        };
      }
      case 2: {
        const link = dice.pick(["../../secret", "../../none", "/etc/passwd", ".."]);
        return {
          what: `shots a link to ${link}`,
          files: { "shots/mine.txt": { link } },
          expected: "refused",
        };
      }
      case 3: {
        const changed = changeBytes(files.get("prompt.json")!, dice);
        return { what: changed.what, files: made(changed.bytes), may: () => true };
      }
      default: {
        const { tree, path, what } = changeTree(value, dice);
        const names: Record<string, string> = { max_new_tokens: "maxNewTokens" };
        // The default stop text follows the template and the shots.
        const own = path.length === 0 ? undefined : names[path[0]!] ?? path[0]!;
        return {
          what,
          files: made(encode(JSON.stringify(tree))),
          may: (part) => own === undefined || part === own || part === "stop",
        };
      }
    }
  },
};
