/** Comparisons against numbers worked out by hand, and files in the fields of the harness. */
import { join } from "node:path";
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { clusterBootstrap, compareOutcomes } from "../../../engine/evaluation/compare/compare.ts";
import { type Outcomes, readOutcomes } from "../../../engine/evaluation/compare/outcomes.ts";
import { temporaryFolder } from "../../model/model_fixture.ts";

const outcomes = (tasks: Record<string, string>, cluster = (i: number) => `item ${i}`): Outcomes =>
  new Map(
    Object.entries(tasks).map(([task, bits]) => [
      task,
      [...bits].map((bit, i) => ({ id: String(i), cluster: cluster(i), correct: bit === "1" })),
    ]),
  );

Deno.test("answers won and lost, their rate and p are those counted by hand", () => {
  // Ten items: three won, one lost.
  const { tasks, pooled, unmatched } = compareOutcomes(
    outcomes({ a: "1111100000", only: "1" }),
    outcomes({ a: "0111111100" }),
  );
  assertEquals(unmatched, ["only"]);
  assertEquals(pooled, undefined);
  const one = tasks.a!;
  assertEquals([one.items, one.clusters, one.a, one.b], [10, 10, 0.5, 0.7]);
  assertEquals([one.positive_flips, one.negative_flips, one.negative_flip_rate], [3, 1, 0.1]);
  assertAlmostEquals(one.difference, 0.2, 1e-12);
  assertAlmostEquals(one.p, 0.625, 1e-12); // one of four: twice 5/16
  assert(one.ci95[0] <= 0.2 && one.ci95[1] >= 0.2 && !one.non_inferior);
});

Deno.test("tasks are pooled by item, and each stands for itself", () => {
  const { tasks, pooled } = compareOutcomes(
    outcomes({ a: "1100", b: "00" }),
    outcomes({ a: "1111", b: "11" }),
  );
  assertEquals([tasks.a!.difference, tasks.b!.difference, pooled!.difference], [0.5, 1, 4 / 6]);
  assertEquals([pooled!.items, pooled!.positive_flips, pooled!.negative_flips], [6, 4, 0]);
  assertAlmostEquals(pooled!.p, 2 / 16, 1e-12);
});

Deno.test("outcomes that go together are drawn together", () => {
  // Ten clusters of ten equal items: as wide as ten items, not as a hundred.
  const bits = Array.from({ length: 100 }, (_, i) => Number(i % 20 < 10)).join("");
  const worse = "0".repeat(100);
  const wide = compareOutcomes(outcomes({ a: bits }, (i) => `t${Math.floor(i / 10)}`), outcomes({ a: worse }))
    .tasks.a!;
  const narrow = compareOutcomes(outcomes({ a: bits }), outcomes({ a: worse })).tasks.a!;
  assertEquals([wide.clusters, narrow.clusters], [10, 100]);
  assert(wide.ci95[1] - wide.ci95[0] > 2 * (narrow.ci95[1] - narrow.ci95[0]));
  assertEquals(clusterBootstrap([{ change: 3, size: 4 }], 0), [0.75, 0.75]);
});

Deno.test("a model is not worse where the whole interval lies above the margin", () => {
  const same = compareOutcomes(outcomes({ a: "1010" }), outcomes({ a: "1010" })).tasks.a!;
  assertEquals([same.non_inferior, same.ci95, same.p], [true, [0, 0], 1]);
  const lost = compareOutcomes(outcomes({ a: "1111" }), outcomes({ a: "1110" }), { margin: 0.1 }).tasks.a!;
  assertEquals(lost.non_inferior, false);
});

Deno.test("items that cannot be paired are refused", () => {
  const refused = (a: Outcomes, b: Outcomes, says: string) =>
    assertThrows(() => compareOutcomes(a, b), InputError, says);
  refused(outcomes({ a: "1" }), outcomes({ b: "1" }), "no task in common");
  refused(outcomes({ a: "11" }), outcomes({ a: "1" }), "other items in the first (2) than in the second (1)");
  const item = { id: "0", cluster: "0", correct: true };
  refused(
    new Map([["a", [{ ...item, hash: "x" }]]]),
    new Map([["a", [{ ...item, hash: "y" }]]]),
    "not the same in both",
  );
  refused(new Map([["a", [item, item]]]), outcomes({ a: "11" }), "an item twice");
});

Deno.test("samples of the harness are read: its file names, filters and measures", async () => {
  await using folder = await temporaryFolder();
  const write = (name: string, rows: unknown[]) =>
    Deno.writeTextFile(join(folder.path, name), rows.map((row) => JSON.stringify(row)).join("\n"));
  const row = (doc_id: number, filter: string, exact_match: number) => ({
    doc_id,
    doc: { question: "?", original_id: doc_id % 2 },
    doc_hash: `h${doc_id}`,
    filter,
    metrics: ["exact_match"],
    exact_match,
  });
  await Deno.mkdir(join(folder.path, "org__model"));
  await write("org__model/samples_gsm8k_2026-01-31T12-00-00.123456.jsonl", [
    row(0, "strict-match", 1.0),
    row(0, "flexible-extract", 0.0),
    row(1, "strict-match", 0.0),
    row(1, "flexible-extract", 1.0),
  ]);
  const read = await readOutcomes(folder.path);
  assertEquals([...read], [["gsm8k", [
    { id: "0", hash: "h0", cluster: "template 0", correct: true },
    { id: "1", hash: "h1", cluster: "template 1", correct: false },
  ]]]);
  await write("arc.jsonl", [{ doc_id: 0, acc: 0, acc_norm: 1 }, { doc_id: 1, acc: 1, acc_norm: 1 }]);
  assertEquals(
    [...(await readOutcomes(join(folder.path, "arc.jsonl"))).get("arc")!].map(({ correct }) => correct),
    [false, true],
  );
  for (
    const [name, text, says] of [
      ["mc2.jsonl", '{"doc_id": 0, "mc2": 0.4}', "No measure"],
      ["broken.jsonl", '{"doc_id": 0', "Line 1 of"],
      ["other.jsonl", '{"question": "?"}', '"doc_id" is missing or wrong'],
      ["empty.jsonl", "", "holds no samples"],
    ] as const
  ) {
    await Deno.writeTextFile(join(folder.path, name), text);
    await assertRejects(() => readOutcomes(join(folder.path, name)), InputError, says);
  }
  await assertRejects(() => readOutcomes(join(folder.path, "none")), InputError, "does not exist");
});

Deno.test("a run folder's models are compared by template where its data is at hand", async () => {
  await using folder = await temporaryFolder();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(join(folder.path, name), JSON.stringify(value));
  const data = join(folder.path, "data.jsonl");
  const rows = Array.from(
    { length: 20 },
    (_, i) => JSON.stringify({ question: `${i}?`, answer: "1", original_id: i % 2, instance: i }),
  );
  await Deno.writeTextFile(data, rows.join("\n"));
  await write("config.json", { settings: { seed: 0, data: { file: data } } });
  const correct = Array<boolean>(8).fill(false);
  await write("evaluations.json", { base: { correct }, amplified: { correct: correct.with(0, true) } });
  const one = compareOutcomes(await readOutcomes(folder.path, "base"), await readOutcomes(folder.path)).tasks
    .task!;
  assertEquals([one.items, one.clusters, one.positive_flips], [8, 2, 1]);
  await Deno.remove(data);
  assertEquals((await readOutcomes(folder.path)).get("task")![3]!.cluster, "item 3");
  await assertRejects(
    () => readOutcomes(folder.path, "lora"),
    InputError,
    'no model "lora"; it has base, amplified',
  );
});
