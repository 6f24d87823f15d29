/** Configuration files: YAML or JSON with settings in groups, or by name at the top; or the config.json of a run. */
import { parse } from "npm:yaml@2.9.1";
import { InputError } from "../../errors.ts";
import { describe } from "../../json_objects.ts";
import { snakeCase } from "../../json_keys.ts";
import { isSetting, type Setting, settingsOf, type SettingSource, type SettingTree } from "./setting.ts";
import { readWholeText } from "../../whole_file.ts";

/** By this key a file names its schema to an editor. */
export const schemaKey = "$schema";

/**
 * Reads the settings of `tree` from a file. A run's config.json may hold settings that the tree lacks, any other file may not.
 * `call` names a setting in complaints about its value.
 * @throws InputError for a file that is missing or malformed, or sets what is no setting or sets it twice.
 */
export async function readSettingsFile(
  path: string,
  tree: SettingTree,
  call: (name: string) => string = (name) => name,
): Promise<SettingSource> {
  let content: unknown;
  try {
    content = parse(await readWholeText(path)); // JSON is YAML
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "does not exist"
      : `cannot be read (${(error as Error).message.split("\n")[0]!.replace(/[.:\s]+$/, "")})`;
    throw new InputError(`Config file "${path}" ${why}.`, "config");
  }
  if (!isMap(content)) throw new InputError(`Config file "${path}" is not a map of settings.`, "config");
  const given = new Map<string, unknown>();
  const ofRun = isMap(content.settings) && isMap(content.versions);
  const refuse = (complaint: string) => new InputError(`Config file "${path}" ${complaint}.`, "config");
  const add = ({ name }: Setting<unknown>, value: unknown) => {
    if (given.has(name)) throw refuse(`sets "${name}" twice, in its group and by its name`);
    given.set(name, value);
  };
  const named = new Map(settingsOf(tree).map(({ setting }) => [setting.name, setting]));
  const collect = (node: SettingTree, values: Record<string, unknown>, above: string) => {
    const keys = new Map(Object.entries(node).map(([key, inside]) => [snakeCase(key), inside]));
    for (const [key, value] of Object.entries(values)) {
      if (above === "" && key === schemaKey) continue;
      const inside = keys.get(key);
      const byName = above === "" ? named.get(key) : undefined;
      const negated = above === "" && key.startsWith("no-") ? named.get(key.slice("no-".length)) : undefined;
      if (inside && !isSetting(inside) && isMap(value)) collect(inside, value, `${above}${key}.`);
      else if (inside && isSetting(inside)) add(inside, value);
      else if (byName) add(byName, value);
      else if (negated?.default === true) add(negated, typeof value === "boolean" ? !value : value);
      else if (inside) {
        throw refuse(`gives ${describe(value)} for "${above}${key}", which is a group of settings`);
      } else if (!ofRun) throw refuse(`sets "${above}${key}", which is no setting of this command`);
    }
  };
  collect(tree, ofRun ? content.settings as Record<string, unknown> : content, "");
  return { given, call, origin: ` (from config file "${path}")` };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
