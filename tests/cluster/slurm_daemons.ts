/** A SLURM of one node on this machine: daemons of its own in a folder of its own, on loopback, ended with the test. */
import { join } from "node:path";
import { temporaryFolder } from "../model/model_fixture.ts";

const packages = "slurmctld slurmd slurm-client munge";

/** See file comment. Needs root, and Debian's packages. */
export class Slurm implements AsyncDisposable {
  private constructor(
    private readonly folder: Awaited<ReturnType<typeof temporaryFolder>>,
    private readonly workingFolder: string,
    private readonly daemons: readonly Deno.ChildProcess[],
  ) {}

  /**
   * Starts the daemons and waits until the node takes jobs; `slots` is how many it takes at once, `workingFolder` where they
   * are submitted.
   */
  static async start(slots: number, workingFolder: string): Promise<Slurm> {
    const folder = await temporaryFolder();
    const at = (name: string) => join(folder.path, name);
    const daemons: Deno.ChildProcess[] = [];
    const slurm = new Slurm(folder, workingFolder, daemons);
    const start = (command: string, ...args: string[]) => {
      try {
        const options = { args, stdin: "null", stdout: "null", stderr: "null", env: slurm.env } as const;
        daemons.push(new Deno.Command(`/usr/sbin/${command}`, options).spawn());
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        throw new Error(`There is no ${command}: apt-get install -y --no-install-recommends ${packages}`);
      }
    };
    try {
      for (const name of ["state", "spool"]) await Deno.mkdir(at(name));
      await Deno.writeFile(at("munge.key"), crypto.getRandomValues(new Uint8Array(1024)), { mode: 0o400 });
      // What stands for cards need not be any: nothing constrains who opens them.
      for (let card = 0; card < slots; card++) await Deno.writeTextFile(at(`card${card}`), "");
      await Deno.writeTextFile(at("gres.conf"), `Name=gpu File=${at(`card[0-${slots - 1}]`)}\n`);
      await Deno.writeTextFile(at("slurm.conf"), configuration(folder.path, slots));
      const munge = ["socket", "key-file", "pid-file", "log-file", "seed-file"].map((name) =>
        `--${name}=${at(`munge.${name.replace("-file", "")}`)}`
      );
      start("munged", "--foreground", "--force", ...munge);
      await until("munge answers", () => exists(at("munge.socket")));
      start("slurmctld", "-D", "-f", at("slurm.conf"));
      start("slurmd", "-D", "-f", at("slurm.conf"), "-N", "node");
      await until(
        "the node takes jobs",
        async () => /^idle\b/m.test(await slurm.run("sinfo", "-h", "-o", "%T")),
      );
      return slurm;
    } catch (error) {
      await slurm[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What jobs and clients need. */
  get env(): Record<string, string> {
    return { SLURM_CONF: join(this.folder.path, "slurm.conf") };
  }

  /** Runs a client of SLURM's, or anything that calls one; what it prints. */
  async run(command: string, ...args: string[]): Promise<string> {
    const { env, workingFolder: cwd } = this;
    const { stdout, stderr } = await new Deno.Command(command, { args, env, cwd }).output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  }

  /** Waits until no job of these states is left. */
  async untilNone(states: string): Promise<void> {
    await until(
      `no job is ${states}`,
      async () => (await this.run("squeue", "-h", "-t", states)).trim() === "",
    );
  }

  async [Symbol.asyncDispose]() {
    await this.run("scancel", "--state=RUNNING", "--signal=KILL", "--full", "--user=root").catch(() => {});
    for (const daemon of this.daemons.toReversed()) {
      try {
        daemon.kill("SIGTERM");
      } catch {
        // it has ended already
      }
      await daemon.status;
    }
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Waits for a condition, two minutes at most. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 120_000; Date.now() < end;) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Waited in vain until ${what}.`);
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function configuration(folder: string, slots: number): string {
  const host = Deno.hostname();
  return `
ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=${folder}/munge.socket
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdLogFile=${folder}/slurmd.log
SlurmctldPort=36817
SlurmdPort=36818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName=node NodeHostname=${host} NodeAddr=127.0.0.1 CPUs=${4 * slots} Gres=gpu:${slots} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`;
}
