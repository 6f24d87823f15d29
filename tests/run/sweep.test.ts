/** Sweeps: every combination once, what points have in common computed once, and a table that says which matter. */
import { join } from "node:path";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import type { Summary } from "../../engine/run/records.ts";
import { describeSweep } from "../../engine/run/summary_text.ts";
import { sweepPlot } from "../../engine/run/sweep_plot.ts";
import { pointName, pointSettings, pointsOf, runSweep, sweepRows } from "../../engine/run/sweep.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

Deno.test("a grid is all combinations, the first setting changing slowest", () => {
  assertEquals(pointsOf({ budget: ["1%p", "3%p"], seed: [0, 1] }), [
    { budget: "1%p", seed: 0 },
    { budget: "1%p", seed: 1 },
    { budget: "3%p", seed: 0 },
    { budget: "3%p", seed: 1 },
  ]);
  assertThrows(() => pointsOf({ budgets: [1] }), InputError, `"budgets", which is no setting of amplify`);
  assertThrows(() => pointsOf({ rate: [] }), InputError, `no value for "rate"`);
  assertThrows(
    () => pointsOf({ seed: Array.from({ length: 40 }, (_, i) => i), steps: Array(40).fill(1) }),
    InputError,
    "more than 1000",
  );
});

Deno.test("a point's values take the places of those given, and are checked like them", async () => {
  const settings = await pointSettings(
    { update: { rate: 0.5, steps: 3 }, seed: 4 },
    { rate: 0.1, select: "gradient", controls: "none" },
  );
  assertEquals([settings.update.rate, settings.update.steps, settings.seed], [0.1, 3, 4]);
  assertEquals([settings.selection.method, settings.evaluation.controls], ["gradient", []]);
  await assertRejects(
    () => pointSettings({}, { rate: -1 }),
    InputError,
    `value -1 for "rate" is not a number > 0`,
  );
});

Deno.test("a point's folder is named for its values", () => {
  assertEquals(pointName({ select: "gradient", budget: "3%p" }), "select=gradient,budget=3%p");
  assertEquals(pointName({ controls: ["random"], rate: 0.1 }), "controls=__random__,rate=0.1");
  assertEquals(pointName({ data: "../a/b.jsonl" }), "data=.._a_b.jsonl");
});

/** What a run found, as far as a sweep's table needs it. */
const summary = (gain: number, parameters: number, ability: number) => ({
  circuit: {
    gain,
    ci95: [gain - 0.01, gain + 0.01],
    p: 0.04,
    components: 3,
    parameters,
    parameter_share: parameters / 1000,
    update_norm: 1,
    negative_flips: 2,
  },
  other_abilities: { fact: { base: 0.5, amplified: 0.5 + ability }, choice: { base: 1, amplified: 1 } },
  controls: { random: { gain: 0.01 } },
  seconds: { total: 3 },
} as unknown as Summary);

Deno.test("points that another dominates are told apart", () => {
  const rows = sweepRows([
    { folder: "a", summary: summary(0.05, 10, 0), point: {} },
    { folder: "b", summary: summary(0.04, 20, 0), point: {} }, // gains less with more
    { folder: "c", summary: summary(0.06, 30, -0.02), point: {} },
    { folder: "d", summary: summary(0.05, 10, 0), point: {} }, // as good as a, neither dominates the other
  ]);
  assertEquals(rows.map(({ pareto }) => pareto), [true, false, true, true]);
  assertAlmostEquals(rows[2]!.abilities, -0.01, 1e-12);
  const text = describeSweep(rows);
  assertMatch(text, /^a .* 5\.0 .* 1\.00 % .*\*$/m);
  assertMatch(text, /^b .* 2\.00 % .* 3$/m);
});

gpuTest("points share traces, selection and the unchanged model's evaluation", async ({ gpu }) => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 6);
  const given = shortRun(work.path, { evaluation: { controls: [] } });
  const grid = { select: ["gradient", "random"], rate: [0.1, 0.3] };
  const out = join(work.path, "sweep");
  const rows = await runSweep(gpu, given, grid, { out });
  assertEquals(rows.map(({ folder }) => folder), [
    "select=gradient,rate=0.1",
    "select=gradient,rate=0.3",
    "select=random,rate=0.1",
    "select=random,rate=0.3",
  ]);
  const events = await Promise.all(
    rows.map(({ folder }) => jsonLines<Record<string, unknown>>(join(out, folder, "events.jsonl"))),
  );
  const base = "evaluation of the unchanged model";
  assertEquals(events.map((own) => own.find(({ type }) => type === "reused")?.stages), [
    undefined,
    ["traces and pivotal tokens", "gradient", "selection", base],
    ["traces and pivotal tokens", "gradient", base],
    ["traces and pivotal tokens", "gradient", "selection", base],
  ]);
  for (const [i, { folder }] of rows.entries()) {
    const stages = events[i]!.filter(({ type }) => type === "stage").map(({ stage }) => stage);
    assertEquals(stages.includes("identify"), i === 0, folder);
  }
  const stored = JSON.parse(await Deno.readTextFile(join(out, "sweep.json")));
  assertEquals(stored.rows, rows);
  assertMatch(await sweepPlot(rows), /^<svg [^]*gain on the task/);
  const again = await runSweep(gpu, given, grid, { out }); // finished points are not run again
  assertEquals(again, rows);
  assert(rows.every(({ seconds }) => seconds > 0));
});
