/** A sweep as a picture: gain against parameters that may move, and change of other abilities against gain. */
import { parse, View } from "npm:vega@6.4.0";
import { compile } from "npm:vega-lite@6.5.0";
import type { SweepRow } from "./sweep.ts";

const quantitative = "quantitative" as const;
const percent = (value: number) => 100 * value;

/** An SVG of two panels; points that none dominates are filled and joined, lines are 95 % intervals. */
export async function sweepPlot(rows: readonly SweepRow[]): Promise<string> {
  const values = rows.map((row) => ({
    share: percent(row.parameter_share),
    gain: percent(row.gain),
    low: percent(row.ci95[0]),
    high: percent(row.ci95[1]),
    abilities: percent(row.abilities),
    front: row.pareto ? "on the front" : "dominated",
    point: row.folder,
  }));
  const gain = { field: "gain", type: quantitative, title: "gain on the task in points" };
  const share = {
    field: "share",
    type: quantitative,
    scale: { type: "log" as const },
    title: "parameters that may move in per cent of all",
  };
  const filled = {
    field: "front",
    type: "nominal" as const,
    scale: { domain: ["on the front", "dominated"], range: ["#0072b2", "#999999"] },
    title: null,
  };
  const { spec } = compile({
    data: { values },
    hconcat: [
      {
        width: 360,
        height: 280,
        layer: [
          {
            transform: [{ filter: "datum.front === 'on the front'" }],
            mark: { type: "line", color: "#0072b2", opacity: 0.5 },
            encoding: { x: share, y: gain, order: { field: "share", type: quantitative } },
          },
          {
            mark: { type: "rule", opacity: 0.5 },
            encoding: {
              x: share,
              y: { field: "low", type: quantitative },
              y2: { field: "high" },
              color: filled,
            },
          },
          { mark: { type: "point", filled: true, size: 50 }, encoding: { x: share, y: gain, color: filled } },
        ],
      },
      {
        width: 360,
        height: 280,
        mark: { type: "point", filled: true, size: 50 },
        encoding: {
          x: gain,
          y: { field: "abilities", type: quantitative, title: "mean change of other abilities in points" },
          color: filled,
        },
      },
    ],
  });
  return await new View(parse(spec), { renderer: "none" }).toSVG();
}
