/** plan, work and merge as a scheduler calls them: indices from its variables, its warning signal, exit codes. */
import { join } from "node:path";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { temporaryFolder } from "../model/model_fixture.ts";
import { assertSameRun, writeSmallTask } from "../run/run_fixture.ts";
import { assertRefused, command, onlyLine, run } from "./command_line.ts";

Deno.test("a run planned in three shards, one of them warned and started again, is what amplify leaves", async () => {
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 3);
  const out = join(folder.path, "run");
  const flags = ["--data", join(folder.path, "math.jsonl"), "--limit", "12", "--samples", "2"];
  const few = ["--mask-epochs", "1", "--steps", "1", "--controls", "none", "--no-tune", "--quiet"];
  const planned = await run("plan", [...flags, ...few, "--shards", "3", "--out", out, "--json"]);
  assertEquals([planned.code, planned.stderr], [0, ""]);
  const { items, shards } = onlyLine(planned);
  assertEquals([shards, Number(items) > 30], [3, true]);

  const work = (env: Record<string, string>, ...args: string[]) => run("work", ["--run", out, ...args], env);
  assertRefused(await work({}), 2, "SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX", "(--shard)");
  assertRefused(await work({ JOB_COMPLETION_INDEX: "3" }), 2, "no shard 3");
  assertRefused(await work({ SLURM_ARRAY_TASK_ID: "1" }, "--shard", "2/4"), 2, "no shard 2/4");
  assertRefused(await run("merge", ["--run", out]), 2, "--array=0-2.");

  // Warned once it has generated something.
  await using child = command("work", ["--run", out], { SLURM_ARRAY_TASK_ID: "1" }).spawn();
  const ended = Promise.all([child.status, child.stdout.text(), child.stderr.text()]);
  const journals = async () => {
    const there = await Array.fromAsync(Deno.readDir(join(out, "shards"))).catch(() => []);
    const sizes = there.filter(({ name }) => name.endsWith(".journal.jsonl")).map(({ name }) =>
      Deno.stat(join(out, "shards", name)).then(({ size }) => size)
    );
    return (await Promise.all(sizes)).some((size) => size > 0);
  };
  let over = false;
  ended.then(() => over = true);
  while (!over && !await journals()) await new Promise((resolve) => setTimeout(resolve, 10));
  assert(!over, "The shard was done before it could be warned.");
  child.kill("SIGTERM");
  const [status, , stderr] = await ended;
  assertEquals(status.code, 75);
  assertStringIncludes(stderr, "Stopped; the same command goes on.");

  const outcomes = await Promise.all([
    work({ JOB_COMPLETION_INDEX: "0" }, "--json", "--quiet"),
    work({ SLURM_ARRAY_TASK_ID: "1", JOB_COMPLETION_INDEX: "" }, "--json", "--quiet"),
    work({}, "--shard", "2/3", "--json", "--quiet"),
  ]);
  for (const [shard, outcome] of outcomes.entries()) {
    assertEquals([outcome.code, outcome.stderr], [0, ""]);
    assertEquals([onlyLine(outcome).shard, onlyLine(outcome).already], [shard, false]);
  }
  const again = await work({}, "--shard", "2", "--quiet");
  assertStringIncludes(again.stdout, "published before");
  const merged = await run("merge", ["--run", out, "--quiet", "--json"]);
  assertEquals(merged.code, 0, merged.stderr);
  assertEquals(onlyLine(merged), JSON.parse(await Deno.readTextFile(join(out, "summary.json"))));

  const whole = join(folder.path, "whole");
  assertEquals((await run("amplify", [...flags, ...few, "--out", whole])).code, 0);
  await Deno.remove(join(out, "run.json"));
  await Deno.remove(join(out, "shards"), { recursive: true });
  await assertSameRun(out, whole);
});
