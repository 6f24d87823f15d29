/** What each command is called like: shown by its help, and parsed by the tests. */

/** Options and words behind the command's name, and what they do. */
export interface CommandExample {
  readonly line: string;
  readonly does: string;
}

const example = (line: string, does: string): CommandExample => ({ line, does });

/** By command. */
export const commandExamples: Readonly<Record<string, readonly CommandExample[]>> = {
  amplify: [
    example("", "the whole method on the embedded model and task"),
    example("--limit 60 --rounds 2 --controls none", "the same small"),
    example("--model org/name --data problems.jsonl --out runs/mine", "your model and task"),
    example("--preset paper --seeds 0-4", "the recipe as published, five times, with means and intervals"),
  ],
  sweep: [example("--grid budget=1%p,3%p --grid rate=0.05,0.1", "four runs, side by side")],
  plan: [example("--shards 8 --out runs/big --data problems.jsonl", "a run for eight GPUs")],
  work: [example("--run runs/big --shard 0", "the first of its shards")],
  merge: [example("--run runs/big", "finishes it when all shards are done")],
  cluster: [example("slurm --run runs/big --time 1-00:00:00", "job files for a planned run")],
  identify: [
    example("--limit 60 --show 5", "pivotal tokens of sixty problems, five of them shown"),
    example("--select dcm --mask-epochs 20", "components by a learned mask"),
  ],
  evaluate: [
    example("--split all", "the embedded model on all of the embedded task"),
    example("--patch runs/mine --rounding nearest", "after a patch, as patch fuse would round it"),
    example("--tasks gsm8k --task-data rows --limit 100", "a task as lm-evaluation-harness defines it"),
  ],
  generate: [
    example('--question "Leo has 78 cards. Leo gives Bob 70. How many cards are left?"', "a greedy answer"),
    example('--prompt "Q: " --samples 3 --temperature 0.8 --seed 1', "three samples"),
    example("--prompt -", "what comes on standard input"),
    example("--model org/name --chat", "a chat, a line a turn"),
  ],
  trace: [example('--prompt "Q: Tom has 3 pens." --out trace.html', "a page with what every layer expects")],
  report: [
    example("runs/mine", "the page of a run"),
    example("runs/a runs/b --out both.html", "one page for two"),
  ],
  compare: [
    example("runs/a runs/b --max-drop 1", "which answers were won and lost; fails on a loss above a point"),
  ],
  data: [
    example("--templates templates --instances 100 --out problems.jsonl", "problems from template files"),
    example("--puzzle hanoi --sizes 1-5 --out hanoi.jsonl", "a puzzle as a task"),
  ],
  patch: [
    example("info runs/mine", "the heads and neurons that a patch changes"),
    example("fuse runs/mine --out fused", "a checkpoint with the patch in it"),
    example("export runs/mine --to peft --out adapter", "an adapter for PEFT"),
    example("merge runs/one runs/other --out both", "the sum of two patches"),
    example("scale runs/mine 0.5 --out half", "half of a patch"),
  ],
  pretrain: [example("--shape olmo2 --seed 1", "an embedded model from another seed")],
  verify: [
    example("", "this GPU against the golden values"),
    example("--shapes gemma-2-2b", "at the true widths of a published model"),
  ],
  doctor: [
    example("", "this adapter"),
    example("--model gemma-2-2b --gpu-memory 16", "whether a model fits a GPU of 16 GiB"),
    example("--run runs/mine", "whether a run folder is whole"),
  ],
  bench: [example("--filter matmul --quick", "matrix products, quickly")],
  schema: [example("evaluate", "the schema of evaluate's settings file")],
  completion: [example("bash", "to be sourced from ~/.bashrc")],
};
