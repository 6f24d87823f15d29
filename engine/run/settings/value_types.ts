/** What kinds of values settings take, from text on a command line as well as from JSON and YAML. */
import { z } from "npm:zod@4.6.7";

/** A kind of value. Reading turns what was given into a T, or throws UnfitValue. */
export interface ValueType<T> {
  /** Stands for the value in help texts, e.g. FILE; empty for a switch, which takes none. */
  readonly placeholder: string;
  /** Given several times, or as a list or map in a file. */
  readonly many: boolean;
  /** The only values there are, where they are few. */
  readonly choices?: readonly string[];
  /** On a command line \\n stands for a line end. */
  readonly escapes?: boolean;
  /** Of values in files, for editors. */
  readonly jsonSchema: () => Record<string, unknown>;
  readonly read: (raw: unknown) => T;
}

/** Why a value does not fit: `shown` is the value or the part of it that is wrong, `complaint` a verb and what follows. */
export class UnfitValue extends Error {
  constructor(readonly shown: unknown, readonly complaint: string) {
    super(`${JSON.stringify(shown)} ${complaint}`);
  }
}

/** How a single value is described. */
interface Single<T> {
  readonly placeholder: string;
  /** What a value is; an unfit one "is not" this. */
  readonly is: string;
  readonly schema: z.ZodType<T>;
  readonly choices?: readonly string[];
  readonly escapes?: boolean;
  /** Turns text into what the schema checks; by default text stays text. */
  readonly fromText?: (text: string) => unknown;
}

function single<T>({ fromText = (text) => text, schema, is, ...rest }: Single<T>): ValueType<T> {
  return {
    ...rest,
    many: false,
    jsonSchema: () => plainSchema(schema),
    read(raw) {
      const parsed = schema.safeParse(typeof raw === "string" ? fromText(raw) : raw);
      if (!parsed.success) throw new UnfitValue(raw, `is not ${is}`);
      return parsed.data;
    },
  };
}

/** The JSON Schema of a zod type, fit to stand inside another. */
export function plainSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}

const numeric = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i;
const toNumber = (text: string) => numeric.test(text) ? Number(text) : text;

/** Seeds are 32-bit: that is what the random generators on GPU and host take. */
export const largestSeed = 2 ** 32 - 1;

/** A text that is not empty, such as a file name. */
export function text(placeholder: string): ValueType<string> {
  return single({ placeholder, is: "a text", schema: z.string().min(1) });
}

/** Any JSON value, or text that is no JSON. */
export function jsonOrText(placeholder: string): ValueType<unknown> {
  return single({
    placeholder,
    is: "JSON or a text",
    schema: z.unknown(),
    fromText: (text) => {
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
    },
  });
}

/** A text that may have lines. */
export function lines(placeholder = "TEXT"): ValueType<string> {
  return { ...text(placeholder), escapes: true };
}

/** An integer from `least` to `most`. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER, placeholder = "N"): ValueType<number> {
  const is = most < Number.MAX_SAFE_INTEGER ? `an integer from ${least} to ${most}` : `an integer ≥ ${least}`;
  return single({ placeholder, is, schema: z.int().min(least).max(most), fromText: toNumber });
}

/** A seed of random numbers. */
export const seed: ValueType<number> = integer(0, largestSeed);

/** A finite number greater than zero. */
export function positive(placeholder = "X"): ValueType<number> {
  return single({ placeholder, is: "a number > 0", schema: z.number().positive(), fromText: toNumber });
}

/** A finite number that is not negative. */
export function nonNegative(placeholder = "X"): ValueType<number> {
  return single({ placeholder, is: "a number ≥ 0", schema: z.number().nonnegative(), fromText: toNumber });
}

/** A number in (0, 1]. */
export function fraction(placeholder = "X"): ValueType<number> {
  const schema = z.number().positive().max(1);
  return single({ placeholder, is: "a number in (0, 1]", schema, fromText: toNumber });
}

/** On or off; on a command line it is given without a value. */
export const toggle: ValueType<boolean> = single({
  placeholder: "",
  is: "true or false",
  schema: z.boolean(),
});

/** One of a few names. */
export function oneOf<const T extends string>(options: readonly T[], placeholder = "NAME"): ValueType<T> {
  return single({
    placeholder,
    is: `one of ${options.join(", ")}`,
    schema: z.enum(options),
    choices: options,
  });
}

/** A value of a schema of its own, for what the other kinds cannot say. */
export function ofSchema<T>(schema: z.ZodType<T>, placeholder: string, is: string): ValueType<T> {
  return single({ placeholder, is, schema });
}

/** How a list is written as text. */
export interface ListText {
  /** Items may stand in one text, with commas. */
  readonly commas?: boolean;
  /** The text "none" is the empty list. */
  readonly none?: boolean;
  /** One text may stand for several items, such as a range. */
  readonly expand?: (text: string) => readonly unknown[];
  /** Stands for a value in help texts, by default like one item. */
  readonly placeholder?: string;
  /** What a wrong list is not; by default it is said of the wrong item. */
  readonly is?: string;
}

/** More than anyone waits for; a range beyond is a slip. */
export const longestRange = 1000;

/** The numbers of a range such as 0-4, for ListText.expand; other text, and a range that is a slip, stays as it is. */
export function rangeOf(text: string): readonly unknown[] {
  const [, first, last] = text.match(/^(\d+)-(\d+)$/)?.map(Number) ?? [];
  if (first === undefined || last === undefined || last - first >= longestRange) return [text];
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Several values: an option given repeatedly, or a list. Where one is given twice it counts once. */
export function listOf<T>(item: ValueType<T>, how: ListText = {}): ValueType<readonly T[]> {
  const parts = (raw: unknown): readonly unknown[] => {
    if (typeof raw !== "string") return [raw];
    if (how.none && raw === "none") return [];
    const texts = how.commas ? raw.split(",") : [raw];
    return how.expand ? texts.flatMap(how.expand) : texts;
  };
  return {
    placeholder: how.placeholder ?? item.placeholder,
    many: true,
    ...(item.choices && { choices: item.choices }),
    ...(item.escapes && { escapes: true }),
    jsonSchema: () => ({
      anyOf: [{ type: "array", items: item.jsonSchema() }, textSchema, item.jsonSchema()],
    }),
    read(raw) {
      const given = Array.isArray(raw) ? raw : [raw];
      return [
        ...new Set(given.flatMap((one) => {
          try {
            const items = parts(one).map(item.read);
            if (items.length === 0 && !how.none) throw new UnfitValue(one, "is empty");
            return items;
          } catch (error) {
            if (error instanceof UnfitValue && how.is) throw new UnfitValue(one, `is not ${how.is}`);
            throw error;
          }
        })),
      ];
    },
  };
}

const textSchema = { type: "string" };

/** Values by name: an option NAME=VALUE given repeatedly, a list of such texts, or a map. */
export function mapOf<T>(
  value: ValueType<T>,
  { taken = {} }: { readonly taken?: Readonly<Record<string, string>> } = {},
): ValueType<Readonly<Record<string, T>>> {
  const form = `NAME=${value.placeholder}`;
  return {
    placeholder: form,
    many: true,
    jsonSchema: () => ({
      anyOf: [
        { type: "object", additionalProperties: value.jsonSchema(), propertyNames: { pattern: "^[\\w-]+$" } },
        { type: "array", items: { type: "string", pattern: "^[\\w-]+=.+$" } },
        { type: "string", pattern: "^[\\w-]+=.+$" },
      ],
    }),
    read(raw) {
      const found: Record<string, T> = Object.create(null);
      const add = (name: string, one: unknown, shown: unknown) => {
        if (!/^[\w-]+$/.test(name)) throw new UnfitValue(shown, `is not ${form}`);
        if (Object.hasOwn(taken, name)) {
          throw new UnfitValue(shown, `names "${name}", which is ${taken[name]}`);
        }
        if (name in found) throw new UnfitValue(shown, `names "${name}" a second time`);
        found[name] = value.read(one);
      };
      for (const one of Array.isArray(raw) ? raw : [raw]) {
        if (typeof one === "object" && one !== null && !Array.isArray(one)) {
          for (const [name, inside] of Object.entries(one)) add(name, inside, { [name]: inside });
          continue;
        }
        const match = typeof one === "string" ? one.match(/^([\w-]+)=([^]+)$/) : null;
        if (!match) throw new UnfitValue(one, `is not ${form}`);
        add(match[1]!, match[2]!, one);
      }
      return { ...found };
    },
  };
}
