/** Files of a run folder that are read where no run is at work: as its manifest lists them, or not at all. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "./errors.ts";
import { sha256OfFile } from "./files.ts";
import { readJsonObject } from "./json_objects.ts";

/** What of a manifest is of use here; engine/run/manifest.ts has all of it. */
const schema = z.looseObject({
  files: z.record(z.string(), z.looseObject({ sha256: z.string() })).default({}),
});

/**
 * Makes sure that files of a run folder are what the run wrote, where it has a manifest that lists them.
 * @throws {InputError} naming one that was changed since.
 */
export async function requireAsWritten(folder: string, names: readonly string[]): Promise<void> {
  const path = join(folder, "manifest.json");
  const manifest = schema.safeParse(await readJsonObject(path) ?? {});
  if (!manifest.success) throw new InputError(`"${path}" is damaged; start that run over.`);
  for (const name of names) {
    const listed = manifest.data.files[name]?.sha256;
    if (listed === undefined) continue;
    const actual = await sha256OfFile(join(folder, name)).catch(() => undefined);
    if (actual === undefined || actual === listed) continue; // what is missing is for the reader to say
    throw new InputError(
      `"${join(folder, name)}" is not what the run wrote; resume the run, which makes it again.`,
    );
  }
}
