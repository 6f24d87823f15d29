import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { expandShader, type ShaderValues } from "../../engine/gpu/shader.ts";
import { kernel, type ShaderName, shaders } from "../../engine/ops/kernels.ts";

const snapshot = new URL("./wgsl_hashes.json", import.meta.url);
const update = "UPDATE_WGSL_HASHES";

/** Numbers that stand for those the engine computes: small ones, so that unrolled loops stay short. */
const numbers: Readonly<Record<string, readonly number[]>> = {
  CHAINS: [2],
  LANES: [2],
  LEFT: [256],
  PER: [1, 4],
  QUADS: [1, 2],
  RIGHT: [256],
  ROWS: [4],
  SHARE: [1, 2],
  SLICES: [1, 2],
  SUMS: [512],
  TM: [1, 4],
  TN: [1, 2],
  UNITS: [2, 3],
  WG: [8, 64],
  WX: [8],
  WY: [1, 8],
};
const texts: Readonly<Record<string, readonly string[]>> = { T: ["f32", "vec4f"], TYPE: ["f32", "vec4f"] };

/** Every value that a template's directives distinguish, by name: what it compares with, both ways of a switch, or a number. */
function choices(template: string): Map<string, readonly (string | number | boolean)[]> {
  const found = new Map<string, (string | number | boolean)[]>();
  for (const [, name, value] of template.matchAll(/\/\/: if (?:!)?(\w+)(?: == (\S+))?$/gm)) {
    const values = found.get(name!) ?? [];
    for (const choice of value === undefined ? [true, false] : [value]) {
      if (!values.includes(choice)) values.push(choice);
    }
    found.set(name!, values);
  }
  for (const [name, values] of found) {
    // What stands in an `else` of comparisons needs a value of its own.
    if (values.every((value) => typeof value === "string")) values.push(...(numbers[name] ? [] : ["other"]));
  }
  const used = template.replaceAll(/\/\/(?!:).*/g, "").matchAll(/\$([A-Z]+)|\bfor \w+ in \S+\.\.([A-Z]+)/g);
  for (const [, name, count] of used) {
    const key = (name ?? count)!;
    if (texts[key]) found.set(key, [...texts[key]!]);
    else if (!found.has(key) || numbers[key]) found.set(key, [...numbers[key]!]);
  }
  if (found.has("DTYPE")) found.set("DTYPE", ["f32", "f16", "bf16"]);
  return found;
}

function combinations(options: Map<string, readonly (string | number | boolean)[]>): ShaderValues[] {
  let all: ShaderValues[] = [{}];
  for (const [name, values] of [...options].sort(([a], [b]) => a < b ? -1 : 1)) {
    all = all.flatMap((set) => values.map((value) => ({ ...set, [name]: value })));
  }
  return all;
}

/** WGSL without comments and layout: what the compiler sees. */
const essence = (wgsl: string) => wgsl.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ").trim();

function hashes(): Record<string, { variants: number; sha256: string }> {
  return Object.fromEntries(
    (Object.keys(shaders) as ShaderName[]).filter((name) => shaders[name].includes("@compute")).map(
      (name) => {
        const { template } = kernel(name);
        const sets = combinations(choices(template));
        const hash = createHash("sha256");
        for (const values of sets) {
          hash.update(`${JSON.stringify(values)} ${essence(expandShader(name, template, values))}\n`);
        }
        return [name, { variants: sets.length, sha256: hash.digest("hex").slice(0, 16) }];
      },
    ),
  );
}

Deno.test(`the WGSL of every variant is what it was (${update}=1 after changing a kernel on purpose)`, async () => {
  const now = hashes();
  if (Deno.env.get(update)) {
    await Deno.writeTextFile(snapshot, `${JSON.stringify(now, null, 2)}\n`);
    return;
  }
  assertEquals(now, JSON.parse(await Deno.readTextFile(snapshot)));
});

Deno.test("the variants of a kernel cover its switches, comparisons and sizes", () => {
  const { template } = kernel("matmul_broadcast");
  const options = choices(template);
  assertEquals(options.get("EIGHT"), [true, false]);
  assertEquals(new Set(options.get("LEFT")), new Set(["k", "m", "scalar"]));
  assert(combinations(options).length > 500);
});
