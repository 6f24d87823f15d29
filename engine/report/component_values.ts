/**
 * What is known of each component: mask, squared task gradient, squared norm of its change.
 * Legend: L layers, P components of a layer in the order q heads, k heads, v heads, MLP neurons.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { type ComponentKind, componentKinds } from "../circuit/components.ts";
import { readTensors } from "../checkpoint/checkpoint.ts";
import { readPatch } from "../patch/patch.ts";

/** See Layout. */
export const layoutSchema = z.looseObject({
  layers: z.int().positive(),
  per_layer: z.record(z.enum(componentKinds), z.int().nonnegative()),
  head_width: z.int().positive(),
});

/** How many components of each kind the layers of a model have. */
export type Layout = z.infer<typeof layoutSchema>;

/** The measures of a component, as the heat map toggles them. */
export const measures = ["mask", "gradient", "delta"] as const;

/** See measures. */
export type Measure = typeof measures[number];

/** Values of all components, [L · P] each; undefined for a measure whose file is not there. */
export interface ComponentValues {
  readonly layout: Layout;
  readonly values: Readonly<Record<Measure, Float64Array | undefined>>;
}

/** Number of components of a layer. */
export function componentsPerLayer({ per_layer }: Layout): number {
  return componentKinds.reduce((sum, kind) => sum + per_layer[kind], 0);
}

/** Number of the first component of a kind in its layer. */
export function firstOf({ per_layer }: Layout, kind: ComponentKind): number {
  return componentKinds.slice(0, componentKinds.indexOf(kind)).reduce((sum, one) => sum + per_layer[one], 0);
}

/** Reads the values from a run folder. */
export async function readComponentValues(folder: string, layout: Layout): Promise<ComponentValues> {
  return {
    layout,
    values: {
      mask: await readLayers(join(folder, "mask.safetensors"), "mask", layout),
      gradient: await readLayers(join(folder, "energies.safetensors"), "energy", layout),
      delta: await readDelta(folder, layout),
    },
  };
}

async function readLayers(path: string, name: string, layout: Layout): Promise<Float64Array | undefined> {
  if (!await exists(path)) return undefined;
  const tensors = await readTensors(path);
  const perLayer = componentsPerLayer(layout);
  const values = new Float64Array(layout.layers * perLayer);
  for (let l = 0; l < layout.layers; l++) {
    const data = tensors.get(`${name}.layers.${l}`)?.data;
    if (data?.length !== perLayer) return undefined;
    values.set(data, l * perLayer);
  }
  return values;
}

/** Squared norms of a patch's rows, summed by component. */
async function readDelta(folder: string, layout: Layout): Promise<Float64Array | undefined> {
  if (!await exists(join(folder, "patch.safetensors"))) return undefined;
  const perLayer = componentsPerLayer(layout);
  const values = new Float64Array(layout.layers * perLayer);
  for (const { name, rows, delta, columns } of (await readPatch(folder)).tensors) {
    const [, layer, head] = name.match(/layers\.(\d+)\.(?:self_attn\.([qkv])_proj|mlp\.up_proj)\.weight$/) ??
      [];
    if (layer === undefined) continue;
    const kind = (head ?? "mlp") as ComponentKind;
    const first = Number(layer) * perLayer + firstOf(layout, kind);
    rows.forEach((row, i) => {
      const at = first + (kind === "mlp" ? row : Math.floor(row / layout.head_width));
      for (let c = i * columns; c < (i + 1) * columns; c++) values[at]! += delta[c]! ** 2;
    });
  }
  return values;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}
