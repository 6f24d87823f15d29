/** The report of one run, part by part. */
import { armsTable, stripPlots } from "./arms.ts";
import { costTable, templatesTable } from "./breakdowns.ts";
import { answerBrowser, pivotBrowser } from "./browsers.ts";
import { curves, triesTable } from "./curves.ts";
import { dataBlock } from "./data_block.ts";
import { heatMap } from "./heat_map.ts";
import { html, type Markup } from "./markup.ts";
import { percent, points, short, whole } from "./numbers.ts";
import { page } from "./page.ts";
import type { RunData } from "./run_data.ts";

/** The page as text. */
export function runPage(run: RunData): string {
  const { summary } = run;
  return page({
    title: `Circuit Amp: ${run.name}`,
    intro: html`
      <p>${summary.model} on ${summary.data}, seed ${summary.seed}, ${summary.adapter}</p>
    `,
    parts: [
      { id: "verdict", title: "Verdict", body: verdict(run) },
      { id: "table", title: "Arms", body: armsTable(run) },
      { id: "draws", title: "Circuit and controls", body: stripPlots(run) },
      { id: "circuit", title: "Circuit", body: heatMap(run) },
      { id: "pivots", title: "Pivots", body: pivotBrowser(run) },
      { id: "answers", title: "Answers", body: answerBrowser(run) },
      { id: "curves", title: "Curves", body: html`${curves(run)}${triesTable(run)}` },
      { id: "by-template", title: "Templates", body: templatesTable(run) },
      { id: "by-stage", title: "Cost", body: costTable(run) },
      { id: "again", title: "Again", body: reproduction(run) },
    ],
    data: dataBlock(run),
  });
}

function verdict({ summary }: RunData): Markup {
  const { accuracy, components, flips, fused, other_abilities, changed_parameters_percent } = summary;
  const [low, high] = accuracy.ci95;
  return html`
    <ul class="verdict">${summary.verdict.map((sentence) => html`<li>${sentence}</li>`)}</ul>
    <dl class="figures">
    <div><dt>accuracy</dt><dd>${percent(accuracy.base)} → ${percent(accuracy.amplified)}</dd><dd>${points(
      accuracy.gain,
    )} points, 95 % interval ${points(low)} to ${points(high)}</dd></div>
    <div><dt>answers</dt><dd>${flips.positive} became right, ${flips
      .negative} became wrong</dd><dd>McNemar p = ${short(flips.mcnemar_p)}</dd></div>
    <div><dt>circuit</dt><dd>${whole(components.selected)} of ${whole(
      components.total,
    )} components</dd><dd>from ${whole(summary.localization_examples)} pivots; ${short(
      changed_parameters_percent,
    )} % of the model's values could move</dd></div>
    ${Object.entries(other_abilities).map(([name, { base, amplified }]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${percent(base)} → ${percent(amplified)}</dd>
          <dd>${points(amplified - base)} points</dd>
        </div>
      `
    )}${fused && html`
      <div>
        <dt>fused as ${fused.dtype}</dt>
        <dd>${percent(fused.accuracy)}</dd>
      </div>
    `}</dl>
  `;
}

/** How to make the run again, and with what it was made. */
export function reproduction({ folder, config, summary }: RunData): Markup {
  if (!config) return html`<p class="missing">The run folder holds no config.json.</p>`;
  const commit = config.model_commit !== undefined && html`, model at commit ${config.model_commit}`;
  return html`
    <p>Save the settings below as settings.json, or use the run's own config.json:</p>
    <pre tabindex="0">deno task amplify --config ${quoted(
      `${folder.replace(/\/+$/, "")}/config.json`,
    )} --out runs/again</pre>
    <p>Made by Circuit Amp ${config.versions.circuit_amp ?? ""} on Deno ${config.versions.deno ??
      ""} and ${summary.adapter}${commit}.</p>
    <details>
      <summary>settings</summary>
      <pre tabindex="0">${JSON.stringify(config.settings, null, 2)}</pre>
    </details>
  `;
}

/** A path as a shell reads it. */
const quoted = (path: string) => /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
