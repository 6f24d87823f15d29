/** Job files: what SLURM's shell would do is done here by bash, and Kubernetes' objects are held against its schema. */
import { join } from "node:path";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Job } from "npm:kubernetes-models@5.1.0/batch/v1/Job";
import { parse } from "npm:yaml@2.9.1";
import { jobFiles, type JobOptions } from "../../engine/cluster/job_files.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const options: JobOptions = {
  shards: 7,
  run: "/runs/a run",
  time: "1-02:03:04",
  command: ["circuit-amp"],
  folder: "/tmp",
  image: "registry.example/circuit-amp:1",
  claim: "runs",
  mount: "/runs",
  deno: "2.0.0",
};

/** Writes files into a folder with commands of these texts on its PATH; runs one by bash. */
async function shell(
  folder: string,
  files: Readonly<Record<string, string>>,
  commands: Readonly<Record<string, string>>,
  name: string,
  env: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
) {
  for (const [file, text] of Object.entries(files)) await Deno.writeTextFile(join(folder, file), text);
  for (const [command, text] of Object.entries(commands)) {
    await Deno.writeTextFile(join(folder, command), `#!/bin/bash\n${text}\n`);
    await Deno.chmod(join(folder, command), 0o755);
  }
  return new Deno.Command("bash", {
    args: [join(folder, name), ...args],
    env: { PATH: `${folder}:${Deno.env.get("PATH")}`, OUT: folder, ...env },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

const array = { SLURM_ARRAY_JOB_ID: "12", SLURM_ARRAY_TASK_ID: "3", SLURM_JOB_ID: "15" };
const requeue = { scontrol: 'echo "$@" >> "$OUT/scontrol.log"' };
const requeued = (folder: string) => Deno.readTextFile(join(folder, "scontrol.log")).catch(() => "");

Deno.test("a shard's script passes the shard's exit code on, and asks for another start at 75 alone", async () => {
  for (
    const [code, restarts, expected] of [[0, "", ""], [2, "", ""], [75, "", "requeue 12_3\n"], [
      75,
      "20",
      "",
    ]] as const
  ) {
    await using folder = await temporaryFolder();
    const stub = { ...requeue, "circuit-amp": `echo "$@" > "$OUT/called"; exit ${code}` };
    const child = await shell(folder.path, jobFiles("slurm", options), stub, "work.sbatch", {
      ...array,
      ...(restarts && { SLURM_RESTART_COUNT: restarts }),
    });
    const { code: passed, stderr } = await child.output();
    assertEquals([passed, new TextDecoder().decode(stderr)], [code, ""]);
    assertEquals(await requeued(folder.path), expected);
    assertEquals(await Deno.readTextFile(join(folder.path, "called")), "work --run /runs/a run\n");
  }
});

Deno.test("SLURM's warning reaches the shard, and its answer is waited for", async () => {
  await using folder = await temporaryFolder();
  // As work does: it answers the warning by 75, though not at once.
  const stub =
    `trap 'kill $sleep; sleep 0.2; exit 75' TERM; sleep 60 & sleep=$!; touch "$OUT/ready"; wait $sleep`;
  const child = await shell(
    folder.path,
    jobFiles("slurm", options),
    { ...requeue, "circuit-amp": stub },
    "merge.sbatch",
    array,
  );
  while (!await Deno.stat(join(folder.path, "ready")).then(() => true, () => false)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  child.kill("SIGTERM");
  assertEquals((await child.output()).code, 75);
  assertEquals(await requeued(folder.path), "requeue 15\n");
});

Deno.test("the merge is submitted for after all shards, or for after those that are named", async () => {
  await using folder = await temporaryFolder();
  const sbatch = { sbatch: 'echo "${@/#$OUT\\//}" >> "$OUT/sbatch.log"; echo "12;cluster"' };
  const files = jobFiles("slurm", { ...options, parallel: 4, partition: "gpu" });
  for (const args of [[], ["--array=2,5-6"]]) {
    const child = await shell(folder.path, files, sbatch, "submit.sh", {}, args);
    assertEquals((await child.output()).code, 0);
  }
  assertEquals((await Deno.readTextFile(join(folder.path, "sbatch.log"))).trim().split("\n"), [
    "--parsable work.sbatch",
    "--dependency=afterok:12 --kill-on-invalid-dep=yes merge.sbatch",
    "--parsable --array=2,5-6 work.sbatch",
    "--dependency=afterok:12 --kill-on-invalid-dep=yes merge.sbatch",
  ]);
  for (
    const line of ["--array=0-6%4", "--partition=gpu", "--gpus-per-task=1", "--signal=B:TERM@60", "--requeue"]
  ) {
    assertStringIncludes(files["work.sbatch"]!, `\n#SBATCH ${line}\n`);
  }
  assertStringIncludes(files["work.sbatch"]!, "\n#SBATCH --time=1-02:03:04\n");
});

Deno.test("Kubernetes takes the jobs: by its schema, and by its rules on what goes together", () => {
  const files = jobFiles("kubernetes", options);
  for (const name of ["work.yaml", "merge.yaml"]) new Job(parse(files[name]!)).validate();
  const { spec } = parse(files["work.yaml"]!);
  assertEquals([spec.completionMode, spec.completions, spec.parallelism], ["Indexed", 7, 7]);
  // backoffLimitPerIndex and FailIndex are for indexed jobs, and a failure policy for pods that are never restarted in place.
  assert(spec.backoffLimitPerIndex > 0 && spec.template.spec.restartPolicy === "Never");
  const { action, onExitCodes } = spec.podFailurePolicy.rules[1];
  assertEquals([action, onExitCodes.operator, onExitCodes.values], ["FailIndex", "NotIn", [75, 137, 143]]);
  assertEquals(spec.template.spec.activeDeadlineSeconds, 93784);
  const [container] = spec.template.spec.containers;
  assertEquals(container.args, ["work", "--run", "/runs/a run"]);
  assertEquals(onExitCodes.containerName, container.name);
  const wrong = parse(files["work.yaml"]!);
  wrong.spec.podFailurePolicy.rules[1].onExitCodes.values = ["75"];
  assertThrows(() => new Job(wrong).validate(), Error, "must be integer");
});
