/** deno task pretrain as a user runs it: data sets, refusals, and a training that is interrupted and resumed. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { plainTemplate } from "../../engine/evaluation/prompt.ts";
import { promptSettings } from "../../engine/run/prompt_settings.ts";
import { kinds } from "../../engine/pretrain/exercises.ts";
import { copyOf, golden, jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { assertRefused, command, onlyLine, run } from "./command_line.ts";

const fixtures = fileURLToPath(new URL("../../fixtures/tasks", import.meta.url));

Deno.test("--data-only writes the task fixtures again, and other ones for another seed", async () => {
  await using folder = await temporaryFolder();
  const out = join(folder.path, "tasks");
  const { code, stderr } = await run("pretrain", ["--data-only", "--out", out]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(
    [...Deno.readDirSync(out)].map(({ name }) => name).sort(),
    kinds.map((k) => `${k}.jsonl`).sort(),
  );
  for (const kind of kinds) {
    const name = `${kind}.jsonl`;
    assertEquals(await Deno.readTextFile(join(out, name)), await Deno.readTextFile(join(fixtures, name)));
  }
  assertEquals((await run("pretrain", ["--data-only", "--out", out, "--data-seed", "7"])).code, 0);
  assert(
    await Deno.readTextFile(join(out, "fact.jsonl")) !==
      await Deno.readTextFile(join(fixtures, "fact.jsonl")),
  );
});

Deno.test("what pretrain cannot do ends with exit code 2 and one sentence", async () => {
  await using foreign = await copyOf((await golden("llama-tiny")).dir);
  await Deno.writeTextFile(join(foreign.path, "file"), "in the way");
  assertRefused(await run("pretrain", ["--data-only"]), 2, "need a folder", "--out");
  assertRefused(await run("pretrain", ["--shape", "mamba"]), 2, '--shape "mamba"', "gemma2, olmo2");
  assertRefused(
    await run("pretrain", ["--steps", "0"]),
    2,
    '--steps "0" is not an integer from 1 to 1000000.',
  );
  const trained = ["--out", foreign.path, "--fresh"];
  assertRefused(await run("pretrain", trained), 2, foreign.path, "was not trained here");
  const blocked = ["--out", join(foreign.path, "file", "model")];
  assertRefused(await run("pretrain", blocked), 2, "not writable");
});

Deno.test("an interrupted training ends with exit code 130; the same command finishes it and then has nothing to do", async () => {
  await using folder = await temporaryFolder();
  const out = join(folder.path, "model");
  const args = ["--shape", "olmo2", "--steps", "60", "--batch", "1", "--out", out];
  await using child = command("pretrain", args).spawn();
  const finished = Promise.all([child.status, child.stdout.text(), child.stderr.text()]);
  let ended = false;
  finished.then(() => ended = true);
  // The first checkpoint is the initial weights; losses are there with the second, after 50 steps.
  const losses = async () => (await jsonLines(join(out, "loss.jsonl")).catch(() => [])).length;
  while (!ended && await losses() < 50) await new Promise((resolve) => setTimeout(resolve, 20));
  if (!ended) child.kill("SIGINT");
  const [status, stdout, stderr] = await finished;
  assertEquals([status.code, stdout], [130, ""]);
  assertStringIncludes(stderr, "Interrupted; the same command resumes.");
  assertEquals(await Deno.stat(join(out, "model.safetensors")).catch(() => "none"), "none");

  const resumed = await run("pretrain", [...args, "--quiet", "--json"]);
  assertEquals([resumed.code, resumed.stderr], [0, ""]);
  const { accuracy, per_template } = onlyLine(resumed) as Record<string, Record<string, number>>;
  assertEquals(Object.keys(accuracy!), [...kinds]);
  assertEquals(Object.keys(per_template!).length, 12);
  assertEquals(
    [...Deno.readDirSync(out)].map(({ name }) => name).sort(),
    [
      "README.md",
      "config.json",
      "generation_config.json",
      "loss.jsonl",
      "loss.svg",
      "model.safetensors",
      "pretrain.json",
      "prompt.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ],
  );
  const rows = await jsonLines<{ step: number; loss: number }>(join(out, "loss.jsonl"));
  assertEquals(rows.map(({ step }) => step), Array.from({ length: 60 }, (_, i) => i + 1));
  const readme = await Deno.readTextFile(join(out, "README.md"));
  for (const part of ["OLMo-2", "--steps 60 --batch 1 --seed 0", rows.at(-1)!.loss.toFixed(3)]) {
    assertStringIncludes(readme, part);
  }
  assertStringIncludes(await Deno.readTextFile(join(out, "loss.svg")), "optimizer step");
  const asked = await promptSettings(out);
  assertEquals([asked.template, asked.shots, asked.maxNewTokens], [plainTemplate, [], 48]);

  const written = (await Deno.stat(join(out, "model.safetensors"))).mtime;
  const again = await run("pretrain", [...args, "--quiet", "--json"]);
  assertEquals(onlyLine(again), onlyLine(resumed));
  assertEquals((await Deno.stat(join(out, "model.safetensors"))).mtime, written);
  assertRefused(await run("pretrain", [...args, "--seed", "1"]), 2, "seed 0 instead of 1", "--fresh");
});
