/** The embedded model and task, which serve where none is given. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../errors.ts";

/** The folder of the embedded model. Throws InputError where the package came without it. */
export const embeddedModel = (): string => fixture("gemma2-mini", "model");

/** The data file of the task that the embedded model half-knows. Throws InputError where the package came without it. */
export const embeddedTask = (): string => fixture("tasks/math.jsonl", "data");

/** The template files that the embedded task's problems are instances of. Throws InputError where the package came without them. */
export const embeddedTemplates = (): string => fixture("tasks/math-templates", "templates");

/** A path in fixtures; relative where that is shorter, so that results name no machine. */
function fixture(name: string, setting: string): string {
  const url = new URL(`../../fixtures/${name}`, import.meta.url);
  if (url.protocol !== "file:") {
    throw new InputError(`Embedded models and data are not part of this package; name your own.`, setting);
  }
  const path = fileURLToPath(url);
  const near = relative(Deno.cwd(), path);
  return near.startsWith("..") ? path : near;
}
