/** How a model is asked by default, by its folder and by choice, and that a run notices when that changes. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { workedExamples } from "../../engine/evaluation/shots.ts";
import { promptSettings } from "../../engine/run/prompt_settings.ts";
import { RunFolder } from "../../engine/run/run_folder.ts";
import { embeddedModel, temporaryFolder } from "../model/model_fixture.ts";

const thinking = "Q: {question}\nA: Let's think step by step.";

Deno.test("a model without prompt.json thinks step by step after eight examples", async () => {
  await using folder = await temporaryFolder();
  assertEquals(await promptSettings(folder.path), {
    template: thinking,
    shots: workedExamples(),
    chat: false,
    stop: ["\n\nQ:"],
    maxNewTokens: 320,
  });
  assertEquals(
    await promptSettings(folder.path, { shots: "none", template: "Say {question}", maxNewTokens: 9 }),
    {
      template: "Say {question}",
      shots: [],
      chat: false,
      stop: [],
      maxNewTokens: 9,
    },
  );
  assertEquals((await promptSettings(folder.path, { template: "Say {question}" })).stop, ["\n\nSay"]);
});

Deno.test("the embedded model is asked as it was trained, unless told otherwise", async () => {
  const own = { template: "Q: {question}\nA:", shots: [], chat: false, stop: [], maxNewTokens: 48 };
  assertEquals(await promptSettings(embeddedModel), own);
  assertEquals(await promptSettings(embeddedModel, { shots: "default", stop: ["!"] }), {
    ...own,
    shots: workedExamples(),
    stop: ["!"],
  });
  assertEquals((await promptSettings(embeddedModel, { shots: "default" })).stop, ["\n\nQ:"]);
});

Deno.test("shots that prompt.json names outside of the model folder are refused", async () => {
  await using folder = await temporaryFolder();
  const model = join(folder.path, "model");
  await Deno.mkdir(join(model, "docs"), { recursive: true });
  const secret = join(folder.path, "secret.txt");
  await Deno.writeTextFile(secret, "secret");
  await Deno.symlink("../secret.txt", join(model, "link.txt"));
  await Deno.symlink("..", join(model, "up"));
  for (
    const shots of [
      ...["../secret.txt", "docs/../../secret.txt", secret, "link.txt", "up/secret.txt", "..", "."],
      "/etc/passwd",
    ]
  ) {
    await Deno.writeTextFile(join(model, "prompt.json"), JSON.stringify({ shots }));
    const error = await assertRejects(
      () => promptSettings(model),
      InputError,
      `"${shots}", which lies outside`,
    );
    assert(!String(error).includes("root:"));
  }
  await Deno.writeTextFile(join(model, "docs", "mine.txt"), "Add up.");
  await Deno.writeTextFile(join(model, "prompt.json"), JSON.stringify({ shots: "docs/mine.txt" }));
  assertEquals((await promptSettings(model)).shots, "Add up.\n\n");
});

Deno.test("prompt.json names its shots beside itself, and what it gets wrong is one sentence", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "prompt.json");
  const write = (content: unknown) => Deno.writeTextFile(path, JSON.stringify(content));
  await Deno.writeTextFile(join(folder.path, "mine.txt"), "Add up.\n");
  await write({ template: "{question} =", shots: "mine.txt", stop: ["\n"], max_new_tokens: 5 });
  assertEquals(await promptSettings(folder.path), {
    template: "{question} =",
    shots: "Add up.\n\n",
    chat: false,
    stop: ["\n"],
    maxNewTokens: 5,
  });
  const wrong: [unknown, string][] = [
    [{ templates: "{question}" }, '"templates"'],
    [{ template: "question" }, "{question}"],
    [{ stop: "\n" }, '"stop"'],
    [{ stop: [""] }, '"stop"'],
    [{ max_new_tokens: 0 }, '"max_new_tokens"'],
    [{ shots: 8 }, '"shots"'],
  ];
  for (const [content, part] of wrong) {
    await write(content);
    const { message } = await assertRejects(() => promptSettings(folder.path), InputError, part);
    assert(message.includes(path) && /^[A-Z][^\n]*\.$/.test(message), message);
  }
});

Deno.test("a chat is tried on the template before any weights are loaded", async () => {
  await using folder = await temporaryFolder();
  const chat = () => promptSettings(folder.path, { chat: true });
  await assertRejects(chat, InputError, "no chat template");
  const jinja = join(folder.path, "chat_template.jinja");
  await Deno.writeTextFile(jinja, "{{ raise_exception('Only one turn') if messages | length > 1 }}");
  await assertRejects(chat, InputError, "Only one turn");
  await Deno.writeTextFile(jinja, "{{ messages[-1].content }}");
  assertEquals(await chat(), {
    template: "{question}",
    shots: workedExamples(),
    chat: true,
    stop: [],
    maxNewTokens: 320,
  });
  await Deno.writeTextFile(join(folder.path, "text.txt"), "Add up.");
  const shots = join(folder.path, "text.txt");
  await assertRejects(() => promptSettings(folder.path, { chat: true, shots }), InputError, "plain text");
});

Deno.test("a run that is asked otherwise does not resume", async () => {
  await using folder = await temporaryFolder();
  const settings = { seed: 0, ...await promptSettings(folder.path) };
  const open = async (changed: Record<string, unknown>) => {
    using run = await RunFolder.open(join(folder.path, "run"), { ...settings, ...changed });
    const { resumed } = run;
    await run.begin({
      inputs: { data: "0".repeat(64), abilities: {}, model: {} },
      versions: { circuit_amp: "0", deno: "0" },
      adapter: "none",
      kernels: {},
    });
    return resumed;
  };
  assertEquals([await open({}), await open({})], [false, true]);
  const last = workedExamples().with(7, { question: "Who?", answer: "The answer is 1." });
  const { message } = await assertRejects(() => open({ shots: last }), InputError, "other shots");
  assert(message.length < 250, message);
  await assertRejects(() => open({ stop: [] }), InputError, 'stop ["\\n\\nQ:"] instead of []');
  await assertRejects(() => open({ chat: true }), InputError, "chat false instead of true");
});
