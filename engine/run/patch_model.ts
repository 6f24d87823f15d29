/** The model that a patch is for: the one that was named, else the one that its card names, else the embedded one. */
import { resolve, sep } from "node:path";
import { InputError } from "../errors.ts";
import { readCard } from "../patch/patch_card.ts";
import { embeddedModel } from "./embedded.ts";

/** A model by name; see ModelSettings. */
export interface NamedModel {
  readonly source: string;
  readonly revision: string | undefined;
}

/**
 * See file comment; `path` is a run folder or patch file, or undefined where there is no patch.
 *
 * @throws {InputError} for a patch of a model folder that is not there, and for a damaged card.
 */
export async function modelOfPatch(
  path: string | undefined,
  given: { readonly source?: string | undefined; readonly revision?: string | undefined },
): Promise<NamedModel> {
  const { source, revision } = given;
  if (source !== undefined) return { source, revision };
  const { model, commit } = path === undefined ? {} : await readCard(path);
  if (model === undefined) return { source: embeddedModel(), revision };
  if (commit !== undefined) return { source: model.split("@")[0]!, revision: revision ?? commit };
  if (await Deno.stat(model).then(() => true, () => false)) return { source: model, revision };
  // Runs name the embedded model by its way from where they were started.
  if (resolve(embeddedModel()).endsWith(resolve(sep, model))) return { source: embeddedModel(), revision };
  throw new InputError(
    `The patch in "${path}" was made for the model "${model}", which is no folder here; name the model.`,
    "model",
  );
}
