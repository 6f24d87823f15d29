/** Completions as text that comes piece by piece: one after the other, though they are generated side by side. */

/** Told of a piece of a sample's text; `ended` with its last, which may be empty. */
export type OnText = (part: string, sample: number, ended: boolean) => void;

/** See file comment. */
export class CompletionStream {
  readonly #texts: { text: string; ended: boolean }[] = [];
  #current = 0;
  #shown = 0;

  /** `onText` is told of every sample's whole text in pieces, of one sample after the other. */
  constructor(private readonly onText: OnText) {}

  /** Takes a sample's text so far. What may still change at its end is held back, as is a beginning of one of the `stop` texts. */
  update(sample: number, text: string, ended: boolean, stop: readonly string[] = []): void {
    this.#texts[sample] = { text: ended ? text : settledPart(text, stop), ended };
    for (let at; (at = this.#texts[this.#current]) !== undefined;) {
      const part = at.text.slice(this.#shown);
      if (part !== "" || at.ended) this.onText(part, this.#current, at.ended);
      this.#shown = Math.max(this.#shown, at.text.length);
      if (!at.ended) return;
      this.#current++;
      this.#shown = 0;
    }
  }
}

/** The beginning of an unfinished text that later tokens leave as it is: without half a character, spaces at its end, or the beginning of a stop text. */
export function settledPart(text: string, stop: readonly string[]): string {
  const whole = text.replace(/[\s\ufffd]+$/, "");
  const begun = stop.flatMap((end) =>
    Array.from({ length: Math.min(end.length, text.length) }, (_, i) => end.slice(0, i + 1))
  ).filter((beginning) => text.endsWith(beginning)).map(({ length }) => text.length - length);
  return text.slice(0, Math.min(whole.length, ...begun));
}
