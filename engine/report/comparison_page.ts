/** Two to five runs on one page. */
import { type Curve, curvePlot } from "./curves.ts";
import { bottomAxis, figure, label, line, mark } from "./figure.ts";
import { html, type Markup } from "./markup.ts";
import { flips, mcnemarExact } from "../evaluation/statistics.ts";
import { duration, percent, points, short, whole } from "./numbers.ts";
import { page } from "./page.ts";
import type { Answer, RunData } from "./run_data.ts";
import { reproduction } from "./run_page.ts";
import { linearScale } from "./scale.ts";
import { type Cell, sortableTable } from "./table.ts";

/** The page as text. */
export function comparisonPage(given: readonly RunData[]): string {
  const runs = distinct(given);
  return page({
    title: `Circuit Amp: ${runs.length} runs compared`,
    intro: html`
      <p>${runs.map(({ name }) => name).join(", ")}</p>
    `,
    parts: [
      { id: "verdict", title: "Verdicts", body: verdicts(runs) },
      { id: "table", title: "Runs", body: runsTable(runs) },
      { id: "gains", title: "Gains", body: gains(runs) },
      { id: "settings", title: "Settings that differ", body: differences(runs) },
      { id: "overlap", title: "Overlap of circuits", body: overlaps(runs) },
      { id: "items", title: "Answers item by item", body: items(runs) },
      { id: "curves", title: "Curves", body: courses(runs) },
      { id: "by-template", title: "Templates", body: templates(runs) },
      {
        id: "again",
        title: "Again",
        body: html`${runs.map((run) => html`<h3>${run.name}</h3>${reproduction(run)}`)}`,
      },
    ],
    data: { runs: runs.map(({ name, summary, config, update }) => ({ name, summary, config, update })) },
  });
}

/** Runs whose folders have the same name are told apart by their paths. */
function distinct(runs: readonly RunData[]): RunData[] {
  const names = new Set(runs.map(({ name }) => name));
  return names.size === runs.length ? [...runs] : runs.map((run) => ({ ...run, name: run.folder }));
}

function verdicts(runs: readonly RunData[]): Markup {
  return html`${
    runs.map(({ name, summary }) =>
      html`
        <h3>${name}</h3>
        <ul class="verdict">${summary.verdict.map((sentence) => html`<li>${sentence}</li>`)}</ul>
      `
    )
  }`;
}

const number = (value: number, text: (value: number) => string): Cell => ({ text: text(value), value });
const nothing: Cell = { text: "", value: -Infinity };

function runsTable(runs: readonly RunData[]): Markup {
  const abilities = [...new Set(runs.flatMap(({ summary }) => Object.keys(summary.other_abilities)))];
  const titles = [
    "before",
    "after",
    "gain in points",
    "95 % interval",
    "became right",
    "became wrong",
    "components",
    "parameters",
    "capture ratio",
    "update norm",
    "best step",
    "time",
    ...abilities.map((name) => `${name}, change in points`),
  ];
  return sortableTable(
    "runs",
    [{ title: "run", text: true }, ...titles.map((title) => ({ title }))],
    runs.map(({ name, summary: { accuracy, flips, circuit, best_step, seconds, other_abilities } }) => [
      { text: name, value: name },
      number(accuracy.base, percent),
      number(accuracy.amplified, percent),
      number(accuracy.gain, points),
      { text: `${points(accuracy.ci95[0])} to ${points(accuracy.ci95[1])}`, value: accuracy.ci95[0] },
      number(flips.positive, whole),
      number(flips.negative, whole),
      number(circuit.components, whole),
      number(circuit.parameters, whole),
      number(circuit.capture_ratio, short),
      number(circuit.update_norm, short),
      number(best_step, whole),
      seconds.total === undefined ? nothing : number(seconds.total, duration),
      ...abilities.map((ability) => {
        const both = other_abilities[ability];
        return both ? number(both.amplified - both.base, points) : nothing;
      }),
    ]),
  );
}

function gains(runs: readonly RunData[]): Markup {
  const [width, left, top, step] = [400, 12, 8, 50];
  const bottom = top + step * runs.length;
  const controls = ({ summary }: RunData) => Object.entries(summary.controls);
  const x = linearScale(
    runs.flatMap((run) => [...run.summary.accuracy.ci95, ...controls(run).map(([, { gain }]) => gain)]),
    [left, width - 20],
    { include: [0] },
  );
  return figure({
    id: "gain-plot",
    width,
    height: bottom + 44,
    label: `Gains of the circuits: ${
      runs.map(({ name, summary }) => `${name} ${points(summary.accuracy.gain)} points`).join(", ")
    }`,
    caption:
      "Gain in accuracy on each run's test split. Diamonds: circuits with 95 % intervals; dots: their controls.",
    body: [
      bottomAxis(x, { top, bottom, title: "gain in points", format: points }),
      line(x.at(0), top, x.at(0), bottom, "zero"),
      runs.map((run, r) => {
        const { name, summary: { accuracy: { gain, ci95 } } } = run;
        const at = top + step * (r + 0.6);
        return [
          label(left, at - 14, name.length > 60 ? `…${name.slice(-59)}` : name),
          line(x.at(ci95[0]), at, x.at(ci95[1]), at, "interval"),
          controls(run).map(([control, { gain }]) =>
            mark(x.at(gain), at + 9, "dot", "control", `${name}, ${control}: ${points(gain)} points`)
          ),
          mark(x.at(gain), at, "diamond", "circuit", `${name}: ${points(gain)} points`),
        ];
      }),
    ],
  });
}

/** Settings by their path, as text. */
function flat(value: unknown, path = ""): [string, string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [[path, JSON.stringify(value)]];
  }
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`));
}

function differences(runs: readonly RunData[]): Markup | undefined {
  if (runs.some(({ config }) => !config)) return undefined;
  const settings = runs.map(({ config }) => new Map(flat(config!.settings)));
  const paths = [...new Set(settings.flatMap((all) => [...all.keys()]))];
  const differing = paths.filter((path) => new Set(settings.map((all) => all.get(path))).size > 1);
  if (differing.length === 0) return html`<p>None.</p>`;
  const shown = (text = "") => text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return sortableTable(
    "differences",
    [{ title: "setting", text: true }, ...runs.map(({ name }) => ({ title: name, text: true }))],
    differing.map((path) => [
      { text: path, value: path },
      ...settings.map((all) => ({ text: shown(all.get(path)), value: all.get(path) ?? "" })),
    ]),
  );
}

/** Selected components in common, as a share of those in either. */
function overlaps(runs: readonly RunData[]): Markup {
  const masks = runs.map(({ components }) => components?.values.mask);
  const [first] = masks;
  if (!first || masks.some((mask) => mask?.length !== first.length)) {
    return html`<p class="missing">Circuits overlap where all runs have a mask over the same components.</p>`;
  }
  const selected = masks.map((mask) => new Set(mask!.keys().filter((i) => mask![i]! > 0.5)));
  return html`<p>Components in both circuits, as a share of those in either.</p>
${
    sortableTable(
      "overlaps",
      [{ title: "run", text: true }, ...runs.map(({ name }) => ({ title: name }))],
      runs.map(({ name }, a) => [
        { text: name, value: name },
        ...runs.map((_, b) => {
          const either = selected[a]!.union(selected[b]!).size;
          const share = either === 0 ? 1 : selected[a]!.intersection(selected[b]!).size / either;
          return number(share, percent);
        }),
      ]),
    )
  }`;
}

/** Amplified models against each other on the test problems that both answered. */
function items(runs: readonly RunData[]): Markup | undefined {
  if (runs.some(({ answers }) => !answers)) return undefined;
  const key = ({ template_id, instance_id, question }: Answer) =>
    JSON.stringify([template_id, instance_id, question]);
  const byProblem = runs.map(({ answers }) =>
    new Map(answers!.map((answer) => [key(answer), answer.amplified.correct]))
  );
  const pairs = runs.flatMap((_, a) => runs.slice(a + 1).map((_, i) => [a, a + 1 + i] as const));
  return sortableTable(
    "item-by-item",
    [
      { title: "amplified models", text: true },
      { title: "problems in common" },
      { title: "first right alone" },
      { title: "second right alone" },
      { title: "McNemar p" },
    ],
    pairs.map(([a, b]) => {
      const common = [...byProblem[a]!.keys()].filter((problem) => byProblem[b]!.has(problem));
      const { positive, negative } = flips(
        common.map((problem) => byProblem[a]!.get(problem)!),
        common.map((problem) => byProblem[b]!.get(problem)!),
      );
      const name = `${runs[a]!.name} and ${runs[b]!.name}`;
      return [
        { text: name, value: name },
        number(common.length, whole),
        number(negative, whole),
        number(positive, whole),
        common.length > 0 ? number(mcnemarExact(positive, negative), short) : nothing,
      ];
    }),
  );
}

function courses(runs: readonly RunData[]): Markup | undefined {
  const updated = runs.filter(({ update }) => update && update.history.length > 0);
  if (updated.length === 0) return undefined;
  const of = (value: "accuracy" | "loss"): Curve[] =>
    updated.map(({ name, update }) => ({
      name,
      points: update!.history.map((entry) => [entry.step, entry[value]]),
    }));
  return html`<ul class="legend">${
    updated.map(({ name }, i) =>
      html`<li><svg viewBox="0 0 30 10" width="30" height="10" aria-hidden="true"><path class="curve curve${i}" d="M0 5H30"/></svg> ${name}</li>`
    )
  }</ul>
<div class="plots">${
    curvePlot("validation", "accuracy on the validation split", "update step", of("accuracy"), {
      format: percent,
    })
  }${curvePlot("loss", "loss of the update", "update step", of("loss"), { format: short })}</div>`;
}

function templates(runs: readonly RunData[]): Markup {
  const names = [...new Set(runs.flatMap(({ summary }) => Object.keys(summary.per_template)))];
  return html`<p>Change in points by template.</p>
${
    sortableTable(
      "templates",
      [{ title: "template", text: true }, ...runs.map(({ name }) => ({ title: name }))],
      names.map((template) => [
        { text: template, value: template },
        ...runs.map(({ summary }) => {
          const both = summary.per_template[template];
          return both ? number(both.amplified - both.base, points) : nothing;
        }),
      ]),
    )
  }`;
}
