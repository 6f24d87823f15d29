/** Folders of template files, sampled into the rows of a data file. */
import { basename, join } from "node:path";
import { InputError } from "../../errors.ts";
import { readJsonObject } from "../../json_objects.ts";
import { type Instance, readTemplate, sampleTemplate } from "./template.ts";

/** How a folder is sampled. */
export interface FolderOptions {
  /** Distinct instances of each template. */
  readonly instances: number;
  /** Of all draws. */
  readonly seed: number | string;
  /** Told of templates that could not be sampled or contradict themselves, a sentence each. */
  readonly notice?: (sentence: string) => void;
}

/**
 * Samples every `*.json` of a folder, in the order of their names. A template that cannot be read or sampled is told and left out.
 * @throws {InputError} for a folder without templates, and where none could be sampled.
 */
export async function sampleFolder(
  folder: string,
  { instances, seed, notice }: FolderOptions,
): Promise<Instance[]> {
  const files: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile && name.endsWith(".json")) files.push(name);
    }
  } catch {
    throw new InputError(`Folder "${folder}" cannot be read; give a folder of template files.`, "templates");
  }
  if (files.length === 0) {
    throw new InputError(`Folder "${folder}" holds no template files (*.json).`, "templates");
  }
  const rows: Instance[] = [];
  for (const file of files.sort()) {
    const path = join(folder, file);
    try {
      rows.push(
        ...sampleTemplate(
          readTemplate(await readJsonObject(path), path),
          instances,
          seed,
          basename(path),
          notice,
        ),
      );
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      notice?.(`${error.message} It is left out.`);
    }
  }
  if (rows.length === 0) {
    throw new InputError(
      `None of the ${files.length} templates in "${folder}" could be sampled.`,
      "templates",
    );
  }
  return rows;
}
