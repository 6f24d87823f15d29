/** The arms of a run as a table: base, the circuit, and every control; and their draws as strip plots. */
import { bottomAxis, figure, label, line, mark, type Shape } from "./figure.ts";
import { html, type Markup } from "./markup.ts";
import { percent, points, short, whole } from "./numbers.ts";
import type { RunData } from "./run_data.ts";
import { linearScale } from "./scale.ts";
import { sortableTable } from "./table.ts";

/** Controls by family, the draws of one together: random, random-2, random-3 are of `random`. */
function families({ summary: { controls } }: RunData) {
  return Map.groupBy(Object.entries(controls), ([name]) => name.replace(/-\d+$/, ""));
}

/** Every arm in a row. */
export function armsTable({ summary }: RunData): Markup {
  const { accuracy, circuit, flips, best_step, controls } = summary;
  const range = ([low, high]: readonly [number, number]) => `${points(low)} to ${points(high)}`;
  const unknown = { text: "", value: -Infinity };
  const rows = [
    {
      name: "unchanged model",
      own: { components: 0, parameters: 0, parameter_share: 0, update_norm: 0 },
      accuracy: accuracy.base,
    },
    {
      name: "circuit",
      own: circuit,
      accuracy: accuracy.amplified,
      step: best_step,
      positive: flips.positive,
    },
    ...Object.entries(controls).map(([name, own]) => ({
      name,
      own,
      accuracy: own.amplified,
      step: own.best_step,
      p: own.p,
    })),
  ];
  return sortableTable(
    "arms",
    [
      { title: "arm", text: true },
      { title: "accuracy" },
      { title: "gain in points (95\u00a0%\u00a0interval)" },
      { title: "became wrong" },
      { title: "p against circuit" },
      { title: "components" },
      { title: "parameters" },
      { title: "capture ratio" },
      { title: "update norm" },
      { title: "best step" },
    ],
    rows.map((row) => {
      const { name, own, accuracy } = row;
      const outcome = "gain" in own ? own : undefined;
      return [
        { text: name, value: name },
        { text: percent(accuracy), value: accuracy },
        outcome ? { text: `${points(outcome.gain)} (${range(outcome.ci95)})`, value: outcome.gain } : unknown,
        outcome ? { text: whole(outcome.negative_flips), value: outcome.negative_flips } : unknown,
        "p" in row && row.p !== undefined ? { text: short(row.p), value: row.p } : unknown,
        { text: whole(own.components), value: own.components },
        { text: `${whole(own.parameters)} (${percent(own.parameter_share)})`, value: own.parameters },
        outcome ? { text: short(outcome.capture_ratio), value: outcome.capture_ratio } : unknown,
        { text: short(own.update_norm), value: own.update_norm },
        "step" in row && row.step !== undefined ? { text: String(row.step), value: row.step } : unknown,
      ];
    }),
  );
}

/** Gains of all arms on one axis, the circuit among its controls; and capture ratios of random selections. */
export function stripPlots(run: RunData): Markup {
  return html`${gains(run)}${captures(run)}`;
}

/** Rows of a strip plot: the name of each stands above its marks, so that plots stay readable on a narrow screen. */
const [width, left, top, step] = [400, 12, 8, 46];
const at = (row: number) => top + step * (row + 0.7);
const rowName = (row: number, name: string) => label(left + 4, top + step * row + 14, name);

function gains(run: RunData): Markup | undefined {
  const { circuit } = run.summary;
  const rows = [...families(run)];
  if (rows.length === 0) {
    return html`<p>No controls were run, so there is nothing to hold the circuit against.</p>`;
  }
  const bottom = top + step * (rows.length + 1);
  const all = rows.flatMap(([, draws]) => draws.map(([, { gain }]) => gain));
  const x = linearScale([...all, ...circuit.ci95, circuit.gain], [left, width - 20], { include: [0] });
  const best = Math.max(...all);
  const lower = all.filter((gain) => gain < circuit.gain).length;
  return figure({
    id: "gains",
    width,
    height: bottom + 44,
    label: `Gain of the circuit, ${points(circuit.gain)} points, beside ${all.length} controls, the best ${
      points(best)
    } points`,
    caption:
      `Gain in accuracy on the test split. Diamond: the circuit, with its 95 % interval; its gain exceeds that of ${lower} of ${all.length} controls.`,
    body: [
      bottomAxis(x, { top, bottom, title: "gain in points", format: (tick) => points(tick) }),
      line(x.at(0), top, x.at(0), bottom, "zero"),
      line(x.at(circuit.gain), top, x.at(circuit.gain), bottom, "guide"),
      rowName(0, "circuit"),
      line(x.at(circuit.ci95[0]), at(0), x.at(circuit.ci95[1]), at(0), "interval"),
      mark(x.at(circuit.gain), at(0), "diamond", "circuit", `circuit: ${points(circuit.gain)} points`),
      rows.map(([family, draws], r) => [
        rowName(r + 1, draws.length > 1 ? `${family}, ${draws.length} draws` : family),
        draws.map(([name, { gain }], i) =>
          mark(
            x.at(gain),
            at(r + 1) + spread(i, draws.length),
            shapeOf(draws.length),
            "control",
            `${name}: ${points(gain)} points`,
          )
        ),
      ]),
    ],
  });
}

/** Draws of a row lie a little apart, so that equal ones are seen. */
const spread = (i: number, count: number) => count === 1 ? 0 : 12 * (i / (count - 1) - 0.5);
const shapeOf = (count: number): Shape => count > 1 ? "dot" : "square";

function captures({ summary: { circuit, selection: { random_capture } } }: RunData): Markup | undefined {
  if (!random_capture) return undefined;
  const rows = Object.entries(random_capture).filter(([, value]) => typeof value === "object") as [
    string,
    { draws: number; mean: number; interval: [number, number]; rank_p: number },
  ][];
  const bottom = top + step * (rows.length + 1);
  const x = linearScale([circuit.capture_ratio, ...rows.flatMap(([, { interval }]) => interval)], [
    left,
    width - 20,
  ], {
    include: [1],
  });
  return figure({
    id: "captures",
    width,
    height: bottom + 44,
    label: `Capture ratio of the circuit, ${short(circuit.capture_ratio)}, beside random selections`,
    caption:
      `Capture ratio: how much more of the task's gradient a selection holds than its share of rows would by chance, which is 1. Diamond: the circuit; bars: mean and 95 % interval of ${
        rows.map(([name, { draws, rank_p }]) =>
          `${draws} draws of ${name.replace("_", " ")} (p = ${short(rank_p)})`
        ).join(", ")
      }.`,
    body: [
      bottomAxis(x, { top, bottom, title: "capture ratio", format: short }),
      line(x.at(1), top, x.at(1), bottom, "zero"),
      line(x.at(circuit.capture_ratio), top, x.at(circuit.capture_ratio), bottom, "guide"),
      rowName(0, "circuit"),
      mark(
        x.at(circuit.capture_ratio),
        at(0),
        "diamond",
        "circuit",
        `circuit: ${short(circuit.capture_ratio)}`,
      ),
      rows.map(([name, { mean, interval }], r) => [
        rowName(r + 1, name.replace("_", " ")),
        line(x.at(interval[0]), at(r + 1), x.at(interval[1]), at(r + 1), "interval"),
        mark(x.at(mean), at(r + 1), "dot", "control", `${name.replace("_", " ")}: ${short(mean)} on average`),
      ]),
    ],
  });
}
