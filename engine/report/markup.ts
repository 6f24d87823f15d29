/** HTML and SVG as text in which everything that is not markup itself is escaped. */

/** Text that is markup already. */
export class Markup {
  constructor(readonly text: string) {}
}

/** What a template may hold: markup as it is, text and numbers escaped, lists joined, nothing for undefined and false. */
export type Piece = Markup | string | number | undefined | false | readonly Piece[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as HTML shows it, in attributes too. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

function textOf(piece: Piece): string {
  if (piece instanceof Markup) return piece.text;
  if (Array.isArray(piece)) return piece.map(textOf).join("");
  return piece === undefined || piece === false ? "" : escapeText(String(piece));
}

/** Template literal of markup. */
export function html(parts: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  return new Markup(parts.map((part, i) => part + textOf(pieces[i])).join(""));
}

/** A value as JSON that may stand in a script element: no character in it can end the element or open a comment. */
export function scriptJson(value: unknown): Markup {
  return new Markup(
    JSON.stringify(value).replace(
      /[<>&\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  );
}

/** An attribute without a value, where it is to stand. */
export function attribute(name: "checked" | "hidden", stands: boolean): Markup | undefined {
  return stands ? new Markup(name) : undefined;
}
