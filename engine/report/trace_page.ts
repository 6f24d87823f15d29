/** A trace as a page: a row a token, a column a depth; shade and number say how probable the likeliest token is there. */
import type { TokenTrace, TracedToken } from "../model/token_trace.ts";
import { html, type Markup } from "./markup.ts";
import { likelihood } from "./numbers.ts";
import { page } from "./page.ts";

/** The page as text. */
export function tracePage(
  trace: TokenTrace & { readonly model: string; readonly patch?: string | undefined },
): string {
  const { model, patch, tokens } = trace;
  return page({
    title: "Circuit Amp: trace",
    intro: html`<p>${tokens.length} tokens through ${model}${
      patch !== undefined && html`
        with the patch of ${patch}
      `
    }</p>`,
    parts: [
      { id: "tokens", title: "Tokens", body: tokenTable(trace) },
      { id: "lens", title: "Logit lens", body: lensTable(trace) },
    ],
    data: trace,
  });
}

/** A token with what cannot be seen in it made visible. */
const visible = (text: string) =>
  text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";

function tokenTable({ tokens }: TokenTrace): Markup {
  return html`<p>How probable each token was after those before it, its rank among all tokens, and what was expected after it.</p>
    ${
    scrolling(
      "tokens",
      ["token", "probability", "rank", "expected next"],
      tokens.map(({ text, probability, rank, expected }) => [
        html`<th scope="row">${visible(text)}</th>`,
        html`<td>${probability === null ? "" : likelihood(probability)}</td>`,
        html`<td>${rank ?? ""}</td>`,
        html`<td class="words">${
          expected.map(({ text, probability }) => `${visible(text)} ${likelihood(probability)}`).join(", ")
        }</td>`,
      ]),
    )
  }`;
}

function lensTable({ depths, tokens }: TokenTrace): Markup {
  return html`<p>The likeliest next token if the model ended at this depth, and its probability; framed where it is the token that follows.</p>
    ${
    scrolling(
      "lens",
      ["after", ...depths],
      tokens.map((token, i) => [
        html`<th scope="row">${visible(token.text)}</th>`,
        ...token.lens.map((_, d) => lensCell(token, d, tokens[i + 1])),
      ]),
    )
  }`;
}

function lensCell({ lens }: TracedToken, depth: number, next: TracedToken | undefined): Markup {
  const { text, probability, next_probability } = lens[depth]!;
  // Shades up to the middle of the scale keep the text on them readable.
  const shade = Math.min(4, Math.floor(5 * probability));
  const follows = next !== undefined && next.text === text;
  const title = next_probability === null ? "" : `${visible(next!.text)}: ${likelihood(next_probability)}`;
  return html`<td class="lens back${shade}${follows ? " follows" : ""}" title="${title}">${visible(text)} ${
    likelihood(probability)
  }</td>`;
}

function scrolling(name: string, titles: readonly string[], rows: readonly (readonly Markup[])[]): Markup {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="table of ${name}">
      <table>
        <thead>
          <tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr>
        </thead>
        <tbody>${rows.map((cells) => html`<tr>${cells}</tr>`)}</tbody>
      </table>
    </div>
  `;
}
