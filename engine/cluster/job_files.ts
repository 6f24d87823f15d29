/** Job files for schedulers: the shards of a planned run as an array of jobs, and its merge after them. Nothing is submitted. */
import { stringify } from "npm:yaml@2.9.1";

/** Schedulers that job files can be written for. */
export const schedulers = ["slurm", "kubernetes"] as const;
export type Scheduler = (typeof schedulers)[number];

/** The exit code by which work and merge ask to be started again. */
const retryCode = 75;
/** Seconds between the warning and the end, by which everything must be written; a completion is at once. */
const warningSeconds = 60;
/** How often a shard is started again before it counts as failed. */
const mostRetries = 20;

/** What job files are made from. */
export interface JobOptions {
  /** How many shards were planned. */
  readonly shards: number;
  /** Most shards at once; all unless told otherwise. */
  readonly parallel?: number | undefined;
  /** Run folder, as the jobs see it. */
  readonly run: string;
  /** Longest time of a job; see timeForm. */
  readonly time: string;
  /** SLURM: the words that call `circuit-amp` on a node. */
  readonly command: readonly string[];
  /** SLURM: the folder that relative paths of the plan begin in. */
  readonly folder: string;
  /** SLURM: partition; the cluster's own unless told otherwise. */
  readonly partition?: string | undefined;
  /** Kubernetes: image made from the Containerfile. */
  readonly image: string;
  /** Kubernetes: claim of the volume that holds the run folder, and where it is mounted. */
  readonly claim: string;
  readonly mount: string;
  /** Of Deno, for the image. */
  readonly deno: string;
}

/** Texts by file name. */
export function jobFiles(scheduler: Scheduler, options: JobOptions): Record<string, string> {
  return scheduler === "slurm" ? slurmFiles(options) : kubernetesFiles(options);
}

function slurmFiles(options: JobOptions): Record<string, string> {
  const { shards, parallel, run, time, partition, folder, command } = options;
  const script = (
    name: string,
    log: string,
    directives: readonly string[],
    args: readonly string[],
    id: string,
  ) =>
    [
      "#!/bin/bash",
      `#SBATCH --job-name=circuit-amp-${name}`,
      ...directives.map((directive) => `#SBATCH ${directive}`),
      "#SBATCH --ntasks=1",
      "#SBATCH --gpus-per-task=1",
      "#SBATCH --cpus-per-task=4",
      `#SBATCH --time=${time}`,
      ...(partition === undefined ? [] : [`#SBATCH --partition=${partition}`]),
      "#SBATCH --requeue",
      "#SBATCH --open-mode=append",
      `#SBATCH --signal=B:TERM@${warningSeconds}`,
      `#SBATCH --output=${log}`,
      "",
      `cd ${quoted(folder)} || exit 2`,
      `${[...command, ...args].map(quoted).join(" ")} &`,
      "child=$!",
      "# The warning goes to this shell alone, and ends its waiting.",
      `trap 'kill -TERM "$child"' TERM`,
      'wait "$child"; code=$?',
      'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done',
      `if [ "$code" -eq ${retryCode} ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt ${mostRetries} ]; then`,
      `  scontrol requeue ${id}`,
      "fi",
      'exit "$code"',
      "",
    ].join("\n");
  const array = `${shards === 1 ? "0" : `0-${shards - 1}`}${parallel === undefined ? "" : `%${parallel}`}`;
  return {
    "work.sbatch": script(
      "work",
      "circuit-amp-work-%A_%a.log",
      [`--array=${array}`],
      ["work", "--run", run],
      '"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
    ),
    "merge.sbatch": script(
      "merge",
      "circuit-amp-merge-%j.log",
      [],
      ["merge", "--run", run],
      '"$SLURM_JOB_ID"',
    ),
    "submit.sh": [
      "#!/bin/bash",
      "# Submits the shards, and the merge for when all of them are done. An argument such as --array=2,5-7 replaces the array.",
      "set -euo pipefail",
      'here=$(cd "$(dirname "$0")" && pwd)',
      'array=$(sbatch --parsable "$@" "$here/work.sbatch")',
      'sbatch --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes "$here/merge.sbatch"',
      "",
    ].join("\n"),
  };
}

function kubernetesFiles(options: JobOptions): Record<string, string> {
  const { shards, parallel, deno } = options;
  const work = job(options, "circuit-amp-work", "work", {
    completionMode: "Indexed",
    completions: shards,
    parallelism: Math.min(shards, parallel ?? shards),
    backoffLimitPerIndex: mostRetries,
    maxFailedIndexes: 0,
  });
  const merge = job(options, "circuit-amp-merge", "merge", {
    backoffLimit: mostRetries,
  });
  return {
    "work.yaml": stringify(work),
    "merge.yaml": stringify(merge),
    "submit.sh": [
      "#!/bin/bash",
      "# Submits the shards, waits for all of them, and submits the merge.",
      "set -euo pipefail",
      'here=$(cd "$(dirname "$0")" && pwd)',
      'kubectl apply -f "$here/work.yaml"',
      "kubectl wait --for=condition=complete --timeout=-1s job/circuit-amp-work",
      'kubectl apply -f "$here/merge.yaml"',
      "",
    ].join("\n"),
    "Containerfile": [
      "# Built in the folder of circuit-amp: docker build -f Containerfile -t IMAGE .",
      `FROM denoland/deno:debian-${deno}`,
      "# The Vulkan loader, and what NVIDIA's driver needs beside it; the driver itself comes from the node.",
      "RUN apt-get update && apt-get install -y --no-install-recommends libvulkan1 libxext6 libegl1 \\",
      "  && rm -rf /var/lib/apt/lists/*",
      "# Vulkan is part of the driver's graphics, which is not mounted unless it is asked for.",
      "ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility",
      "WORKDIR /circuit-amp",
      "COPY . .",
      "RUN deno install --frozen --entrypoint cli/*.ts",
      'ENTRYPOINT ["deno", "run", "--quiet", "-P=hub", "cli/main.ts"]',
      "",
    ].join("\n"),
  };
}

/** A Job that runs one command of this program in a pod with one GPU. */
function job(
  { run, image, claim, mount, time }: JobOptions,
  name: string,
  command: "work" | "merge",
  counts: Readonly<Record<string, string | number>>,
) {
  const indexed = "completions" in counts;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: {
      ...counts,
      podFailurePolicy: {
        rules: [
          // A node that is drained or lost is no failure of the shard.
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
          // 137 and 143: killed before it could say so.
          {
            action: indexed ? "FailIndex" : "FailJob",
            onExitCodes: { containerName: "circuit-amp", operator: "NotIn", values: [retryCode, 137, 143] },
          },
        ],
      },
      template: {
        spec: {
          restartPolicy: "Never",
          activeDeadlineSeconds: secondsOf(time),
          terminationGracePeriodSeconds: warningSeconds,
          containers: [{
            name: "circuit-amp",
            image,
            args: [command, "--run", run],
            resources: { limits: { "nvidia.com/gpu": 1 } },
            volumeMounts: [{ name: "runs", mountPath: mount }],
          }],
          volumes: [{ name: "runs", persistentVolumeClaim: { claimName: claim } }],
        },
      },
    },
  };
}

/** A time as HH:MM:SS or D-HH:MM:SS. */
export const timeForm = /^(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)$/;

/** Seconds of a time. */
function secondsOf(time: string): number {
  const [, days, ...rest] = timeForm.exec(time)!;
  const [hours, minutes, seconds] = rest.map(Number) as [number, number, number];
  return ((Number(days ?? 0) * 24 + hours) * 60 + minutes) * 60 + seconds;
}

/** A word for a shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
