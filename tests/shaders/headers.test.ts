import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { type ShaderName, shaders } from "../../engine/ops/kernels.ts";

/** The comment that a file opens with, as one line. */
const opening = (text: string) => text.match(/^(?:\/\/(?!:).*\n)+/)?.[0].replaceAll(/\n?\/\/ /g, " ") ?? "";

const isInclude = (name: ShaderName) => !shaders[name].includes("@compute");

Deno.test("every file in shaders/ is known by its name", async () => {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(fileURLToPath(new URL("../../shaders", import.meta.url)))) {
    if (name.endsWith(".wgsl")) files.push(name.slice(0, -".wgsl".length));
  }
  assertEquals(files.sort(), Object.keys(shaders).sort());
});

Deno.test("every shader opens with what it computes and the shape of every binding", () => {
  const missing: string[] = [];
  for (const [name, text] of Object.entries(shaders)) {
    const comment = opening(text);
    assert(comment.length > 10, `${name}.wgsl opens with no comment.`);
    for (const [, binding] of text.matchAll(/var<storage, \w+> (\w+)/g)) {
      // "q, dy [N, H, C]", "state (stopped, …)": the name, then what it holds.
      if (!new RegExp(`\\b${binding}\\b[^\\[(.;:]*[\\[(]`).test(comment)) missing.push(`${name}: ${binding}`);
    }
  }
  assertEquals([...new Set(missing)], []);
});

Deno.test("includes say that they are, and kernels do not", () => {
  for (const name of Object.keys(shaders) as ShaderName[]) {
    const says = /^ (Include|Prelude): /.test(opening(shaders[name]));
    assertEquals(says, isInclude(name), name);
  }
});
