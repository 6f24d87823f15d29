/** What the circuit is compared with: the selections of controls. */
import { allRows, randomLike, type Selection } from "../circuit/components.ts";
import { fillBudget, randomOfEqualParameters, selectedParameters } from "../circuit/selection/budget.ts";
import { gradientScores } from "../circuit/selection/gradient.ts";
import type { Model } from "../model/model.ts";
import { seededRandom } from "../random.ts";
import type { ControlName } from "./settings/control_names.ts";
import type { EvaluationSettings } from "./settings/evaluation.ts";

/** One control: one draw of it where it is drawn at random. */
export interface Control {
  /** The control's name; from its second draw on with the number of the draw, e.g. `random-2`. */
  readonly name: string;
  readonly control: ControlName;
  readonly draw: number;
}

/** Controls that are drawn at random, each several times. */
const drawn: readonly ControlName[] = ["random", "random-parameters", "complement"];

/** All controls that the settings ask for. */
export function controlsOf({ controls, draws }: Pick<EvaluationSettings, "controls" | "draws">): Control[] {
  return controls.flatMap((control) =>
    Array.from({ length: drawn.includes(control) ? draws : 1 }, (_, i) => ({
      name: i === 0 ? control : `${control}-${i + 1}`,
      control,
      draw: i + 1,
    }))
  );
}

/** How the control `lora` learns: the rank of its factors, and AdamW's rate. */
export const loraControl = { rank: 16, rate: 1e-3 } as const;

/** How many parameters a control may move, or the circuit where none is given. */
export function movedParameters(
  model: Model,
  control: ControlName | undefined,
  selection: Selection,
): number {
  if (control !== "full" && control !== "lora") return selectedParameters(model.config, selection);
  return allRows(model).reduce(
    (sum, { weight: { rows, columns } }) =>
      sum + (control === "full" ? rows * columns : loraControl.rank * (rows + columns)),
    0,
  );
}

/** The selection of a control beside the circuit; `energies` is the squared task gradient by component. */
export function controlSelection(
  model: Model,
  { control, draw }: Control,
  circuit: Selection,
  energies: ArrayLike<number>,
  seed: number,
): Selection {
  const { config } = model;
  const random = () => seededRandom(`${seed}/${control} control${draw === 1 ? "" : ` ${draw}`}`);
  switch (control) {
    case "random":
      return randomLike(config, circuit, random());
    case "random-parameters":
      return randomOfEqualParameters(config, circuit, random());
    case "complement":
      return randomLike(config, circuit, random(), circuit);
    case "inverted":
      return circuit.map((selected) => !selected);
    case "gradient": {
      const amount = selectedParameters(config, circuit);
      const budget = { unit: "parameters", amount, share: false } as const;
      return fillBudget(config, gradientScores(config, energies), budget, model.parameters);
    }
    case "unmasked":
    case "full":
    case "lora":
      return circuit.map(() => true);
  }
}
