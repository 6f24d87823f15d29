/** The result by template, and the cost by stage: tables with a bar in each row. */
import { html, type Markup } from "./markup.ts";
import { duration, percent, points, whole } from "./numbers.ts";
import { px } from "./figure.ts";
import type { RunData } from "./run_data.ts";
import { sortableTable } from "./table.ts";

/** Accuracy of each template before and after. */
export function templatesTable({ summary: { per_template }, answers }: RunData): Markup {
  const sizes = Map.groupBy(answers ?? [], ({ template_id }) => template_id);
  const rows = Object.entries(per_template);
  const gained = rows.filter(([, { base, amplified }]) => amplified > base).length;
  const lost = rows.filter(([, { base, amplified }]) => amplified < base).length;
  return html`<p>${rows.length} templates: ${gained} gained, ${lost} lost, ${
    rows.length - gained - lost
  } as before. Open circle: before; filled: after.</p>
${
    sortableTable(
      "templates",
      [
        { title: "template", text: true },
        ...(answers ? [{ title: "problems" }] : []),
        { title: "before" },
        { title: "after" },
        { title: "change in points" },
        { title: "0 to 100 %", text: true },
      ],
      rows.map(([name, { base, amplified }]) => [
        { text: name, value: name },
        ...(answers ? [cell(whole(sizes.get(name)?.length ?? 0), sizes.get(name)?.length ?? 0)] : []),
        cell(percent(base), base),
        cell(percent(amplified), amplified),
        cell(points(amplified - base), amplified - base),
        { text: dumbbell(base, amplified), value: amplified },
      ]),
    )
  }`;
}

const cell = (text: string, value: number) => ({ text, value });

function dumbbell(base: number, amplified: number): Markup {
  const [from, to] = [6 + 148 * base, 6 + 148 * amplified];
  return html`
    <svg viewBox="0 0 160 12" width="160" height="12" aria-hidden="true">
      <line class="grid" x1="6" x2="154" y1="6" y2="6" />
      <line class="interval" x1="${px(from)}" x2="${px(to)}" y1="6" y2="6" />
      <circle class="before" cx="${px(from)}" cy="6" r="4" />
      <circle class="after" cx="${px(to)}" cy="6" r="4" />
    </svg>
  `;
}

/** Seconds of each stage. */
export function costTable({ summary: { seconds, adapter } }: RunData): Markup {
  const { total = Object.values(seconds).reduce((a, b) => a + b, 0), ...stages } = seconds;
  const rows = Object.entries(stages);
  return html`<p>${duration(total)} in all on ${adapter}.</p>
${
    sortableTable(
      "cost",
      [{ title: "stage", text: true }, { title: "time" }, { title: "share" }, {
        title: "0 to 100 %",
        text: true,
      }],
      rows.map(([name, spent]) => {
        const share = total > 0 ? spent / total : 0;
        return [
          { text: name, value: name },
          cell(duration(spent), spent),
          cell(percent(share), share),
          {
            text: html`
              <svg viewBox="0 0 160 12" width="160" height="12" aria-hidden="true">
                <rect class="bar" x="0" y="1" width="${px(160 * share)}" height="10" />
              </svg>
            `,
            value: share,
          },
        ];
      }),
    )
  }`;
}
