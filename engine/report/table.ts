/** Tables whose rows a reader can sort. */
import { html, type Markup } from "./markup.ts";

/** A column: its title, and whether its cells are words rather than numbers. */
export interface Column {
  readonly title: string;
  readonly text?: boolean;
}

/** A cell: what it shows, and by what its row is sorted. */
export interface Cell {
  readonly text: string | Markup;
  readonly value: number | string;
}

/** A table that scrolls sideways where the screen is narrower; the page's script makes its titles sort. */
export function sortableTable(
  id: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): Markup {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="table of ${id}">
      <table id="${id}" class="sortable">
        <thead>
          <tr>${columns.map(({ title, text }) =>
            html`
              <th scope="col" class="${text ? "words" : ""}">${title}</th>
            `
          )}</tr>
        </thead>
        <tbody>
    ${rows.map((cells) =>
      html`
        <tr>${cells.map(({ text, value }, i) =>
          i === 0 ? html`<th scope="row" data-value="${value}">${text}</th>` : html`
            <td data-value="${value}" class="${columns[i]?.text ? "words" : ""}">${text}</td>
          `
        )}</tr>
      `
    )}</tbody>
      </table>
    </div>
  `;
}
