/** The circuit before any update, in a few lines. */
import type { ArmSelection, SelectionRecord } from "./records.ts";
import type { CaptureDistribution } from "../circuit/selection/capture.ts";

const percent = (share: number) => `${(100 * share).toPrecision(3)} %`;

/** Capture ratio, random selections beside it, parameters, and overlap with every control. */
export function describeSelection(record: SelectionRecord): string[] {
  const { method, budget, circuit, squared_gradient_share, random_capture, controls } = record;
  if (!random_capture) return [`selection      ${method}: no component is selected`];
  const beside = ({ draws, mean, interval, rank_p }: CaptureDistribution) =>
    `${mean.toFixed(2)} (${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}, ${draws} draws, rank p = ${
      rank_p.toPrecision(2)
    })`;
  const arm = ({ components, parameters, parameter_share, capture_ratio }: ArmSelection) =>
    `${components} components, ${parameters} parameters (${percent(parameter_share)}), R = ${
      capture_ratio.toFixed(2)
    }`;
  return [
    `selection      ${method}${budget === undefined ? "" : `, budget ${budget}`}: ${arm(circuit)}, ${
      percent(squared_gradient_share)
    } of the squared gradient`,
    `random R       ${beside(random_capture.same_composition)} of the same composition, ${
      beside(random_capture.same_parameters)
    } of the same parameters`,
    ...Object.entries(controls).map(([name, control]) =>
      `overlap        ${name}: ${arm(control)}; holds ${
        percent(control.overlap.components)
      } of the circuit's components, ${percent(control.overlap.parameters)} of its parameters`
    ),
  ];
}
