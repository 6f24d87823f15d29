/**
 * `deno task fuzz --count N --seed S`: N mutants of the files that people hand to each other, each from a seed of its own, S and
 * those after it, in turn of every subject. A mutant must be read as what it means or be refused in one sentence: no crash, no
 * hang, no silent difference, nothing from outside of its folder. `--subject NAME` takes one kind only. README.md says more.
 */
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Dice } from "./mutation.ts";
import { subjects } from "./subjects.ts";
import { Bench } from "./trial.ts";

/** A mutant that was not taken as it has to be. */
export interface Wrong {
  readonly seed: number;
  readonly subject: string;
  readonly what: string;
  readonly wrong: string;
}

/** Tries `count` mutants from `seed` on; `report` is told each that is wrong, `begin` the seed of each before it is tried. */
export async function fuzz(
  { count, seed, only }: {
    readonly count: number;
    readonly seed: number;
    readonly only?: string | undefined;
  },
  report: (wrong: Wrong) => void = () => {},
  begin: (seed: number) => void = () => {},
): Promise<number> {
  const root = await Deno.makeTempDir({ prefix: "circuit-amp-fuzz-" });
  let wrongs = 0;
  try {
    const benches: Bench[] = [];
    for (const subject of subjects) {
      if (only === undefined || subject.name === only) benches.push(await Bench.open(subject, root));
    }
    for (let own = seed; own < seed + count; own++) {
      begin(own);
      const bench = benches[own % benches.length]!;
      const { mutant, wrong } = await bench.try(new Dice(`fuzz/${bench.subject.name}/${own}`));
      if (wrong === undefined) continue;
      wrongs++;
      report({ seed: own, subject: bench.subject.name, what: mutant.what, wrong });
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
  return wrongs;
}

/** Ends the process when the same mutant is at work for too long: nothing in this thread could. */
function watch(seconds: number): (seed: number) => void {
  const seen = new Float64Array(new SharedArrayBuffer(8));
  const program = `const { workerData } = require("node:worker_threads");
    let last = -1;
    setInterval(() => {
      const now = workerData[0];
      if (now === last) { console.log("seed " + now + " hangs"); Deno.exit(1); }
      last = now;
    }, ${seconds * 1000});`;
  new Worker(program, { eval: true, workerData: seen }).unref();
  return (seed) => void (seen[0] = seed);
}

/** What was asked for, undefined where it cannot be read. */
function options() {
  try {
    return parseArgs({
      options: {
        count: { type: "string", default: "1000" },
        seed: { type: "string", default: "0" },
        subject: { type: "string" },
      },
    }).values;
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const values = options() ?? { count: "0", seed: "0", subject: undefined };
  const [count, seed] = [Number(values.count), Number(values.seed)];
  const isKnown = values.subject === undefined || subjects.some(({ name }) => name === values.subject);
  if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed) || seed < 0 || !isKnown) {
    const names = subjects.map(({ name }) => name).join(", ");
    console.error(`error: Give --count N, --seed S, both integers, and --subject one of ${names}.`);
    Deno.exit(2);
  }
  const wrongs = await fuzz(
    { count, seed, only: values.subject },
    ({ seed, subject, what, wrong }) => console.log(`seed ${seed}: ${subject}, ${what}: ${wrong}`),
    watch(60),
  );
  console.log(`${count} tried, ${count - wrongs} recovered or refused, ${wrongs} wrong`);
  Deno.exit(wrongs > 0 ? 1 : 0);
}
