/**
 * The circuit as a map: a row a layer, heads singly, neurons in bins of neighbours. One shape a shade keeps it small for models
 * of any depth. Cells are numbered left to right within a layer; the page's script finds a clicked one by its place.
 */
import { type ComponentKind, componentKinds } from "../circuit/components.ts";
import {
  componentsPerLayer,
  type ComponentValues,
  firstOf,
  type Layout,
  type Measure,
  measures,
} from "./component_values.ts";
import { label, px } from "./figure.ts";
import { attribute, html, type Markup } from "./markup.ts";
import { short } from "./numbers.ts";
import type { RunData } from "./run_data.ts";

/** Most bins of neurons in a layer. */
const mostBins = 48;
/** Shades above "nothing". */
const shades = 8;

/** A cell of the map: components `from` up to but not including `to` of a kind in every layer. */
export interface MapColumn {
  readonly kind: ComponentKind;
  readonly from: number;
  readonly to: number;
  /** Left edge in the view box. */
  readonly x: number;
}

/** Where the cells of a map lie, as the page's script reads it too. */
export interface MapGeometry {
  readonly columns: readonly MapColumn[];
  readonly layers: number;
  readonly cell_width: number;
  readonly row_height: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Lays out the cells of a model's map. */
export function mapGeometry({ layers, per_layer }: Layout): MapGeometry {
  const bins = Math.min(mostBins, per_layer.mlp);
  const cells = componentKinds.flatMap((kind) => {
    const count = kind === "mlp" ? bins : per_layer[kind];
    const edge = (i: number) => Math.round(i * per_layer[kind] / count);
    return Array.from({ length: count }, (_, i) => ({ kind, from: edge(i), to: edge(i + 1) }));
  });
  const [left, top, gap] = [60, 52, 14];
  const cell_width = Math.max(7, Math.min(18, Math.floor((860 - left) / cells.length)));
  const row_height = layers > 16 ? 14 : 22;
  let x = left;
  const columns = cells.map((cell, i) => {
    if (i > 0 && cells[i - 1]!.kind !== cell.kind) x += gap;
    const column = { ...cell, x };
    x += cell_width;
    return column;
  });
  return {
    columns,
    layers,
    cell_width,
    row_height,
    top,
    width: x + 10,
    height: top + layers * row_height + 10,
  };
}

const titles: Readonly<Record<Measure, string>> = {
  mask: "learned mask, averaged over a bin's neurons",
  gradient: "norm of the task's gradient",
  delta: "norm of the change",
};

const kindTitles: Readonly<Record<ComponentKind, string>> = {
  q: "q heads",
  k: "k heads",
  v: "v heads",
  mlp: "MLP neurons, binned",
};

/** Values of all cells, [layers · columns]. */
export function cellValues(
  { layout, values }: ComponentValues,
  measure: Measure,
  { columns }: MapGeometry,
): Float64Array | undefined {
  const all = values[measure];
  if (!all) return undefined;
  const perLayer = componentsPerLayer(layout);
  return Float64Array.from({ length: layout.layers * columns.length }, (_, i) => {
    const { kind, from, to } = columns[i % columns.length]!;
    const first = Math.floor(i / columns.length) * perLayer + firstOf(layout, kind);
    const sum = all.subarray(first + from, first + to).reduce((sum, value) => sum + value, 0);
    return measure === "mask" ? sum / (to - from) : Math.sqrt(sum);
  });
}

/** The map with its toggles; listings of cells are made by the page's script. */
export function heatMap({ components }: RunData): Markup | undefined {
  if (!components) return undefined;
  const geometry = mapGeometry(components.layout);
  const drawn = measures.flatMap((measure) => {
    const values = cellValues(components, measure, geometry);
    return values ? [{ measure, values }] : [];
  });
  if (drawn.length === 0) return undefined;
  const { columns, layers, top, row_height, width, height, cell_width } = geometry;
  const groups = componentKinds.flatMap((kind) => {
    const x = columns.find((column) => column.kind === kind)?.x;
    return x === undefined ? [] : [{ kind, x }];
  });
  const every = Math.ceil(layers / 40);
  return html`
    <fieldset class="toggles"><legend>shade by</legend>${drawn.map(({ measure }, i) =>
      html`<label><input type="radio" name="measure" value="${measure}" ${
        attribute("checked", i === 0)
      }> ${measure}</label>`
    )}</fieldset>
    <figure id="map">
      <div class="plot" tabindex="0" role="region" aria-label="Map of the circuit: arrow keys move between cells">
        <svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img"
          aria-label="Components by layer and kind">
    ${groups.map(({ kind, x }, i) => label(x, 14 + 13 * (i % 3), kindTitles[kind]))}
    ${Array.from(
      { length: layers },
      (_, l) =>
        l % every === 0 &&
        label(52, top + (l + 0.7) * row_height, `layer ${l}`, { anchor: "end", className: "tick" }),
    )}
    ${drawn.map(({ measure, values }, i) =>
      html`
        <g class="measure" data-measure="${measure}" ${attribute("hidden", i > 0)}>${shadesOf(
          values,
          geometry,
          measure === "mask" ? 1 : 0.5,
        )}</g>
      `
    )}${membersOf(components, geometry)}<rect id="cursor" width="${cell_width}" height="${row_height -
      2}" x="-99" y="-99"/></svg>
      </div>
      <figcaption>${drawn.map(({ measure, values }, i) =>
        html`
          <span data-measure="${measure}" ${attribute(
            "hidden",
            i > 0,
          )}>Shade: ${titles[measure]}, of ${extent(values, geometry)}.</span>
        `
      )}A dot marks heads of the circuit, and small bins with neurons of it. Choose a cell to list its components.</figcaption>
    </figure>
    ${members(components)}
    <div id="cell" aria-live="polite"></div>
    <noscript><p>Shading by gradient and change, and listings of cells, need scripts.</p></noscript>
  `;
}

/** The circuit's components by layer, most of them heads; so many neurons that nobody reads them are only counted. */
function members({ layout, values: { mask } }: ComponentValues): Markup | undefined {
  if (!mask) return undefined;
  const perLayer = componentsPerLayer(layout);
  const rows = Array.from({ length: layout.layers }, (_, layer) => {
    const kinds = componentKinds.flatMap((kind) => {
      const first = layer * perLayer + firstOf(layout, kind);
      const own = [...mask.subarray(first, first + layout.per_layer[kind])].flatMap((value, n) =>
        value > 0.5 ? [n] : []
      );
      if (own.length === 0) return [];
      const name = kind === "mlp" ? "neuron" : `${kind}-head`;
      const more = own.length > mostNamed ? ` and ${own.length - mostNamed} more` : "";
      return [`${name}${own.length > 1 ? "s" : ""} ${own.slice(0, mostNamed).join(", ")}${more}`];
    });
    return kinds.length > 0 && html`<li>layer ${layer}: ${kinds.join("; ")}</li>`;
  });
  return html`
    <details>
      <summary>all components of the circuit</summary>
      <ul>${rows}</ul>
    </details>
  `;
}

/** Most components of a kind in a layer that are named. */
const mostNamed = 40;

/** How far the shades reach, in words. */
function extent(values: Float64Array, geometry: MapGeometry): string {
  const { heads, neurons } = highestOf(values, geometry);
  return `heads from 0 to ${short(heads)}, of neurons from 0 to ${short(neurons)}`;
}

/** The largest values of heads and of bins of neurons: each has its own scale, as one head outweighs any bin. */
function highestOf(values: Float64Array, { columns }: MapGeometry): { heads: number; neurons: number } {
  const highest = { heads: 0, neurons: 0 };
  values.forEach((value, i) => {
    const group = columns[i % columns.length]!.kind === "mlp" ? "neurons" : "heads";
    highest[group] = Math.max(highest[group], value);
  });
  return highest;
}

/** One path for each shade in use. A power below 1 tells small shares from none. */
function shadesOf(values: Float64Array, geometry: MapGeometry, power: number): Markup {
  const { columns, cell_width, row_height, top } = geometry;
  const { heads, neurons } = highestOf(values, geometry);
  const paths = Array.from({ length: shades + 1 }, () => "");
  values.forEach((value, i) => {
    const highest = (columns[i % columns.length]!.kind === "mlp" ? neurons : heads) || 1;
    const shade = Math.ceil(shades * (Math.max(0, value) / highest) ** power);
    const [w, h] = [cell_width - 1, row_height - 2];
    const [x, y] = [columns[i % columns.length]!.x, top + Math.floor(i / columns.length) * row_height];
    paths[shade] += `M${px(x)} ${px(y)}h${w}v${h}h-${w}z`;
  });
  return html`${
    paths.map((d, shade) =>
      d !== "" && html`
        <path class="shade${shade}" d="${d}" />
      `
    )
  }`;
}

/** Larger bins nearly all hold some neuron of a circuit, so that a dot would say nothing. */
const mostDotted = 16;

/** A dot in every cell that holds a component of the circuit. */
function membersOf({ layout, values: { mask } }: ComponentValues, geometry: MapGeometry): Markup | undefined {
  if (!mask) return undefined;
  const { columns, cell_width, row_height, top } = geometry;
  const perLayer = componentsPerLayer(layout);
  let dots = "";
  for (let layer = 0; layer < layout.layers; layer++) {
    for (const { kind, from, to, x } of columns) {
      if (to - from > mostDotted) continue;
      const first = layer * perLayer + firstOf(layout, kind);
      if (!mask.subarray(first + from, first + to).some((value) => value > 0.5)) continue;
      const [centre, middle] = [x + (cell_width - 1) / 2, top + (layer + 0.5) * row_height - 1];
      dots += `M${px(centre - 2)} ${px(middle)}a2 2 0 1 0 4 0a2 2 0 1 0-4 0z`;
    }
  }
  return html`
    <path class="member" d="${dots}" />
  `;
}

/** Most components that are listed where a model has more; a circuit that is larger is listed up to the second. */
const mostListed = [4000, 12_000] as const;

/**
 * Components for the listings: all of a small model, else the selected ones and those with the most gradient.
 * Each is layer, kind, number, mask, norm of gradient, norm of change.
 */
export function listedComponents(
  { layout, values: { mask, gradient, delta } }: ComponentValues,
): (readonly [number, ComponentKind, number, number | null, number | null, number | null])[] {
  const perLayer = componentsPerLayer(layout);
  let indices = Array.from({ length: layout.layers * perLayer }, (_, i) => i);
  const selected = mask?.reduce((count, value) => value > 0.5 ? count + 1 : count, 0) ?? 0;
  const most = Math.min(mostListed[1], Math.max(mostListed[0], selected));
  if (indices.length > most) {
    const rank = (i: number) => [Number((mask?.[i] ?? 0) > 0.5), gradient?.[i] ?? 0] as const;
    indices.sort((a, b) => rank(b)[0] - rank(a)[0] || rank(b)[1] - rank(a)[1]);
    indices = indices.slice(0, most).sort((a, b) => a - b);
  }
  const rounded = (value: number | undefined) => value === undefined ? null : Number(value.toPrecision(3));
  const norm = (squared: number | undefined) => squared === undefined ? undefined : Math.sqrt(squared);
  return indices.map((i) => {
    const kind = componentKinds.findLast((kind) =>
      firstOf(layout, kind) <= i % perLayer && layout.per_layer[kind] > 0
    )!;
    const number = i % perLayer - firstOf(layout, kind);
    const layer = Math.floor(i / perLayer);
    return [
      layer,
      kind,
      number,
      rounded(mask?.[i]),
      rounded(norm(gradient?.[i])),
      rounded(norm(delta?.[i])),
    ] as const;
  });
}
