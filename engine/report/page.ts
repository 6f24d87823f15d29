/** The page around a report's parts: one file that asks the network for nothing and says so to the browser. */
import { html, Markup, scriptJson } from "./markup.ts";
import script from "./page.js" with { type: "text" };
import style from "./page.css" with { type: "text" };

/** A part of a report; one whose body is undefined says what the run folder lacks for it. */
export interface Part {
  readonly id: string;
  readonly title: string;
  readonly body: Markup | undefined;
}

/** The whole page. */
export function page(
  { title, intro, parts, data }: { title: string; intro: Markup; parts: readonly Part[]; data: unknown },
): string {
  const whole = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
        <title>${title}</title>
        <style>
    ${new Markup(style)}</style>
      </head>
      <body>
        <a class="skip" href="#${parts[0]!.id}">to the contents</a>
        <header><h1>${title}</h1>
    ${intro}<nav aria-label="parts"><ul>${parts.map(({ id, title }) =>
      html`<li><a href="#${id}">${title}</a></li>`
    )}</ul></nav></header>
        <main>
    ${parts.map(({ id, title, body }) =>
      html`
        <section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
        ${body ?? html`<p class="missing">The run folder does not hold what this part shows.</p>`}</section>
      `
    )}</main>
        <script type="application/json" id="data">${scriptJson(data)}</script>
        <script>
    ${new Markup(script)}</script>
      </body>
    </html>
  `;
  return whole.text;
}
