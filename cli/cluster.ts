/** cluster: job files for the shards of a planned run. */
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { jobFiles, type Scheduler, schedulers } from "../engine/cluster/job_files.ts";
import { readPlan } from "../engine/cluster/run_plan.ts";
import { jobSettings, plannedRunSetting } from "../engine/cluster/settings.ts";
import { InputError } from "../engine/errors.ts";
import { requireWritable, writeAtomically } from "../engine/files.ts";
import { outSetting } from "../engine/run/settings/start.ts";
import { defineCommand, runCommand } from "./command.ts";
import { print, printJson } from "./terminal.ts";

export const cluster = defineCommand({
  name: "cluster",
  summary: "Writes job files for the shards of a planned run. Nothing is submitted.",
  arguments: schedulers.join("|"),
  settings: {
    start: { run: plannedRunSetting, out: outSetting("where the files go", "jobs in the run folder") },
    job: jobSettings,
  },
  async run({ start: { run, out }, job, json }, [scheduler, ...rest]) {
    if (!schedulers.includes(scheduler as Scheduler) || rest.length > 0) {
      throw new InputError(
        `"${[scheduler ?? "", ...rest].join(" ")}" is no scheduler; there are ${schedulers.join(" and ")}.`,
      );
    }
    if (run === undefined) throw new InputError("No planned run is named; name its folder.", "run");
    const { shards } = await readPlan(run);
    const folder = out ?? join(run, "jobs");
    const files = jobFiles(scheduler as Scheduler, {
      ...job,
      shards,
      run: scheduler === "slurm" ? resolve(run) : `${job.mount.replace(/\/$/, "")}/${basename(resolve(run))}`,
      command: launcher(),
      folder: Deno.cwd(),
      deno: Deno.version.deno,
    });
    await requireWritable(folder);
    for (const [name, text] of Object.entries(files)) await writeAtomically(join(folder, name), text);
    print(`written        ${Object.keys(files).map((name) => join(folder, name)).join(", ")}`);
    print(`to submit      bash ${join(folder, "submit.sh")}`);
    if (json) printJson({ folder, files: Object.keys(files), shards });
  },
});

/** The words that call this program from any folder. */
function launcher(): string[] {
  const main = new URL("main.ts", import.meta.url);
  if (main.protocol !== "file:") return [Deno.execPath(), "run", "--quiet", "--allow-all", main.href];
  const config = fileURLToPath(new URL("../deno.json", import.meta.url));
  return [Deno.execPath(), "run", "--quiet", "--config", config, "-P=hub", fileURLToPath(main)];
}

if (import.meta.main) await runCommand(cluster);
