/** A run that is ended again and again, at any place of any stage, comes to the same bytes as one that nobody disturbed. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { seededRandom } from "../../engine/random.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { assertSameRun, shortRun, writeSmallTask } from "./run_fixture.ts";

class Killed extends Error {}

gpuTest(
  "a run killed at 40 random places, its last line often torn, leaves the bytes of a whole one",
  async ({ gpu }) => {
    await using work = await temporaryFolder();
    await writeSmallTask(work.path, 3);
    const settings = shortRun(work.path, {
      traces: { limit: 60, samples: 4, temperatureRight: 1.2, temperatureWrong: 0.8, pivot: "branching" },
      update: { steps: 1 },
      mask: { rate: 0.1, strength: 0.03, epochs: 3, batch: 8, patience: 0, initial: 1 },
    });
    const whole = join(work.path, "whole");
    await runAmplify(gpu, settings, { out: whole, tune: false });

    const random = seededRandom("interruption");
    const stages = new Set<string>();
    let kills = 0;
    for (let run = 0; kills < 40; run++) {
      const out = join(work.path, `killed ${run}`);
      for (let finished = false; !finished;) {
        let left = Math.ceil(16 * random() ** 2); // the first stage is short
        const progress = (stage: string) => {
          if (--left > 0) return;
          stages.add(stage.replace(/[ :].*/, ""));
          throw new Killed();
        };
        try {
          await runAmplify(gpu, settings, { out, tune: false, progress });
          finished = true;
        } catch (error) {
          if (!(error instanceof Killed)) throw error;
          kills++;
        }
        if (random() < 0.3) await tearJournals(out, Math.floor(random() * 60));
      }
      await assertSameRun(out, whole);
    }
    assertEquals([...stages].sort(), [
      "branches",
      "component",
      "control",
      "evaluate",
      "greedy",
      "samples",
      "update",
    ]);
  },
);

/** Cuts the last bytes off each journal, as a machine that goes down may. */
async function tearJournals(folder: string, bytes: number) {
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".journal.jsonl")) continue;
    const { size } = await Deno.stat(join(folder, name));
    await Deno.truncate(join(folder, name), Math.max(0, size - bytes));
  }
}
