/**
 * deno task chaos --faults N --seed S: N faults in a small amplify, the i-th of which is that of seed S + i alone. Ends with
 * "N tried, N recovered or refused, 0 wrong" and exit code 0, or 1 after the seed of each wrong one.
 */
import "../../cli/quiet_vulkan.ts";
import { parseArgs } from "node:util";
import { Chaos, type Ending, type Kind, kinds } from "./trials.ts";

/** More than any trial takes on a busy machine. */
const mostMs = 300_000;

/** What came of one fault. */
export interface Result {
  readonly seed: number;
  readonly kind: Kind;
  /** Undefined where it was wrong. */
  readonly ending: Ending | undefined;
  /** What was wrong. */
  readonly wrong?: string;
}

/** The kind of a seed's fault: each of them among as many seeds in a row. */
export function kindOf(seed: number): Kind {
  return kinds[seed % kinds.length]!;
}

/** Tries the faults of these seeds; `tell` is told of each as it ends. */
export async function tryFaults(
  chaos: Chaos,
  seeds: readonly number[],
  tell: (result: Result) => void = () => {},
): Promise<Result[]> {
  const results: Result[] = [];
  for (const seed of seeds) {
    const kind = kindOf(seed);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`did not end in ${mostMs / 1000} s`)), mostMs);
    });
    const result = await Promise.race([chaos.try(kind, seed), tooLong]).then(
      (ending): Result => ({ seed, kind, ending }),
      (error): Result => ({ seed, kind, ending: undefined, wrong: (error as Error).stack ?? String(error) }),
    );
    clearTimeout(timer);
    results.push(result);
    tell(result);
  }
  return results;
}

/** The contract's last line. */
export function tally(results: readonly Result[]): string {
  const wrong = results.filter(({ ending }) => ending === undefined).length;
  return `${results.length} tried, ${results.length - wrong} recovered or refused, ${wrong} wrong`;
}

function readNumbers(): { faults: number; seed: number } | undefined {
  try {
    const { values } = parseArgs({
      options: { faults: { type: "string", default: "20" }, seed: { type: "string", default: "0" } },
    });
    const [faults, seed] = [Number(values.faults), Number(values.seed)];
    return Number.isSafeInteger(faults) && faults >= 1 && Number.isSafeInteger(seed) && seed >= 0
      ? { faults, seed }
      : undefined;
  } catch {
    return undefined; // an option that there is not
  }
}

async function main(): Promise<number> {
  const given = readNumbers();
  if (!given) {
    console.error("error: Give --faults N, from 1 on, and --seed S, from 0 on.");
    return 2;
  }
  const { faults, seed } = given;
  const seeds = Array.from({ length: faults }, (_, i) => seed + i);
  await using chaos = await Chaos.open();
  const results = await tryFaults(chaos, seeds, ({ seed, kind, ending, wrong }) => {
    console.log(`${seed} ${kind}: ${ending ?? `WRONG ${wrong}`}`);
  });
  const wrong = results.filter(({ ending }) => ending === undefined);
  for (const { seed, kind } of wrong) console.log(`wrong: --faults 1 --seed ${seed} (${kind})`);
  console.log(tally(results));
  return wrong.length > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
