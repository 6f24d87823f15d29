/** What an anchored run keeps: tokens of right greedy traces and of no others, but for the pivots. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { openRun } from "../../engine/run/amplify_run.ts";
import { anchorSequences } from "../../engine/run/anchor.ts";
import { localize } from "../../engine/run/stages.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

gpuTest("an anchor keeps the tokens of right greedy traces, but for the pivots", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const out = join(work.path, "run");
  using context = await openRun(gpu, shortRun(work.path), { out, tune: false });
  await assertRejects(() => anchorSequences(context, []), InputError, "holds no traces");
  const { examples } = await localize(context);
  const traces = await jsonLines<{ kind: string; correct: boolean; ids: number[] }>(
    join(out, "traces.jsonl"),
  );
  const right = traces.filter(({ kind, correct }) => kind === "greedy" && correct);
  const sequences = await anchorSequences(context, examples);
  assertEquals(sequences.length, right.length);
  assert(sequences.length < traces.length);

  const pivots = new Map(
    examples.filter(({ greedy_correct }) => greedy_correct).map((
      { prefix_ids },
    ) => [prefix_ids.join(), prefix_ids]),
  );
  let pivotal = 0;
  for (const { ids, positions } of sequences) {
    const trace = right.find((one) => ids.slice(-one.ids.length).join() === one.ids.join())!.ids;
    const own = Array.from({ length: trace.length }, (_, i) => ids.length - trace.length - 1 + i);
    const left = own.filter((position) => !positions.includes(position));
    assertEquals(positions.filter((position) => !own.includes(position)), []);
    // What is left out is the one position after which a right and a wrong trace part.
    for (const position of left) assert(pivots.has(ids.slice(0, position + 1).join()));
    assert(left.length <= 1);
    pivotal += left.length;
  }
  assertEquals(pivotal, pivots.size);
  assert(pivotal > 0);
});
