/** Exit codes and messages of the commands: 0 done, 1 checks failed, 2 wrong input, 3 no GPU, 130 interrupted. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  alterSafetensors,
  copyOf,
  embeddedModel,
  golden,
  jsonLines,
  setElement,
  temporaryFolder,
} from "../model/model_fixture.ts";
import { FolderLock } from "../../engine/folder_lock.ts";
import { writeSmallTask } from "../run/run_fixture.ts";
import { assertRefused, command, onlyLine, run } from "./command_line.ts";

const prompt = ["--prompt", "Q: Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?\nA:"];

/** `generate` on a copy of a golden model that `damage` has had must be refused with a message naming `parts`. */
function damagedModel(
  what: string,
  damage: (file: string, folder: string) => Promise<void>,
  ...parts: string[]
) {
  Deno.test(`${what} ends generate with exit code 2`, async () => {
    await using copy = await copyOf((await golden("llama-tiny")).dir);
    await damage(join(copy.path, "model.safetensors"), copy.path);
    assertRefused(await run("generate", ["--model", copy.path, ...prompt]), 2, ...parts);
  });
}

damagedModel(
  "a truncated safetensors file",
  async (file) => Deno.truncate(file, (await Deno.stat(file)).size - 50),
  "model.safetensors",
  "truncated",
);
damagedModel(
  "a header longer than its file",
  async (file) => {
    const bytes = await Deno.readFile(file);
    new DataView(bytes.buffer).setBigUint64(0, 2n ** 40n, true);
    await Deno.writeFile(file, bytes);
  },
  "model.safetensors",
  `${2 ** 40}`,
);
damagedModel(
  "a weight that is NaN",
  (file) => setElement(file, "model.layers.1.mlp.down_proj.weight", 3, NaN),
  "model.safetensors",
  "model.layers.1.mlp.down_proj.weight",
);
damagedModel(
  "an unknown model_type",
  async (_, folder) => {
    const path = join(folder, "config.json");
    await Deno.writeTextFile(path, (await Deno.readTextFile(path)).replace('"llama"', '"mamba"'));
  },
  "config.json",
  "model_type",
  '"mamba"',
);
damagedModel(
  "a missing tensor",
  (file) => alterSafetensors(file, (header) => header.replace("model.norm.weight", "model.morn.weight")),
  "model.norm.weight",
);
damagedModel("a model without a tokenizer", () => Promise.resolve(), "tokenizer.json");

/** A command with files beside it must be refused with a message naming `parts`. */
function refused(
  what: string,
  name: string,
  args: readonly string[],
  parts: readonly string[],
  files: Readonly<Record<string, string>> = {},
) {
  Deno.test(`${what} ends ${name} with exit code 2`, async () => {
    await using folder = await temporaryFolder();
    for (const [file, text] of Object.entries(files)) await Deno.writeTextFile(join(folder.path, file), text);
    const placed = args.map((arg) => arg.replace("FOLDER", folder.path));
    assertRefused(await run(name, placed), 2, ...parts.map((part) => part.replace("FOLDER", folder.path)));
  });
}

const good = '{"question": "Kim has 2 cups. How many?", "answer": "#### 2"}\n';
refused("a model folder that does not exist", "generate", ["--model", "FOLDER/none", ...prompt], [
  "FOLDER/none",
  "does not exist",
]);
refused("a data file that does not exist", "evaluate", ["--data", "FOLDER/none.jsonl"], [
  "FOLDER/none.jsonl",
]);
refused("a data row without a question", "evaluate", ["--data", "FOLDER/data.jsonl"], [
  "Line 2",
  "FOLDER/data.jsonl",
  '"question"',
], { "data.jsonl": good + '{"answer": "#### 5"}\n' });
refused("an answer without a number", "amplify", ["--data", "FOLDER/data.jsonl", "--out", "FOLDER/run"], [
  "Line 3",
  "plenty",
], { "data.jsonl": good + good + '{"question": "How many?", "answer": "plenty"}\n' });
refused("a seed that is no number", "evaluate", ["--seed", "abc"], ["--seed", '"abc"', "integer"]);
refused("a number below its least", "amplify", ["--steps", "0"], ['--steps "0" is not an integer ≥ 1.']);
refused("a number above its most", "generate", ["--top-p", "1.5"], [
  '--top-p "1.5" is not a number in (0, 1].',
]);
refused("a flag that does not exist", "generate", ["--promt", "x"], ["--promt"]);
refused("a flag without its value", "generate", ["--prompt"], ["--prompt"]);
refused("an argument that belongs nowhere", "evaluate", ["everything"], ["argument"]);
refused("shots that do not exist", "evaluate", ["--shots", "FOLDER/none.jsonl"], [
  "FOLDER/none.jsonl",
  "default",
]);
refused("a chat with a model that has no template", "amplify", ["--chat", "--out", "FOLDER/run"], [
  "gemma2-mini",
  "no chat template",
]);
refused("a prompt as it is in a chat", "generate", [...prompt, "--chat"], ["--chat", "--question"]);
refused("a prompt and a question", "generate", ["--prompt", "x", "--question", "y"], ["--question"]);
refused("an unknown control", "amplify", ["--controls", "random,dora", "--out", "FOLDER"], ["random,dora"]);
refused("an ability without a file", "amplify", ["--ability", "choice", "--out", "FOLDER"], ['"choice"']);
refused("a config file that does not exist", "generate", ["--config", "FOLDER/c.yaml"], ["FOLDER/c.yaml"]);
refused("a config file that is not YAML", "generate", ["--config", "FOLDER/c.yaml"], ["FOLDER/c.yaml"], {
  "c.yaml": "prompt: [unclosed\nseed: 1\n",
});
refused("an unknown key in the config file", "generate", ["--config", "FOLDER/c.json"], [
  "FOLDER/c.json",
  '"promt"',
], { "c.json": '{"promt": "x"}' });
refused("a wrong value in the config file", "evaluate", ["--config", "FOLDER/c.yaml"], [
  "--split",
  '"exam"',
  "FOLDER/c.yaml",
], {
  "c.yaml": "split: exam\n",
});
refused("an output folder that cannot be written", "amplify", ["--out", "FOLDER/file/run"], [
  "FOLDER/file/run",
  "not writable",
], { file: "in the way" });
refused(
  "a patch that is none",
  "generate",
  [...prompt, "--patch", join(embeddedModel, "model.safetensors")],
  [
    "model.safetensors",
    "no patch",
  ],
);
refused("a shape that is not published", "verify", ["--shapes", "gemma-2-2b,gemma-7"], [
  '--shapes "gemma-2-2b,gemma-7" is not one or more of gemma-2-2b, ',
]);
refused("more layers than the model has", "verify", ["--shapes", "llama-3.2-1b", "--layers", "17"], [
  "llama-3.2-1b has 16 layers",
  "17",
  "(--layers)",
]);
refused("layers of no shape", "verify", ["--layers", "2"], ["--layers", "--shapes"]);
refused("golden folders and shapes", "verify", ["--golden", "FOLDER", "--shapes", "qwen3-0.6b"], [
  "--golden",
]);
Deno.test("a checkpoint where there are files ends verify with exit code 2", async () => {
  await using folder = await temporaryFolder();
  const own = join(folder.path, "qwen3-0.6b");
  await Deno.mkdir(own);
  await Deno.writeTextFile(join(own, "config.json"), "{}");
  const outcome = await run("verify", ["--shapes", "gemma-2-2b,qwen3-0.6b", "--out", folder.path]);
  assertRefused(outcome, 2, own, '"config.json"', "--out");
});

Deno.test("a run folder that another process has ends amplify with exit code 2", async () => {
  await using folder = await temporaryFolder();
  using _lock = await FolderLock.take(folder.path);
  const outcome = await run("amplify", ["--out", folder.path]);
  assertRefused(outcome, 2, folder.path, `in use by process ${Deno.pid}`, "(--out)");
});

Deno.test("with --json a refusal is also the only line of stdout", async () => {
  const outcome = await run("evaluate", ["--data", "none.jsonl", "--json"]);
  assertRefused(outcome, 2, "none.jsonl");
  assertEquals(onlyLine(outcome).exit_code, 2);
  assertStringIncludes(String(onlyLine(outcome).error), "none.jsonl");
});

Deno.test("without an adapter commands end with exit code 3 and say how to get one", async () => {
  const none = {
    VK_DRIVER_FILES: "/nonexistent",
    VK_ICD_FILENAMES: "/nonexistent",
    DENO_WEBGPU_BACKEND: "vulkan",
  };
  for (const name of ["generate", "doctor"]) {
    const outcome = await run(name, name === "generate" ? prompt : [], none);
    assertRefused(outcome, 3, "No WebGPU adapter", "apt-get install -y mesa-vulkan-drivers");
  }
});

Deno.test("every command explains itself with --help", async () => {
  for (
    const name of ["amplify", "identify", "evaluate", "generate", "patch", "pretrain", "verify", "doctor"]
  ) {
    const { code, stdout, stderr } = await run(name, ["--help"], { DENO_WEBGPU_BACKEND: "none" });
    assertEquals([code, stderr], [0, ""]);
    for (const part of [`Usage: deno task ${name}`, "--config", "--json", "--quiet", "--help"]) {
      assertStringIncludes(stdout, part);
    }
  }
});

Deno.test("generate prints the completion, and with --json ids on stdout and the text on stderr", async () => {
  const [expected] = JSON.parse(await Deno.readTextFile(join(embeddedModel, "greedy_cases.json")));
  const plain = await run("generate", ["--prompt", `Q: ${expected.question}\nA:`]);
  assertEquals([plain.code, plain.stdout], [0, `${expected.text}\n`]);
  assertMatch(plain.stderr, /^\d+ tokens in \d+\.\d s, \d+(\.\d+)? tokens\/s\n$/);
  const question = ["--question", expected.question, "--max-new-tokens", "4", "--json"];
  const json = await run("generate", question);
  assertEquals(json.code, 0);
  const [completion] = onlyLine(json).completions as { text: string; ids: number[] }[];
  assertEquals(completion!.ids, expected.greedy_ids.slice(0, 4));
  assertEquals(json.stderr.split("\n")[0], completion!.text);
  assertEquals((await run("generate", [...question, "--quiet"])).stderr, "");
});

Deno.test("generate shows shots before a question and ends before a stop text", async () => {
  await using folder = await temporaryFolder();
  const [first, second] = JSON.parse(await Deno.readTextFile(join(embeddedModel, "greedy_cases.json")));
  const shots = join(folder.path, "shots.jsonl");
  const shot = { question: second.question, answer: second.text.trim() };
  await Deno.writeTextFile(shots, JSON.stringify(shot) + "\n");
  const json = async (...args: string[]) => {
    const outcome = await run("generate", ["--json", ...args]);
    assertEquals(outcome.code, 0, outcome.stderr);
    return (onlyLine(outcome).completions as { text: string; ids: number[] }[])[0]!;
  };
  const asked = await json("--question", first.question, "--shots", shots);
  const written = `Q: ${shot.question}\nA: ${shot.answer}\n\nQ: ${first.question}\nA:`;
  assertEquals(asked, await json("--prompt", written));
  const stopped = await json("--question", first.question, "--stop", " answer is");
  assertEquals(stopped.text, first.text.slice(0, first.text.indexOf(" answer is")));
  assertEquals(stopped.ids, first.greedy_ids.slice(0, stopped.ids.length));
  assert(stopped.ids.length < first.greedy_ids.length);
});

Deno.test("values of a config file are used, and flags win over them", async () => {
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 3);
  const config = join(folder.path, "settings.yaml");
  const facts = join(folder.path, "fact.jsonl");
  const data = join(folder.path, "math.jsonl");
  await Deno.writeTextFile(
    config,
    `data: ${data}\nability: [fact=${facts}]\nseed: 5\nsplit: all\nquiet: true\njson: true\n`,
  );
  const fromFile = await run("evaluate", ["--config", config]);
  assertEquals([fromFile.code, fromFile.stderr], [0, ""]);
  const { accuracy, per_template, other_abilities, ...rest } = onlyLine(fromFile);
  assertEquals([rest.data, rest.seed, rest.split], [data, 5, "all"]);
  assert(Number(accuracy) > 0.2 && Number(accuracy) < 1);
  assertEquals(Object.keys(per_template as object).length, 12);
  assertEquals(other_abilities, { fact: 1 });
  const out = join(folder.path, "evaluation");
  const flags = ["--seed", "6", "--split", "test", "--out", out];
  const overridden = onlyLine(await run("evaluate", ["--config", config, ...flags]));
  assertEquals([overridden.seed, overridden.split, overridden.data], [6, "test", data]);
  assertEquals(JSON.parse(await Deno.readTextFile(join(out, "evaluation.json"))), overridden);
});

Deno.test("verify ends on its count, and with exit code 1 when a check fails", async () => {
  await using copy = await copyOf((await golden("llama-tiny")).dir);
  const passing = await run("verify", ["--golden", copy.path]);
  assertEquals([passing.code, passing.stderr], [0, ""]);
  const lines = passing.stdout.trimEnd().split("\n");
  assertEquals(lines.at(-1), "16 passed, 0 failed");
  assertEquals(lines.filter((line) => line.startsWith("ok ")).length, 16);
  await setElement(join(copy.path, "expected.safetensors"), "dcm_train_mask", 9, 7);
  const failing = await run("verify", ["--golden", copy.path, "--quiet", "--json"]);
  assertEquals(failing.code, 1);
  assertEquals(failing.stderr, "");
  const { passed, failed, checks } = onlyLine(failing);
  assertEquals([passed, failed], [15, 1]);
  const wrong = (checks as { passed: boolean }[]).filter(({ passed }) => !passed);
  assertMatch(JSON.stringify(wrong), /^\[\{"of":"[^"]+","name":"dcm_train_mask",.*"limit":0\.002,/);
});

Deno.test("an interrupted amplify ends with exit code 130 and resumes where it was", async () => {
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 6);
  const out = join(folder.path, "run");
  const settings = { limit: 30, samples: 2, "mask-epochs": 1, steps: 1, controls: "none" };
  const config = join(folder.path, "settings.json");
  await Deno.writeTextFile(config, JSON.stringify(settings));
  const args = ["--data", join(folder.path, "math.jsonl"), "--out", out, "--config", config];

  await using child = command("amplify", args).spawn();
  const finished = Promise.all([child.status, child.stdout.text(), child.stderr.text()]);
  const localization = join(out, "localization.json");
  let ended = false;
  finished.then(() => ended = true);
  while (!ended && !await Deno.stat(localization).then(() => true, () => false)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (!ended) child.kill("SIGINT");
  const [status, stdout, stderr] = await finished;
  assertEquals([status.code, stdout], [130, ""]);
  assertStringIncludes(stderr, "Interrupted; the same command resumes.");
  const before = (await Deno.stat(localization)).mtime;
  assert(!await Deno.stat(join(out, "summary.json")).then(() => true, () => false));

  const resumed = await run("amplify", [...args, "--quiet", "--json"]);
  assertEquals(resumed.code, 0);
  assertEquals(resumed.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("note: ")), []);
  assertEquals(onlyLine(resumed), JSON.parse(await Deno.readTextFile(join(out, "summary.json"))));
  assertEquals((await Deno.stat(localization)).mtime, before);
  const events = await jsonLines<{ type: string; stage?: string }>(join(out, "events.jsonl"));
  const kinds = events.map(({ type, stage }) => stage ?? type);
  assertEquals(kinds[0], "started");
  assert(!kinds.slice(kinds.indexOf("resumed")).includes("identify"), kinds.join());
  assertEquals(kinds.at(-1), "finished");
});
