/** Compares what two default runs found: the same circuit, accuracies, flips and p, or a sentence for each difference. */
import { readTensors } from "../engine/checkpoint/checkpoint.ts";
import { selectComponents } from "../engine/circuit/components.ts";

const [one, other] = Deno.args;
if (!one || !other) throw new Error("Usage: compare_runs.ts RUN RUN");

/** What is found of a run: its summary without times and adapter, and the numbers of the selected components. */
async function findings(run: string) {
  const { seconds: _, adapter, ...summary } = JSON.parse(await Deno.readTextFile(`${run}/summary.json`));
  const mask = await readTensors(`${run}/mask.safetensors`);
  const circuit = Object.fromEntries(
    [...mask].map(([layer, { data }]) => [
      layer,
      [...selectComponents(data as Float32Array).entries()].filter(([, selected]) => selected).map(([i]) =>
        i
      ),
    ]),
  );
  return { adapter, found: { ...summary, circuit } as Record<string, unknown> };
}

const [a, b] = [await findings(one), await findings(other)];
let differences = 0;
for (const key of new Set([...Object.keys(a.found), ...Object.keys(b.found)])) {
  const [first, second] = [a, b].map(({ found }) => JSON.stringify(found[key]));
  if (first === second) continue;
  differences++;
  console.error(`${key} is ${first} on ${a.adapter} and ${second} on ${b.adapter}.`);
}
const agreed = differences === 0 ? "the same" : "not the same";
console.log(`${a.adapter} and ${b.adapter}: ${agreed} circuit, accuracies, flips and p`);
Deno.exit(differences === 0 ? 0 : 1);
