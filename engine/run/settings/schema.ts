/** The JSON Schema of configuration files, by which editors complete and check them. */
import { snakeCase } from "../../json_keys.ts";
import { schemaKey } from "./file.ts";
import { isSetting, type Setting, settingsOf, type SettingTree } from "./setting.ts";

type Schema = Record<string, unknown>;

/** A schema of files that hold settings of `tree`, in groups or by name at the top. */
export function settingsSchema(tree: SettingTree, title: string): Schema {
  const properties: Record<string, Schema> = {
    [schemaKey]: { type: "string" },
    ...groupSchema(tree).properties as Record<string, Schema>,
  };
  for (const { setting } of settingsOf(tree)) {
    const { name } = setting;
    const own = valueSchema(setting);
    const inGroup = properties[name];
    // Some names are a group's too: then either the group or the one value may stand there.
    properties[name] = inGroup && inGroup.type === "object" ? { anyOf: [inGroup, own] } : own;
  }
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...groupSchema(tree), properties };
}

function groupSchema(tree: SettingTree): Schema {
  const properties = Object.entries(tree).map(([key, node]) => [
    snakeCase(key),
    isSetting(node) ? valueSchema(node) : groupSchema(node),
  ]);
  return { type: "object", properties: Object.fromEntries(properties), additionalProperties: false };
}

function valueSchema({ type, help, otherwise, default: usual }: Setting<unknown>): Schema {
  const description = otherwise ? `${help} (default: ${otherwise})` : help;
  return { description, ...type.jsonSchema(), ...(usual !== undefined && { default: usual }) };
}
