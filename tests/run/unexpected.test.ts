/** A defect of ours in any stage: it ends the run as what it is, in one sentence, and the run goes on to the same result. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { exitCodeOf, exitCodes, messageOf } from "../../cli/exit_codes.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

gpuTest(
  "what is thrown in any stage is one sentence, and the run goes on to the same bytes",
  async ({ gpu }) => {
    await using work = await temporaryFolder();
    await writeSmallTask(work.path, 3);
    const settings = shortRun(work.path);
    const run = (name: string, progress?: (stage: string) => void) =>
      runAmplify(gpu, settings, { out: join(work.path, name), tune: false, ...(progress && { progress }) });
    const seen = new Set<string>();
    const thrower = (stage: string) => {
      if (seen.has(stage)) return;
      seen.add(stage);
      throw new TypeError(`a defect in ${stage}`);
    };
    let finished = false;
    while (!finished) {
      const before = seen.size;
      try {
        await run("disturbed", thrower);
        finished = true;
      } catch (error) {
        assert(seen.size === before + 1, String(error));
        assertEquals(exitCodeOf(error), exitCodes.failed.code);
        const message = messageOf(error, () => undefined);
        assert(
          message.startsWith(`Unexpected TypeError (a defect in ${[...seen].at(-1)}), which is`),
          message,
        );
      }
    }
    for (const stage of ["traces", "mask", "update", "evaluate base", "control"]) {
      assert([...seen].some((name) => name.includes(stage)), `${stage} is not among ${[...seen]}`);
    }
    await run("undisturbed");
    for (const name of ["traces.jsonl", "localization.json", "mask.safetensors", "evaluations.json"]) {
      const [a, b] = await Promise.all(
        ["disturbed", "undisturbed"].map((folder) => Deno.readFile(join(work.path, folder, name))),
      );
      assertEquals(a, b, name);
    }
  },
);
