/** What belongs to a model folder: a folder that somebody made may hold links and names that lead out of it. */
import { basename, dirname, isAbsolute, join, relative } from "node:path";

/**
 * Whether a file, with all links followed, lies in model folder `folder`. A snapshot of the Hugging Face cache has its files in
 * the folder blobs of its repository (models--ORG--NAME/snapshots/COMMIT, models--ORG--NAME/blobs). Throws what the system
 * throws for a path that is not there.
 */
export async function belongsToModel(folder: string, path: string): Promise<boolean> {
  const [root, file] = await Promise.all([Deno.realPath(folder), Deno.realPath(path)]);
  if (isInside(root, file)) return true;
  const snapshots = dirname(root), repository = dirname(snapshots);
  return basename(snapshots) === "snapshots" && basename(repository).startsWith("models--") &&
    isInside(join(repository, "blobs"), file);
}

/** Whether a path, as it is written, lies below a folder. */
export function isInside(folder: string, path: string): boolean {
  const inside = relative(folder, path);
  return inside !== "" && inside !== ".." && !/^\.\.[/\\]/.test(inside) && !isAbsolute(inside);
}
