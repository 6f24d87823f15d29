/** report.html: writing it for a run folder, or one page that compares several. */
import { dirname, join } from "node:path";
import { InputError } from "../errors.ts";
import { readJsonObject } from "../json_objects.ts";
import { requireWritable, writeAtomically } from "../files.ts";
import { comparisonPage } from "./comparison_page.ts";
import { readRun } from "./run_data.ts";
import { runPage } from "./run_page.ts";

/** Most runs on one page. */
const mostRuns = 5;

/**
 * Writes the report of a run folder into it, or to `out`; returns where it is.
 * @throws {InputError} for a folder that holds no finished run.
 */
export async function writeReport(
  folder: string,
  out: string = join(folder, "report.html"),
): Promise<string> {
  return await writePage(out, runPage(await readRun(folder)));
}

/**
 * Writes a page that compares two to five runs.
 * @throws {InputError} for fewer or more, or a folder that holds no finished run.
 */
export async function writeComparison(folders: readonly string[], out: string): Promise<string> {
  if (folders.length < 2 || folders.length > mostRuns) {
    throw new InputError(
      `A page compares two to ${mostRuns} runs, not ${folders.length}; name fewer or more.`,
    );
  }
  const runs = [];
  for (const folder of folders) runs.push(await readRun(folder));
  return await writePage(out, comparisonPage(runs));
}

/** The run folders that a path stands for: those of its seeds where it holds the runs of several, else itself. */
export async function runFoldersAt(path: string): Promise<string[]> {
  const { seeds } = await readJsonObject(join(path, "summary.json")) ?? {};
  return Array.isArray(seeds) ? seeds.map((seed) => join(path, `seed-${seed}`)) : [path];
}

/**
 * Writes a page to a file, whole or not at all.
 * @throws {InputError} where it cannot be written.
 */
export async function writePage(out: string, text: string): Promise<string> {
  if (await Deno.stat(out).then(({ isDirectory }) => isDirectory, () => false)) {
    throw new InputError(`"${out}" is a folder; name the file to write.`, "out");
  }
  await requireWritable(dirname(out));
  await writeAtomically(out, text);
  return out;
}
