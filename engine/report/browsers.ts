/** The frames of the two browsers, pivots and answers; the page's script fills them from the data block. */
import { shownAnswers, shownPivots } from "./data_block.ts";
import { html, type Markup } from "./markup.ts";
import { whole } from "./numbers.ts";
import type { RunData } from "./run_data.ts";

const needsScript =
  html`<noscript><p>This part needs scripts; its contents are in the data block of this file.</p></noscript>`;

/** What is said where a page does not hold all there is. */
function leftOut(shown: number, all: number, what: string): Markup | undefined {
  if (shown === all) return undefined;
  return html`<p>Of ${whole(all)} ${what} this page holds ${whole(shown)}; the run folder holds all.</p>`;
}

/** Token strips of the pivots. */
export function pivotBrowser(run: RunData): Markup | undefined {
  const shown = shownPivots(run);
  if (!run.pivots || !shown || shown.length === 0) return undefined;
  const templates = [...new Set(shown.map(({ template_id }) => template_id))];
  return html`
    <p>A pivot is the token where a right and a wrong answer to the same question part: after the same tokens the one goes on
    with the desired token, the other with the undesired one. The circuit was found, and is updated, to prefer the desired.</p>
    ${leftOut(shown.length, run.pivots.length, "pivots")}
    <form id="pivot-form" class="filters" role="search" aria-label="pivots">
    <label>show <select name="pivots"><option value="all">all pivots</option><option value="won">undesired before, desired after</option><option value="lost">desired before, undesired after</option><option value="wrong">undesired before and after</option><option value="greedy-wrong">of answers that began wrong</option></select></label>
    ${templateSelect("pivot_template", templates)}
    <label>search <input type="search" name="pivot_q" autocomplete="off"></label>
    <span class="steps"><button type="button" data-step="-1">previous</button> <output name="place"></output> <button type="button" data-step="1">next</button></span>
    </form>
    <div id="pivot" aria-live="polite"></div>
    ${needsScript}
  `;
}

/** Answers of both models side by side. */
export function answerBrowser(run: RunData): Markup | undefined {
  const shown = shownAnswers(run);
  if (!run.answers || !shown || shown.length === 0) return undefined;
  const templates = [...new Set(shown.map(({ template_id }) => template_id))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true })
  );
  return html`
    ${leftOut(shown.length, run.answers.length, "answers")}
    <form id="answer-form" class="filters" role="search" aria-label="answers">
    <label>show <select name="answers"><option value="flipped">answers that flipped</option><option value="positive">became right</option><option value="negative">became wrong</option><option value="changed">changed in any way</option><option value="right">right before and after</option><option value="wrong">wrong before and after</option><option value="all">all answers</option></select></label>
    ${templateSelect("answer_template", templates)}
    <label>search <input type="search" name="answer_q" autocomplete="off"></label>
    <output name="count" aria-live="polite"></output>
    </form>
    <div id="answer-list"></div>
    <button type="button" id="more-answers" hidden>show more</button>
    ${needsScript}
  `;
}

function templateSelect(name: string, templates: readonly string[]): Markup {
  return html`<label>template <select name="${name}"><option value="">any</option>${
    templates.map((template) => html`<option>${template}</option>`)
  }</select></label>`;
}
