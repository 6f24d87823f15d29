/** Which heads and neurons the rows of a patch belong to. R rows, I columns, C head width. */
import type { ModelConfig } from "../model/architecture.ts";
import {
  type Component,
  type ComponentKind,
  componentKinds,
  nameOfComponent,
} from "../circuit/components.ts";
import type { PatchTensor } from "./patch.ts";

/** A component that a patch changes. */
export interface PatchedComponent extends Component {
  /** In words, e.g. "layer 2 v-head 1" or "layer 0 neuron 17". */
  readonly name: string;
  /** Changed rows; a neuron has one in up_proj and one in gate_proj. */
  readonly rows: number;
  /** Euclidean norm of their change. */
  readonly norm: number;
}

/** The component that a row of a matrix belongs to; undefined for rows of outputs, which all heads or neurons write. */
export function componentOfRow(
  { headWidth: C }: Pick<ModelConfig, "headWidth">,
  name: string,
  row: number,
): Component | undefined {
  const [, layer, head] =
    name.match(/\blayers\.(\d+)\.(?:self_attn\.([qkv])_proj|mlp\.(?:up|gate)_proj)\.weight$/) ?? [];
  if (layer === undefined) return undefined;
  const kind = (head ?? "mlp") as ComponentKind;
  return { layer: Number(layer), kind, number: kind === "mlp" ? row : Math.floor(row / C) };
}

/** All components that a patch changes, by layer, kind and number. */
export function patchedComponents(
  config: Pick<ModelConfig, "headWidth">,
  tensors: readonly PatchTensor[],
): PatchedComponent[] {
  const found = new Map<string, Component & { rows: number; squares: number }>();
  for (const { name, rows, delta, columns } of tensors) {
    rows.forEach((row, r) => {
      const component = componentOfRow(config, name, row);
      if (!component) return;
      const key = nameOfComponent(component);
      const sums = found.get(key) ?? { ...component, rows: 0, squares: 0 };
      found.set(key, sums);
      sums.rows++;
      for (let i = r * columns; i < (r + 1) * columns; i++) sums.squares += delta[i]! ** 2;
    });
  }
  const place = ({ layer, kind }: Component) => layer * componentKinds.length + componentKinds.indexOf(kind);
  return [...found].map(([name, { squares, ...rest }]) => ({ name, ...rest, norm: Math.sqrt(squares) }))
    .sort((a, b) => place(a) - place(b) || a.number - b.number);
}
