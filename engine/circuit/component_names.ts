/** Components by name, as lines that stay readable for large circuits. */
import type { ModelConfig } from "../model/architecture.ts";
import { componentAt, type Selection } from "./components.ts";
import { componentName } from "./selection/budget.ts";

/** The names of all selected components, in order. */
export function selectedNames(config: ModelConfig, selection: Selection): string[] {
  return selection.flatMap((selected, i) => selected ? [componentName(config, i)] : []);
}

/**
 * The selected components a line a layer: heads by kind, neurons by number, of which at most `most` are listed,
 * e.g. "layer 2: q-heads 0 1, v-head 1, neurons 17 203 … (12)".
 */
export function selectionLines(config: ModelConfig, selection: Selection, most = 12): string[] {
  const components = selection.flatMap((selected, i) => selected ? [componentAt(config, i)] : []);
  return [...Map.groupBy(components, ({ layer }) => layer)].map(([layer, own]) => {
    const kinds = [...Map.groupBy(own, ({ kind }) => kind)].map(([kind, members]) => {
      const name = `${kind === "mlp" ? "neuron" : `${kind}-head`}${members.length > 1 ? "s" : ""}`;
      const numbers = members.slice(0, most).map(({ number }) => number).join(" ");
      return `${name} ${numbers}${members.length > most ? ` … (${members.length})` : ""}`;
    });
    return `layer ${layer}: ${kinds.join(", ")}`;
  });
}
