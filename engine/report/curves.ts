/** Curves of a run: validation and loss over update steps, the mask's training, gain over size, other abilities. */
import { bottomAxis, figure, label, leftAxis, line, mark, path } from "./figure.ts";
import { html, type Markup } from "./markup.ts";
import { percent, points, short, whole } from "./numbers.ts";
import type { RunData } from "./run_data.ts";
import { linearScale, logScale } from "./scale.ts";
import { sortableTable } from "./table.ts";

/** One line of a plot. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** All of them, those whose files are there. */
export function curves(run: RunData): Markup {
  const { update, mask } = run;
  const history = update?.history ?? [];
  const course = (values: readonly number[]) => thinned(values.map((value, i) => [i + 1, value] as const));
  return html`
    <div class="plots">${history.length > 0 &&
      curvePlot("validation", "accuracy on the validation split", "update step", [{
        name: "accuracy",
        points: history.map(({ step, accuracy }) => [step, accuracy]),
      }], { format: percent, chosen: update!.best_step })}${history.length > 0 &&
      curvePlot("loss", "loss of the update", "update step", [{
        name: "loss",
        points: history.map(({ step, loss }) => [step, loss]),
      }], { format: short, chosen: update!.best_step })}${mask && mask.losses.length > 0 &&
      curvePlot("mask-loss", "loss of the mask's training", "mask step", [
        { name: "loss", points: course(mask.losses) },
      ], { format: short })}${mask && mask.selected.length > 0 &&
      curvePlot("mask-selected", "components selected", "mask step", [
        { name: "selected", points: course(mask.selected) },
      ], { format: whole, include: [0] })}${budgetPlot(run)}${collateralPlot(run)}</div>
  `;
}

/** The rates that were tried, where there were several. */
export function triesTable({ update }: RunData): Markup | undefined {
  const tries = update?.tries ?? [];
  if (tries.length < 2) return undefined;
  return html`<p>Rates that were tried; validation chose among them.</p>
    ${
    sortableTable(
      "tries",
      [{ title: "rate" }, { title: "best step" }, { title: "accuracy on the validation split" }],
      tries.map(({ rate, best_step, accuracy }) => [
        { text: short(rate), value: rate },
        { text: whole(best_step), value: best_step },
        { text: percent(accuracy), value: accuracy },
      ]),
    )
  }`;
}

/** Every n-th point of a long curve, and its last. */
export function thinned<T>(all: readonly T[], most = 300): T[] {
  const every = Math.ceil(all.length / most);
  return all.filter((_, i) => i % every === 0 || i === all.length - 1);
}

/** A plot of one or several lines; `chosen` is the step that validation chose. */
export function curvePlot(
  id: string,
  title: string,
  steps: string,
  lines: readonly Curve[],
  { format, chosen, include }: {
    format: (value: number) => string;
    chosen?: number;
    include?: readonly number[];
  },
): Markup | undefined {
  const [width, height, left, right, top, bottom] = [430, 250, 66, 414, 34, 200];
  const finite = lines.map(({ points }) => points.filter(([, value]) => Number.isFinite(value)));
  const all = finite.flat();
  if (all.length === 0) return undefined;
  const x = linearScale(all.map(([step]) => step), [left, right]);
  const y = linearScale(all.map(([, value]) => value), [bottom, top], { include: include ?? [] });
  const last = all.at(-1)!;
  return figure({
    id,
    width,
    height,
    label: `${title}: from ${format(all[0]![1])} at ${steps} ${all[0]![0]} to ${format(last[1])} at ${
      last[0]
    }`,
    body: [
      bottomAxis(x, { top, bottom, title: steps, format: (tick) => whole(tick) }),
      leftAxis(y, { left, right, top, title, format }),
      finite.map((points, i) => [
        path(points.map(([step, value]) => [x.at(step), y.at(value)]), `curve curve${i}`),
        points.length <= 40 &&
        points.map(([step, value]) =>
          mark(
            x.at(step),
            y.at(value),
            step === chosen ? "diamond" : "dot",
            step === chosen ? "circuit" : `control curve${i}`,
            `step ${step}: ${format(value)}${step === chosen ? ", chosen by validation" : ""}`,
          )
        ),
      ]),
    ],
  });
}

/** Gain over the share of parameters that could move. */
function budgetPlot({ summary: { circuit, controls } }: RunData): Markup | undefined {
  const arms = [["circuit", circuit] as const, ...Object.entries(controls)]
    .filter(([, { parameter_share, gain }]) => parameter_share > 0 && Number.isFinite(gain));
  if (arms.length < 2) return undefined;
  const [width, height, left, right, top, bottom] = [430, 250, 66, 414, 34, 200];
  const x = logScale(arms.map(([, { parameter_share }]) => parameter_share), [left, right]);
  const y = linearScale(arms.map(([, { gain }]) => gain), [bottom, top], { include: [0] });
  return figure({
    id: "budget",
    width,
    height,
    label: "Gain of each arm over the share of parameters that could move",
    body: [
      bottomAxis(x, {
        top,
        bottom,
        title: "share of parameters that could move",
        format: (tick) => `${short(100 * tick)} %`,
      }),
      leftAxis(y, { left, right, top, title: "gain in points", format: points }),
      line(left, y.at(0), right, y.at(0), "zero"),
      arms.toReversed().map(([name, { parameter_share, gain }]) =>
        mark(
          x.at(parameter_share),
          y.at(gain),
          name === "circuit" ? "diamond" : "dot",
          name === "circuit" ? "circuit" : "control",
          `${name}: ${points(gain)} points with ${percent(parameter_share)}`,
        )
      ),
    ],
  });
}

/** Other abilities before and after, for the circuit and the controls. */
function collateralPlot({ summary: { other_abilities, controls } }: RunData): Markup | undefined {
  const tasks = Object.entries(other_abilities);
  if (tasks.length === 0) return undefined;
  const [width, left, right, top, step] = [430, 110, 404, 34, 38];
  const bottom = top + step * tasks.length;
  const drops = (name: string, base: number) =>
    Object.entries(controls).flatMap(([control, { other_abilities }]) =>
      other_abilities[name] === undefined ? [] : [[control, other_abilities[name] - base] as const]
    );
  const all = tasks.flatMap(([name, { base, amplified }]) => [
    amplified - base,
    ...drops(name, base).map(([, change]) => change),
  ]);
  const x = linearScale(all, [left, right], { include: [-0.01, 0.01], ticks: 5 });
  return figure({
    id: "collateral",
    width,
    height: bottom + 44,
    label: `Change of other abilities: ${
      tasks.map(([name, { base, amplified }]) => `${name} ${points(amplified - base)} points`).join(", ")
    }`,
    body: [
      label(0, 16, "other abilities: change by the circuit (diamond) and controls"),
      bottomAxis(x, { top, bottom, title: "change in points", format: points }),
      line(x.at(0), top, x.at(0), bottom, "zero"),
      tasks.map(([name, { base, amplified }], r) => {
        const at = top + step * (r + 0.5);
        return [
          label(left - 10, at + 4, name, { anchor: "end" }),
          drops(name, base).map(([control, change]) =>
            mark(x.at(change), at + 7, "dot", "control", `${name} after ${control}: ${points(change)} points`)
          ),
          mark(
            x.at(amplified - base),
            at - 5,
            "diamond",
            "circuit",
            `${name}: ${percent(base)} → ${percent(amplified)}`,
          ),
        ];
      }),
    ],
  });
}
