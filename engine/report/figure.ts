/** What all plots share: SVG shapes, axes, and the figure around them. Places are pixels of the view box. */
import { html, type Markup, type Piece } from "./markup.ts";
import type { Scale } from "./scale.ts";

/** A place on a plot, to a tenth of a pixel. */
export const px = (value: number): number => Number(value.toFixed(1));

/** A plot with its name for those who do not see it, and its caption; scrolls sideways where the screen is narrower. */
export function figure(
  { id, width, height, label, caption, body }: {
    id: string;
    width: number;
    height: number;
    /** What it shows, for screen readers. */
    label: string;
    caption?: Piece;
    body: Piece;
  },
): Markup {
  return html`
    <figure id="${id}"><div class="plot" tabindex="0" role="region" aria-label="${label}">
    <svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${label}">${body}</svg>
    </div>${caption && html`<figcaption>${caption}</figcaption>`}</figure>
  `;
}

/** Nothing: what has a place that is no number is not drawn. */
const nothing = html``;

/** Text at a place. */
export function label(
  x: number,
  y: number,
  text: string,
  { anchor = "start", className = "" }: { anchor?: "start" | "middle" | "end"; className?: string } = {},
): Markup {
  if (!Number.isFinite(x + y)) return nothing;
  return html`
    <text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" class="${className}">${text}</text>
  `;
}

/** A straight line. */
export function line(x1: number, y1: number, x2: number, y2: number, className: string): Markup {
  if (!Number.isFinite(x1 + y1 + x2 + y2)) return nothing;
  return html`
    <line class="${className}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" />
  `;
}

/** Marks that differ in shape as well as in colour. */
export type Shape = "dot" | "diamond" | "square" | "triangle";

/** A mark at a place, with what hovering over it says. */
export function mark(x: number, y: number, shape: Shape, className: string, title?: string): Markup {
  if (!Number.isFinite(x + y)) return nothing;
  const outlines: Record<Shape, string> = {
    dot: "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    diamond: "m0-7l7 7l-7 7l-7-7z",
    square: "m-4-4h8v8h-8z",
    triangle: "m0-5l5 9h-10z",
  };
  return html`<path class="mark ${className}" d="M${px(x)} ${px(y)}${outlines[shape]}">${
    title !== undefined && html`<title>${title}</title>`
  }</path>`;
}

/** Points joined by a line. */
export function path(points: readonly (readonly [x: number, y: number])[], className: string): Markup {
  return html`
    <path class="${className}" d="${points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x)} ${px(y)}`).join(
      "",
    )}" />
  `;
}

/** A horizontal axis below a plot, its grid lines between `top` and `bottom`. */
export function bottomAxis(
  scale: Scale,
  { top, bottom, title, format }: {
    top: number;
    bottom: number;
    title: string;
    format: (tick: number) => string;
  },
): Markup {
  const places = scale.ticks.map(scale.at);
  return html`${
    scale.ticks.map((tick, i) => [
      line(places[i]!, top, places[i]!, bottom, "grid"),
      label(places[i]!, bottom + 15, format(tick), { anchor: "middle", className: "tick" }),
    ])
  }${label(scale.middle, bottom + 32, title, { anchor: "middle" })}`;
}

/** A vertical axis at the left of a plot, its grid lines between `left` and `right`; its title stands on top. */
export function leftAxis(
  scale: Scale,
  { left, right, title, top, format }: {
    left: number;
    right: number;
    top: number;
    title: string;
    format: (tick: number) => string;
  },
): Markup {
  return html`${label(0, top - 10, title)}${
    scale.ticks.map((tick) => [
      line(left, scale.at(tick), right, scale.at(tick), "grid"),
      label(left - 6, scale.at(tick) + 4, format(tick), { anchor: "end", className: "tick" }),
    ])
  }`;
}
