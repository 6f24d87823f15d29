/**
 * Settings, each defined once. A definition gives name, kind of value, default, help and an example; its place in a tree of
 * groups is its path. Command line, configuration files, JSON Schema, tables and the types of values come from these trees.
 */
import { InputError } from "../../errors.ts";
import { snakeCase } from "../../json_keys.ts";
import { UnfitValue, type ValueType } from "./value_types.ts";

/** A setting whose values, defaults included, are of type T. */
export interface Setting<T> {
  /** On command lines and at the top of configuration files; words joined by hyphens. */
  readonly name: string;
  readonly type: ValueType<NonNullable<T>>;
  readonly default: T;
  /** What holds where there is no default, in words. */
  readonly otherwise?: string;
  readonly help: string;
  /** A good value as text; "" for a switch. */
  readonly example: string;
}

type Definition<T> = Omit<Setting<T>, "default"> & { readonly type: ValueType<NonNullable<T>> };

/** Defines a setting. Without a default its value may be undefined, and `otherwise` says what holds then. */
export function setting<T>(definition: Definition<T> & { readonly default: NoInfer<T> }): Setting<T>;
export function setting<T>(definition: Definition<T>): Setting<T | undefined>;
export function setting<T>(definition: Definition<T> & { readonly default?: T }): Setting<T | undefined> {
  return { ...definition, default: definition.default };
}

/** Settings by key, in groups. */
export interface SettingTree {
  // deno-lint-ignore no-explicit-any -- a tree holds settings of every type
  readonly [key: string]: Setting<any> | SettingTree;
}

/** The values of a tree of settings. */
export type Values<Tree> = {
  readonly [Key in keyof Tree]: Tree[Key] extends Setting<infer T> ? T : Values<Tree[Key]>;
};

/** The definitions of a group whose values are V: what `satisfies` holds a group against. */
export type Definitions<V> = { readonly [Key in keyof V]-?: Setting<V[Key]> | Setting<V[Key] | undefined> };

/** The same values, of which any may be left out. */
export type Some<V> = { readonly [Key in keyof V]?: V[Key] | undefined };

/** A setting in its tree. */
export interface PlacedSetting {
  readonly setting: Setting<unknown>;
  /** Keys from the top of the tree. */
  readonly path: readonly string[];
}

/** Whether a node of a tree is a setting rather than a group. */
// deno-lint-ignore no-explicit-any -- as in SettingTree
export function isSetting(node: Setting<any> | SettingTree): node is Setting<any> {
  return typeof node.name === "string";
}

/** All settings of a tree in order. */
export function settingsOf(tree: SettingTree, above: readonly string[] = []): PlacedSetting[] {
  return Object.entries(tree).flatMap(([key, node]) =>
    isSetting(node) ? [{ setting: node, path: [...above, key] }] : settingsOf(node, [...above, key])
  );
}

/** Where values come from: a command line or a file. */
export interface SettingSource {
  /** What was given, by the settings' names. */
  readonly given: ReadonlyMap<string, unknown>;
  /** How this source calls a setting, to begin a complaint with. */
  readonly call: (name: string) => string;
  /** Follows the value in a complaint. */
  readonly origin?: string;
}

/**
 * The values of a tree: of each setting what the first source gives that has it, else its default.
 * @throws InputError for a value that does not fit.
 */
export function readSettings<const Tree extends SettingTree>(
  tree: Tree,
  sources: readonly SettingSource[],
): Values<Tree> {
  const values = Object.entries(tree).map(([key, node]) => {
    if (!isSetting(node)) return [key, readSettings(node, sources)];
    const source = sources.find(({ given }) => given.has(node.name));
    return [key, source ? readValue(node, source) : node.default];
  });
  // Each leaf was read by its own setting's type, or is its default.
  return Object.fromEntries(values) as Values<Tree>;
}

/** Values of a tree from an object of the same form in which some are left out. Throws InputError for one that does not fit. */
export function checkSettings<const Tree extends SettingTree>(tree: Tree, given: object): Values<Tree> {
  const placed = settingsOf(tree).flatMap(({ setting: { name }, path }) => {
    const value = path.reduce((node: unknown, key) => (node as Record<string, unknown>)?.[key], given);
    return value === undefined ? [] : [{ name, value, path: path.join(".") }];
  });
  const paths = new Map(placed.map(({ name, path }) => [name, path]));
  const call = (name: string) => `Setting ${paths.get(name)}`;
  return readSettings(tree, [{ given: new Map(placed.map(({ name, value }) => [name, value])), call }]);
}

function readValue({ name, type }: Setting<unknown>, { given, call, origin = "" }: SettingSource): unknown {
  try {
    return type.read(given.get(name));
  } catch (error) {
    if (!(error instanceof UnfitValue)) throw error;
    throw new InputError(`${call(name)} ${JSON.stringify(error.shown)}${origin} ${error.complaint}.`);
  }
}

/** Values of a tree as files hold them: snake_case keys, nothing where there is no value. */
export function toFileValues(tree: SettingTree, values: Readonly<Record<string, unknown>>) {
  const written: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(tree)) {
    const value = values[key];
    if (value === undefined) continue;
    written[snakeCase(key)] = isSetting(node) ? value : toFileValues(node, value as Record<string, unknown>);
  }
  return written;
}
