/**
 * Components and their rows. A component is one query head, one key head, one value head or one MLP neuron of one layer.
 * Legend: L layers, H query heads, K key/value heads, C head width, F MLP neurons; P = H + 2K + F components a layer.
 */
import type { ModelConfig } from "../model/architecture.ts";
import type { Model } from "../model/model.ts";
import type { Weight } from "../ops/weight.ts";

/** Component kinds, in their order within a layer. */
export const componentKinds = ["q", "k", "v", "mlp"] as const;

/** See componentKinds. */
export type ComponentKind = typeof componentKinds[number];

/** Which components are selected: one flag per component, [L · P]. */
export type Selection = readonly boolean[];

/**
 * Number of components of each kind in a layer.
 *
 * @example Components of a layer
 * ```ts
 * import { kindCounts, readConfig } from "../../mod.ts";
 *
 * console.log(kindCounts(await readConfig("fixtures/gemma2-mini"))); // { q: 4, k: 2, v: 2, mlp: 384 }
 * ```
 */
export function kindCounts(config: ModelConfig): Record<ComponentKind, number> {
  return { q: config.queryHeads, k: config.keyValueHeads, v: config.keyValueHeads, mlp: config.mlpWidth };
}

/** One component: its layer, kind, and number among its kind in that layer. */
export interface Component {
  /** Number of the layer, from 0. */
  readonly layer: number;
  /** What it is. */
  readonly kind: ComponentKind;
  /** Number among those of its kind in its layer, from 0. */
  readonly number: number;
}

/** A component in words, e.g. "layer 2 v-head 1" or "layer 0 neuron 17". */
export function nameOfComponent({ layer, kind, number }: Component): string {
  return `layer ${layer} ${kind === "mlp" ? "neuron" : `${kind}-head`} ${number}`;
}

/** How many components are selected of how many. */
export interface SelectedCount {
  /** How many are selected. */
  readonly selected: number;
  /** Of how many. */
  readonly total: number;
  /** The same as a percentage. */
  readonly percent: number;
  /** How many of each kind are selected. */
  readonly by_kind: Readonly<Record<ComponentKind, number>>;
}

/**
 * The component of an index into a mask.
 *
 * @example The last component
 * ```ts
 * import { componentAt, readConfig } from "../../mod.ts";
 *
 * const config = await readConfig("fixtures/gemma2-mini");
 * console.log(componentAt(config, 1567)); // { layer: 3, kind: "mlp", number: 383 }
 * ```
 */
export function componentAt(config: ModelConfig, index: number): Component {
  const counts = kindCounts(config);
  const perLayer = componentKinds.reduce((sum, kind) => sum + counts[kind], 0);
  let rest = index % perLayer;
  for (const kind of componentKinds) {
    if (rest < counts[kind]) return { layer: Math.floor(index / perLayer), kind, number: rest };
    rest -= counts[kind];
  }
  throw new RangeError(`No component ${index}.`);
}

/**
 * Components whose mask exceeds one half: those that the training kept.
 *
 * @example What a mask selects
 * ```ts
 * import { selectComponents } from "../../mod.ts";
 *
 * console.log(selectComponents(Float32Array.of(0.9, 0, 0.2))); // components whose mask is still above its threshold
 * ```
 */
export function selectComponents(mask: Float32Array): Selection {
  return Array.from(mask, (value) => value > 0.5);
}

/**
 * How many components are selected, in total and by kind.
 *
 * @example How much is selected
 * ```ts
 * import { countSelected, readConfig } from "../../mod.ts";
 *
 * const config = await readConfig("fixtures/gemma2-mini");
 * const { percent } = countSelected(config, new Array<boolean>(1568).fill(true));
 * console.log(percent); // 100
 * ```
 */
export function countSelected(config: ModelConfig, selection: Selection): SelectedCount {
  const by_kind: Record<ComponentKind, number> = { q: 0, k: 0, v: 0, mlp: 0 };
  selection.forEach((selected, i) => {
    if (selected) by_kind[componentAt(config, i).kind]++;
  });
  const selected = componentKinds.reduce((sum, kind) => sum + by_kind[kind], 0);
  return { selected, total: selection.length, percent: 100 * selected / selection.length, by_kind };
}

/**
 * A random selection with as many components of each kind in each layer as `selection` has: the control. Where components
 * `outside` are to be avoided, none of them is drawn, and a group with too few others gives all of those.
 *
 * @example A random control
 * ```ts
 * import { countSelected, randomLike, readConfig } from "../../mod.ts";
 *
 * const config = await readConfig("fixtures/gemma2-mini");
 * const selection = new Array<boolean>(1568).fill(false).fill(true, 100, 120);
 * const control = randomLike(config, selection, Math.random);
 * console.log(countSelected(config, control).selected); // 20, as many of each kind
 * ```
 */
export function randomLike(
  config: ModelConfig,
  selection: Selection,
  random: () => number,
  outside?: Selection,
): Selection {
  const result = new Array<boolean>(selection.length).fill(false);
  const groups = new Map<string, number[]>();
  selection.forEach((_, i) => {
    const { layer, kind } = componentAt(config, i);
    const key = `${layer} ${kind}`;
    const group = groups.get(key);
    if (group) group.push(i);
    else groups.set(key, [i]);
  });
  for (const all of groups.values()) {
    const members = outside ? all.filter((i) => !outside[i]) : all;
    const wanted = Math.min(members.length, all.filter((i) => selection[i]).length);
    for (let n = 0; n < wanted; n++) {
      const pick = n + Math.floor(random() * (members.length - n));
      [members[n], members[pick]] = [members[pick]!, members[n]!];
      result[members[n]!] = true;
    }
  }
  return result;
}

/** Rows of one matrix that belong to selected components. */
export interface SelectedRows {
  /** Number of the layer, from 0. */
  readonly layer: number;
  /** The packed matrix that the rows lie in. */
  readonly matrix: "qkv" | "output" | "gateUp" | "down";
  /** That matrix on the GPU. */
  readonly weight: Weight;
  /** Ascending row numbers in the fused matrix. */
  readonly rows: Uint32Array;
}

/** Every row of every layer's projections: what full fine-tuning and LoRA move. */
export function allRows(model: Model): SelectedRows[] {
  return model.weights.layers.flatMap((weights, layer) =>
    (["qkv", "output", "gateUp", "down"] as const).map((matrix) => ({
      layer,
      matrix,
      weight: weights[matrix],
      rows: Uint32Array.from({ length: weights[matrix].rows }, (_, row) => row),
    }))
  );
}

/** The rows of a selection, or the rows themselves where they are given. */
export function rowsOf(model: Model, what: Selection | readonly SelectedRows[]): readonly SelectedRows[] {
  const isSelection = (what: Selection | readonly SelectedRows[]): what is Selection =>
    typeof what[0] !== "object";
  return isSelection(what) ? selectedRows(model, what) : what;
}

/** The rows an update may move: head rows of q_proj, k_proj and v_proj, single rows of up_proj (method section 3). */
export function selectedRows(model: Model, selection: Selection): SelectedRows[] {
  const { queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F } = model.config;
  const perLayer = model.componentsPerLayer;
  return model.weights.layers.flatMap(({ qkv, gateUp }, layer) => {
    const own = selection.slice(layer * perLayer, (layer + 1) * perLayer);
    const heads = [...own.slice(0, H + 2 * K).keys()].filter((c) => own[c]);
    const neurons = [...own.slice(H + 2 * K).keys()].filter((f) => own[H + 2 * K + f]);
    const found: SelectedRows[] = [];
    if (heads.length) {
      const rows = heads.flatMap((c) => Array.from({ length: C }, (_, i) => c * C + i));
      found.push({ layer, matrix: "qkv", weight: qkv, rows: Uint32Array.from(rows) });
    }
    if (neurons.length) {
      found.push({ layer, matrix: "gateUp", weight: gateUp, rows: Uint32Array.from(neurons, (f) => F + f) });
    }
    return found;
  });
}
