/** The loss curve of a training as a picture. */
import { parse, View } from "npm:vega@6.4.0";
import { compile } from "npm:vega-lite@6.5.0";
import type { LossRow } from "./training_folder.ts";

/** An SVG of loss (logarithmic) over steps: every step thin, the mean of its last ten thick. */
export async function lossPlot(rows: readonly LossRow[], title: string): Promise<string> {
  const values = rows.map(({ step, loss }, i) => {
    const last = rows.slice(Math.max(0, i - 9), i + 1);
    return { step, loss, mean: last.reduce((sum, row) => sum + row.loss, 0) / last.length };
  });
  const line = (field: "loss" | "mean", strokeWidth: number, opacity: number) => ({
    mark: { type: "line" as const, strokeWidth, opacity },
    encoding: {
      x: { field: "step", type: "quantitative" as const, title: "optimizer step" },
      y: {
        field,
        type: "quantitative" as const,
        scale: { type: "log" as const, nice: false },
        title: "weighted cross-entropy in nats",
      },
    },
  });
  const { spec } = compile({
    width: 640,
    height: 320,
    title,
    data: { values },
    layer: [line("loss", 1, 0.35), line("mean", 2, 1)],
  });
  return await new View(parse(spec), { renderer: "none" }).toSVG();
}
