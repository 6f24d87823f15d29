/** report: a page to look at, of one run or comparing several. */
import { join } from "node:path";
import { InputError } from "../engine/errors.ts";
import { runFoldersAt, writeComparison, writeReport } from "../engine/report/write_report.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { text } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";
import { print, printJson } from "./terminal.ts";

export const report = defineCommand({
  name: "report",
  summary:
    "Writes the page of a finished run, or one page that compares two to five runs; one file that needs no network. A folder of several seeds stands for the runs of its seeds.",
  arguments: "RUN [RUN…]",
  settings: {
    out: setting({
      name: "out",
      type: text("FILE"),
      otherwise: "report.html in the run folder; comparison.html here for several",
      help: "HTML file to write",
      example: "report.html",
    }),
  },
  async run({ out, json }, paths) {
    const folders = (await Promise.all(paths.map(runFoldersAt))).flat();
    const [first] = folders;
    if (first === undefined) throw new InputError("Give a run folder, or several to compare.");
    const path = folders.length === 1
      ? await writeReport(first, out ?? join(first, "report.html"))
      : await writeComparison(folders, out ?? "comparison.html");
    print(`report in ${path}`);
    if (json) printJson({ out: path, runs: folders });
  },
});

if (import.meta.main) await runCommand(report);
