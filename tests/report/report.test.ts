/** Reports of a run folder made by hand: whole, well-formed, and safe whatever a completion says. */
import { join } from "node:path";
import { parse } from "npm:parse5@8.1.1";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { componentsPerLayer, firstOf } from "../../engine/report/component_values.ts";
import { browserRoom, dataBlock, rowsWithin, shownAnswers } from "../../engine/report/data_block.ts";
import { cellValues, listedComponents, mapGeometry } from "../../engine/report/heat_map.ts";
import { pivotLines, spreadOver } from "../../engine/report/pivot_lines.ts";
import { readRun, type RunData } from "../../engine/report/run_data.ts";
import { runPage } from "../../engine/report/run_page.ts";
import { runFoldersAt, writeComparison, writeReport } from "../../engine/report/write_report.ts";
import { type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { hostile, outcomes, perLayer, summary, traceBefore, writeRunFolder } from "./run_folder_fixture.ts";

let work: TemporaryFolder;
let run: RunData;
let page: string;
const at = (...names: string[]) => join(work.path, ...names);

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeRunFolder(at("whole"));
  await writeRunFolder(at("summary"), { onlySummary: true });
  run = await readRun(at("whole"));
  page = runPage(run);
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

/** Mistakes that a strict parser finds in a page. */
function mistakes(text: string): string[] {
  const found: string[] = [];
  parse(text, { onParseError: ({ code, startLine }) => found.push(`${code} in line ${startLine}`) });
  return found;
}

/** The data block of a page. */
function dataOf(text: string) {
  return JSON.parse(text.match(/<script type="application\/json" id="data">([^]*?)<\/script>/)![1]!);
}

const sections = (text: string) => [...text.matchAll(/<section id="([^"]+)"/g)].map(([, id]) => id);

Deno.test("a report is well-formed HTML with every part, and each part has contents", () => {
  assertEquals(mistakes(page), []);
  assertEquals(sections(page), [
    "verdict",
    "table",
    "draws",
    "circuit",
    "pivots",
    "answers",
    "curves",
    "by-template",
    "by-stage",
    "again",
  ]);
  assert(!page.includes('class="missing"'));
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assertEquals(ids.filter((id, i) => ids.indexOf(id) !== i), []);
});

Deno.test("verdict, arms and draws can be read without a script", () => {
  const [verdict, arms, draws] = ["verdict", "table", "draws"].map((id) =>
    page.match(new RegExp(`<section id="${id}"[^]*?</section>`))![0]
  );
  assertStringIncludes(verdict!, "The update gained +10.0 points on the task.");
  for (const name of ["unchanged model", "circuit", ...Object.keys(summary.controls)]) {
    assertStringIncludes(arms!, `>${name}</th>`);
  }
  assertStringIncludes(draws!, "its gain exceeds that of 2 of 3 controls");
  assertEquals(draws!.match(/<path class="mark control"/g)!.length, 3 + 2);
  assert([verdict, arms, draws].every((part) => !part!.includes("<noscript>")));
});

Deno.test("nothing that a completion, prompt or verdict says becomes markup", () => {
  assertEquals(page.match(/<script/g)!.length, 2);
  assertEquals(page.match(/<\/script>/g)!.length, 2);
  assert(!page.includes("<b onclick"));
  assert(!page.includes("<!--"));
  const data = dataOf(page);
  assertEquals(data.answers[0].base.text, `before 0 ${hostile}`);
  assertEquals(data.summary.verdict, summary.verdict);
});

Deno.test("a page forbids itself the network and names nothing to load", () => {
  assertStringIncludes(
    page,
    `content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"`,
  );
  assertEquals(page.match(/\s(src|srcset|data|action)="/g), null);
  assertEquals([...page.matchAll(/href="([^"#][^"]*)"/g)], []);
  assertEquals(page.match(/https?:\/\//g), null);
});

Deno.test("pivots carry tokens, traces and probabilities before and after", () => {
  const [pivot] = dataOf(page).pivots;
  assertEquals(pivot.tokens, ["Q:", " 1", "\n", hostile]);
  const at = traceBefore.length;
  const [right, wrong] = [`${traceBefore} 2, so true`, `${traceBefore} 3, so false`];
  assertEquals(pivot.desired, { text: " 2", base: 0.2, amplified: 0.6, trace: right, at });
  assertEquals(pivot.undesired, { text: " 3", base: 0.7, amplified: 0.3, trace: wrong, at });
});

Deno.test("pivots as text show both traces with their tokens marked and measured", () => {
  const lines = pivotLines(run.pivots![0]!);
  assertEquals(lines[0], "pivot          template 0, instance 0; the greedy answer was right");
  assertEquals(lines[1], "  asked  Q: 1");
  assertEquals(lines[2], `  right  ${hostile}[ 2], so true  (" 2": 20.0 %)`);
  assertEquals(lines[3], `  wrong  ${hostile}[ 3], so false  (" 3": 70.0 %)`);
  const { trace: _, at: __, ...unknown } = run.pivots![0]!.undesired;
  assertEquals(pivotLines({ ...run.pivots![0]!, undesired: unknown })[3]!.slice(0, 10), "  wrong  …");
  assertEquals(spreadOver([0, 1, 2, 3, 4, 5], 3), [0, 2, 4]);
  assertEquals(spreadOver([0, 1], 5), [0, 1]);
});

Deno.test("answers that flipped come before those that did not", () => {
  const flipped = shownAnswers(run)!.map(({ base, amplified }) => base.correct !== amplified.correct);
  assertEquals(flipped, [true, true, true, false]);
  assertEquals(shownAnswers(run)!.length, outcomes.length);
});

Deno.test("the map's cells add up to the components that they hold", () => {
  const components = run.components!;
  const { layout, values } = components;
  assertEquals(componentsPerLayer(layout), perLayer);
  const geometry = mapGeometry(layout);
  const { columns } = geometry;
  assertEquals(columns.length, 2 + 1 + 1 + 48);
  assertEquals(columns.at(-1)!.to, 60);
  columns.slice(1).forEach(({ kind, from }, i) => {
    if (columns[i]!.kind === kind) assertEquals(from, columns[i]!.to);
  });
  const squares = (cells: Float64Array) => cells.reduce((sum, value) => sum + value ** 2, 0);
  const gradient = cellValues(components, "gradient", geometry)!;
  assertAlmostEquals(squares(gradient), values.gradient!.reduce((sum, value) => sum + value, 0), 1e-6);
  // Rows 2 and 3 of layer 1's queries are head 1; row 7 of layer 0's up projection is neuron 7.
  assertEquals(values.delta![perLayer + 1], 25);
  assertEquals(values.delta![firstOf(layout, "mlp") + 7], 100);
  assertEquals(values.delta!.reduce((sum, value) => sum + value, 0), 125);
});

Deno.test("the circuit's components are named without a script", () => {
  assertStringIncludes(page, "<li>layer 0: q-head 0; v-head 0</li>");
  assertStringIncludes(page, "<li>layer 1: q-head 1; neuron 39</li>");
});

Deno.test("listings of a large model keep the circuit and what has the most gradient", () => {
  const layers = 100;
  const layout = { ...run.components!.layout, layers };
  const values = {
    mask: Float64Array.from({ length: layers * perLayer }, (_, i) => Number(i === 5)),
    gradient: Float64Array.from({ length: layers * perLayer }, (_, i) => i),
    delta: undefined,
  };
  const listed = listedComponents({ layout, values });
  assertEquals(listed.length, 4000);
  assertEquals(listed[0], [0, "mlp", 1, 1, Number(Math.sqrt(5).toPrecision(3)), null]);
  assertEquals(listed.at(-1)!.slice(0, 3), [99, "mlp", 59]);
});

Deno.test("a folder with nothing but a summary gives a report that says what it lacks", async () => {
  await writeReport(at("summary"));
  const text = await Deno.readTextFile(at("summary", "report.html"));
  assertEquals(mistakes(text), []);
  assertEquals(sections(text), sections(page));
  assertEquals(text.match(/class="missing"/g)!.length, 4); // circuit, pivots, answers, settings
});

Deno.test("each missing file costs only the parts that it feeds", async () => {
  for await (const { name } of Deno.readDir(at("whole"))) {
    if (name === "summary.json" || name === "report.html") continue;
    const copy = at(`without ${name}`);
    await writeRunFolder(copy);
    await Deno.remove(join(copy, name));
    const text = runPage(await readRun(copy));
    assertEquals(mistakes(text), [], name);
    assertEquals(sections(text), sections(page), name);
  }
});

Deno.test("what could not be computed is said to be none, not drawn", async () => {
  const copy = at("diverged");
  await writeRunFolder(copy);
  const set = async (name: string, change: (value: typeof summary) => void) => {
    const value = JSON.parse(await Deno.readTextFile(join(copy, name)));
    change(value);
    await Deno.writeTextFile(join(copy, name), JSON.stringify(value));
  };
  await set("summary.json", ({ circuit, controls, selection }) => {
    const none = { capture_ratio: null, update_norm: null };
    Object.assign(circuit, none);
    Object.assign(controls.random, { ...none, gain: null, ci95: [null, null] });
    Object.assign(selection.random_capture.same_parameters, { mean: null, interval: [null, null] });
  });
  const history = [{ step: 0, accuracy: 0.5, loss: null }, { step: 2, accuracy: 0.4, loss: null }];
  await Deno.writeTextFile(join(copy, "update.json"), JSON.stringify({ best_step: 0, history }));
  const text = runPage(await readRun(copy));
  assertEquals(mistakes(text), []);
  const shown = text.replace(/data-value="[^"]*"/g, "").replace(/<script[^]*?<\/script>/g, "");
  assertEquals(shown.match(/.*(NaN|Infinity).*/g), null);
  assertStringIncludes(text, ">none</td>");
});

Deno.test("rates that were tried stand below the curves", () => {
  const [row] = page.match(/<tr>\s*<th scope="row" data-value="1">[^]*?<\/tr>/) ?? [];
  assertStringIncludes(row!, ">none</td>"); // it diverged
});

Deno.test("a page stays small however much there is to show", () => {
  const many = { ...run, answers: Array.from({ length: 20_000 }, () => run.answers![3]!) };
  const pivots = Array.from({ length: 20_000 }, () => run.pivots![0]!);
  const text = runPage({ ...many, pivots });
  assert(text.length < 1_500_000, `${text.length}`);
  assertStringIncludes(text, "the run folder holds all");
  const data = dataBlock({ ...many, pivots }) as { answers: unknown[]; pivots: unknown[] };
  assertGreater(JSON.stringify(data.answers).length, browserRoom.answers / 2);
  assertEquals(rowsWithin([1, 22, 333], 5), [1, 22]);
  assertEquals(rowsWithin([333], 1), [333]);
});

Deno.test("runs are compared on one page", async () => {
  await writeRunFolder(at("other"), { seed: 4 });
  const out = at("comparison.html");
  await writeComparison([at("whole"), at("other"), at("summary")], out);
  const three = await Deno.readTextFile(out);
  assertEquals(mistakes(three), []);
  await writeComparison([at("whole"), at("other")], out);
  const text = await Deno.readTextFile(out);
  assertEquals(mistakes(text), []);
  assert(!text.includes('class="missing"'));
  assertStringIncludes(text, `<th scope="row" data-value="seed">seed</th>`);
  assertStringIncludes(text, ">100.0 %</td>"); // the same circuit twice
  assertEquals(dataOf(text).runs.map(({ name }: { name: string }) => name), ["whole", "other"]);
});

Deno.test("a folder of several seeds stands for their runs", async () => {
  await Deno.mkdir(at("seeds"));
  await Deno.writeTextFile(at("seeds", "summary.json"), '{"seeds": [0, 3]}');
  assertEquals(await runFoldersAt(at("seeds")), [at("seeds", "seed-0"), at("seeds", "seed-3")]);
  assertEquals(await runFoldersAt(at("whole")), [at("whole")]);
});

Deno.test("what cannot be reported is said in a sentence", async () => {
  await assertRejects(() => readRun(at("nowhere")), InputError, "no summary.json of a finished run");
  const damaged = at("damaged");
  await writeRunFolder(damaged);
  await Deno.writeTextFile(join(damaged, "update.json"), '{"best_step": "two"}');
  await assertRejects(() => readRun(damaged), InputError, "update.json");
  await Deno.writeTextFile(join(damaged, "update.json"), "{");
  await assertRejects(() => readRun(damaged), InputError, "not valid JSON");
  await assertRejects(() => writeReport(at("whole"), work.path), InputError, "is a folder");
  await assertRejects(() => writeComparison([at("whole")], at("c.html")), InputError, "two to 5 runs");
});
