/** trace: a prompt token by token. */
import { Gpu } from "../engine/gpu/gpu.ts";
import { likelihood } from "../engine/report/numbers.ts";
import { tracePage } from "../engine/report/trace_page.ts";
import { writePage } from "../engine/report/write_report.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { startDefinitions } from "../engine/run/settings/start.ts";
import { text } from "../engine/run/settings/value_types.ts";
import { checkTrace, runTrace, traceRunDefinitions } from "../engine/run/trace_run.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const trace = defineCommand({
  name: "trace",
  summary:
    "Shows a prompt token by token: how probable each was, what was expected, and what each layer expects at the end.",
  settings: {
    ...traceRunDefinitions,
    start: startDefinitions,
    out: setting({
      name: "out",
      type: text("FILE"),
      otherwise: "none",
      help: "HTML file to write, with what every layer expects after every token",
      example: "trace.html",
    }),
  },
  async run({ start, out, json, quiet, config: _, ...settings }) {
    checkTrace(settings);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    const report = await runTrace(gpu, settings, {
      ...start,
      progress: display.report,
      notice: display.notice,
    });
    const { depths, tokens } = report;
    const widest = Math.max(...tokens.map(({ text }) => JSON.stringify(text).length));
    for (const { position, text, probability, rank, expected } of tokens) {
      const was = probability === null ? "" : `${likelihood(probability)}, rank ${rank}`;
      const next = expected.map(({ text, probability }) =>
        `${JSON.stringify(text)} ${likelihood(probability)}`
      );
      print(
        `${String(position).padStart(4)}  ${JSON.stringify(text).padEnd(widest)}  ${was.padEnd(18)}  → ${
          next.join(", ")
        }`,
      );
    }
    print("\nAfter the last token, by depth:");
    tokens.at(-1)!.lens.forEach(({ text, probability }, d) =>
      print(`  ${depths[d]!.padEnd(10)}  ${JSON.stringify(text)} ${likelihood(probability)}`)
    );
    if (out !== undefined) print(`\npage in ${await writePage(out, tracePage(report))}`);
    if (json) printJson(report);
  },
});

if (import.meta.main) await runCommand(trace);
