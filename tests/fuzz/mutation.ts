/** Changes of files that know what they change: bytes, safetensors, trees of JSON, lines. Every choice comes from the seed. */
import { seededRandom } from "../../engine/random.ts";

/** Draws that one seed gives. */
export class Dice {
  private readonly random: () => number;
  constructor(seed: string) {
    this.random = seededRandom(seed);
  }
  /** An integer from 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.random() * n);
  }
  /** Whether something of this probability happens. */
  happens(probability: number): boolean {
    return this.random() < probability;
  }
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("Nothing to pick from");
    return items[this.below(items.length)]!;
  }
}

export type Bytes = Uint8Array<ArrayBuffer>;
export const encode = (text: string): Bytes => new TextEncoder().encode(text);
export const decode = (bytes: Bytes): string => new TextDecoder().decode(bytes);

/** Whatever stands in JSON where something else should. */
const strangers: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 2, 7, 0.5, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, -1e300, 5e-324],
  ...["", "x", "constructor", "__proto__", "\u0000", "\u001b[2J", "../../secret", "/etc/passwd", "NaN", "1"],
  ...["é", "\ud800", "a".repeat(5000), "<bos>", [], {}, [[]], [null], { a: 1 }, ["constructor"], [1, 2, 3]],
];

/** A value that nobody expects. */
export function stranger(dice: Dice): unknown {
  if (dice.happens(0.02)) return nested(dice.pick([90, 300, 2000]));
  return structuredClone(dice.pick(strangers));
}

const nested = (levels: number): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
};

/** A place in a tree of JSON: what holds it and by which key. */
interface Place {
  readonly holder: Record<string, unknown>;
  readonly key: string;
  readonly path: readonly string[];
}

/** Places of a tree; of long lists and maps a few. */
function* places(node: unknown, dice: Dice, path: readonly string[] = []): Generator<Place> {
  if (typeof node !== "object" || node === null) return;
  const holder = node as Record<string, unknown>;
  let keys = Object.keys(holder);
  if (keys.length > 12) keys = Array.from({ length: 12 }, () => dice.pick(keys));
  for (const key of new Set(keys)) {
    yield { holder, key, path: [...path, key] };
    yield* places(holder[key], dice, [...path, key]);
  }
}

/** A changed tree, and where it was changed. */
export interface ChangedTree {
  readonly tree: unknown;
  readonly path: readonly string[];
  readonly what: string;
}

/** Replaces, removes, doubles or swaps something in a tree of JSON. */
export function changeTree(original: unknown, dice: Dice): ChangedTree {
  const tree = structuredClone(original);
  const all = [...places(tree, dice)];
  if (all.length === 0) return { tree: stranger(dice), path: [], what: "another value" };
  const { holder, key, path } = dice.pick(all);
  const at = path.join(".").slice(0, 80);
  const old = holder[key];
  switch (dice.below(7)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return { tree, path, what: `no ${at}` };
    case 1: {
      const other = dice.pick(all);
      const [a, b] = [holder[key], other.holder[other.key]].map((one) => structuredClone(one));
      [holder[key], other.holder[other.key]] = [b, a];
      return { tree, path: [], what: `${at} and ${other.path.join(".").slice(0, 80)} swapped` };
    }
    case 2:
      if (typeof old === "number") {
        holder[key] = dice.pick([
          old + 1,
          old - 1,
          old * 2,
          -old,
          old / 2,
          old + 0.5,
          old * 1e6,
          String(old),
        ]);
        return { tree, path, what: `${at} ${holder[key]}` };
      }
      if (typeof old === "string") {
        const cut = dice.below(old.length + 1);
        holder[key] = dice.pick([
          ...[old.slice(0, cut), old.slice(cut), old + old, old.toUpperCase(), `${old} `, old.toLowerCase()],
          old.slice(0, cut) + dice.pick(["\u0000", "\u001b[31m", "\n", "\\", '"', "../", "{{", "\u202e"]) +
          old.slice(cut),
        ]);
        return { tree, path, what: `${at} ${JSON.stringify(holder[key]).slice(0, 60)}` };
      }
    // falls through
    case 3:
      if (Array.isArray(old)) {
        const repeats = dice.pick([2, 2, 2, 3, 500]);
        holder[key] = Array.from({ length: repeats }, () => structuredClone(old)).flat();
        return { tree, path, what: `${at} ${repeats} times` };
      }
    // falls through
    case 4: {
      const name = dice.pick([
        "constructor",
        "__proto__",
        "toString",
        "unknown_thing",
        "hasOwnProperty",
        "",
        "a.b",
      ]);
      if (!Array.isArray(holder)) {
        Object.defineProperty(holder, name, {
          value: stranger(dice),
          enumerable: true,
          configurable: true,
          writable: true,
        });
        return { tree, path: [...path.slice(0, -1), name], what: `${at} beside "${name}"` };
      }
    }
    // falls through
    default:
      holder[key] = stranger(dice);
      return { tree, path, what: `${at} ${(JSON.stringify(holder[key]) ?? "nothing").slice(0, 60)}` };
  }
}

/** The same JSON written otherwise: spaces, order of keys, escapes. */
export function rewritten(value: unknown, dice: Dice): string {
  const text = JSON.stringify(reordered(value, dice), null, dice.pick([0, 1, 2, "\t"]));
  return dice.happens(0.5)
    ? text
    : text.replace(/[a-z](?=[^"\\]*")/g, (letter, at: number) =>
      text[at - 1] !== "\\" && isInString(text, at) && dice.happens(0.1)
        ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`
        : letter);
}

function isInString(text: string, at: number): boolean {
  // Only used on short texts.
  if (text.length > 4000) return false;
  let inside = false;
  for (let i = 0; i < at; i++) {
    if (inside && text[i] === "\\") i++;
    else if (text[i] === '"') inside = !inside;
  }
  return inside && text[at - 1] !== "\\" && !/\\u[0-9a-f]{0,3}$/.test(text.slice(Math.max(0, at - 6), at));
}

function reordered(value: unknown, dice: Dice): unknown {
  if (Array.isArray(value)) return value.map((one) => reordered(one, dice));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, one]) => [key, reordered(one, dice)] as const);
  return Object.fromEntries(dice.happens(0.5) ? entries.reverse() : entries);
}

/** Damage that knows nothing of the format; not the same bytes. */
export function changeBytes(bytes: Bytes, dice: Dice): { bytes: Bytes; what: string } {
  const changed = bytes.slice();
  const at = dice.below(Math.max(1, bytes.length));
  const fill = (length: number) => Uint8Array.from({ length }, () => dice.below(256));
  switch (dice.below(6)) {
    case 0:
      if (changed.length > 0) changed[at]! ^= 1 << dice.below(8);
      return { bytes: changed, what: `a bit of byte ${at} turned` };
    case 1:
      return { bytes: bytes.slice(0, at), what: `cut at byte ${at}` };
    case 2:
      return {
        bytes: Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1 + dice.below(40))]),
        what: `bytes from ${at} on left out`,
      };
    case 3:
      return {
        bytes: Uint8Array.from([
          ...bytes.subarray(0, at),
          ...fill(1 + dice.below(40)),
          ...bytes.subarray(at),
        ]),
        what: `bytes put in at ${at}`,
      };
    case 4: {
      const length = Math.min(1 + dice.below(64), changed.length - at);
      changed.set(dice.happens(0.5) ? fill(length) : new Uint8Array(length), at);
      return { bytes: changed, what: `${length} bytes from ${at} on overwritten` };
    }
    default:
      return {
        bytes: dice.pick([
          new Uint8Array(0),
          fill(64),
          encode("null"),
          encode("[]"),
          encode("<!doctype html>"),
          Uint8Array.from([...bytes, ...bytes]),
        ]),
        what: "other contents",
      };
  }
}

/** A safetensors file in parts. */
export interface Parts {
  header: Record<string, unknown>;
  data: Bytes;
}

export function partsOfSafetensors(bytes: Bytes): Parts {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return { header: JSON.parse(decode(bytes.slice(8, 8 + length))), data: bytes.slice(8 + length) };
}

export function joinSafetensors(header: string, data: Uint8Array, length?: bigint): Bytes {
  const text = encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}
