/** `generate` as a user runs it: prompts from standard input, several samples, chats, and what a model has no words for. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { copyOf, embeddedModel } from "../model/model_fixture.ts";
import { assertRefused, onlyLine, run, runWithInput } from "./command_line.ts";

const question = "Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?";
const fast = ["--no-tune", "--max-new-tokens", "12"];

Deno.test("a prompt or question comes from standard input as well", async () => {
  const asked = await run("generate", ["--question", question, ...fast]);
  const prompt = `Q: ${question}\nA:`;
  for (
    const [args, input] of [[[], `${prompt}\n`], [["--prompt", "-"], prompt], [
      ["--question", "-"],
      question,
    ]] as const
  ) {
    const outcome = await runWithInput("generate", [...args, ...fast], input);
    assertEquals([outcome.code, outcome.stdout], [0, asked.stdout], outcome.stderr);
  }
  assertRefused(await runWithInput("generate", fast, ""), 2, "--prompt", "--question");
});

Deno.test("samples are parted and drawn apart, and greedy ones are refused", async () => {
  const args = ["--question", question, "--samples", "3", "--seed", "5", ...fast];
  const { code, stdout, stderr } = await run("generate", args);
  assertEquals(code, 0, stderr);
  const parts = stdout.split(/^--- sample \d of 3 ---\n/m);
  assertEquals([parts.length, parts[0]], [4, ""]);
  const json = await run("generate", [...args, "--temperature", "2", "--json", "--quiet"]);
  const { completions, new_tokens } = onlyLine(json) as {
    completions: { text: string; ids: number[] }[];
    new_tokens: number;
  };
  assertEquals(new Set(completions.map(({ text }) => text)).size, 3);
  assertEquals(new_tokens, completions.reduce((sum, { ids }) => sum + ids.length, 0));
  assertRefused(await run("generate", [...args, "--temperature", "0"]), 2, "--temperature", "--samples");
});

Deno.test("a question in words that the embedded model does not have is noted once, others are not", async () => {
  const { code, stderr } = await run("generate", ["--question", "What is the capital of Germany?", ...fast]);
  assertEquals(code, 0);
  const [note, speed, ...more] = stderr.trimEnd().split("\n");
  assertMatch(note!, /^note: The embedded model .*"capital", "Germany".*\.$/);
  assertMatch(speed!, /^\d+ tokens in /);
  assertEquals(more, []);
  assert(!(await run("generate", ["--question", question, ...fast])).stderr.includes("note:"));
});

Deno.test("a chat replies to each line with all that was said before", async () => {
  await using model = await copyOf(embeddedModel);
  await Deno.writeTextFile(
    join(model.path, "chat_template.jinja"),
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:{% else %}{{ m.content }}\n{% endif %}{% endfor %}",
  );
  const args = ["--model", model.path, "--chat", ...fast];
  const other = "Tom has 3 pens. Tom buys 4 more. How many pens does Tom have?";
  const chat = await runWithInput("generate", [...args, "--json"], `${question}\n\n${other}\n`);
  assertEquals(chat.code, 0, chat.stderr);
  const { messages } = onlyLine(chat) as { messages: { role: string; content: string }[] };
  assertEquals(messages.map(({ role }) => role), ["user", "assistant", "user", "assistant"]);
  assertEquals([messages[0]!.content, messages[2]!.content], [question, other]);
  const asPrompt = `Q: ${question}\nA:${messages[1]!.content}\nQ: ${other}\nA:`;
  const prompted = await run("generate", ["--model", model.path, "--prompt", asPrompt, ...fast]);
  assertEquals(prompted.stdout, `${messages[3]!.content}\n`);
  assertEquals(chat.stderr.match(/tokens in/g)?.length, 2);
  const long = await runWithInput("generate", args, `${`${question} `.repeat(20)}\n`);
  assertRefused(long, 2, "context of 256 tokens");
  assertRefused(await runWithInput("generate", [...args, "--samples", "2"], "x\n"), 2, "--samples");
  assertStringIncludes((await run("generate", ["--chat", ...fast])).stderr, "no chat template");
});
