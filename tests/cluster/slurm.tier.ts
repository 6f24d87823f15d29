/**
 * Shards on a real SLURM: an array of seven, one of them requeued at work, one killed, one started twice, a hole at the merge. Run it
 * by `deno task test:slurm`; it takes a minute or two and needs root.
 */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertRefused, command, run } from "../cli/command_line.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { assertSameRun, writeSmallTask } from "../run/run_fixture.ts";
import { exists, Slurm, until } from "./slurm_daemons.ts";

const shards = 7;

Deno.test("a run on SLURM whose jobs are requeued, killed and doubled is what amplify leaves", async () => {
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 6);
  const out = join(folder.path, "run");
  const flags = [
    ...["--data", join(folder.path, "math.jsonl"), "--samples", "4", "--pivot", "branching"],
    ...["--mask-epochs", "1", "--steps", "1", "--controls", "none", "--quiet"],
  ];
  assertEquals((await run("plan", [...flags, "--shards", `${shards}`, "--out", out])).code, 0);
  const jobs = join(folder.path, "jobs");
  assertEquals((await run("cluster", ["slurm", "--run", out, "--out", jobs, "--time", "00:10:00"])).code, 0);
  const part = (shard: number) => join(out, "shards", `part-0000${shard}.jsonl`);
  /** Whether a shard has generated something and is still at it. */
  const isAtWork = async (shard: number) => {
    const names = await Array.fromAsync(Deno.readDir(join(out, "shards"))).catch(() => []);
    const own = names.find(({ name }) =>
      name.startsWith(`shard-0000${shard}.`) && name.endsWith(".journal.jsonl")
    );
    return own !== undefined &&
      (await Deno.stat(join(out, "shards", own.name)).catch(() => undefined))?.size! > 0;
  };

  await using slurm = await Slurm.start(2, folder.path);
  const submitted = await slurm.run("bash", join(jobs, "submit.sh"));
  const [, array] = submitted.match(/Submitted batch job (\d+)/) ?? [];
  assert(array !== undefined, submitted);
  const first = Number(array) - 1; // the merge is the job after the array

  await until("shard 0 is at work", () => isAtWork(0));
  assertEquals(await slurm.run("scontrol", "requeue", `${first}_0`), "");
  await until("shard 1 is at work", async () => await isAtWork(1) || await exists(part(1)));
  assert(!await exists(part(1)), "Shard 1 was done before it could be killed.");
  // By its environment, which ps shows behind the words.
  const worker = (await slurm.run("ps", "axeww", "-o", "pid=,args=")).split("\n").find((line) =>
    line.includes("main.ts work") && line.includes(out) && / SLURM_ARRAY_TASK_ID=1( |$)/.test(line)
  );
  assert(worker !== undefined, "Shard 1 has no process.");
  Deno.kill(Number(worker.trim().split(" ")[0]), "SIGKILL");
  // The same shard once more beside the queue.
  await using double = command("work", ["--run", out, "--shard", "2", "--quiet"]).spawn();
  const doubled = double.output();
  await slurm.untilNone("RUNNING,COMPLETING,CONFIGURING");
  await until("all but shard 1 are done", async () => {
    const there = await Promise.all(Array.from({ length: shards }, (_, s) => exists(part(s))));
    return there.every((isThere, s) => isThere || s === 1);
  });
  assertEquals((await doubled).code, 0);
  assert(!await exists(part(1)) && !await exists(join(out, "summary.json")));

  // The merge that waited for all is gone, and another by hand says what to submit again.
  const refused = await run("merge", ["--run", out]);
  assertRefused(refused, 2, "Shard 1 of 0-6", "--array=1");
  const [again] = refused.stderr.match(/--array=[\d,-]+/)!;
  assertMatch(await slurm.run("bash", join(jobs, "submit.sh"), again), /Submitted/);
  await until("the run is merged", () => exists(join(out, "summary.json")));
  await slurm.untilNone("PENDING,RUNNING,COMPLETING");

  const logs = (await Array.fromAsync(Deno.readDir(folder.path))).filter(({ name }) => name.endsWith(".log"));
  const said = (await Promise.all(logs.map(({ name }) => Deno.readTextFile(join(folder.path, name))))).join(
    "",
  );
  assertStringIncludes(said, "Killed");
  const whole = join(folder.path, "whole");
  assertEquals((await run("amplify", [...flags, "--out", whole])).code, 0);
  for (const name of ["run.json", "shards"]) await Deno.remove(join(out, name), { recursive: true });
  await assertSameRun(out, whole);
});
