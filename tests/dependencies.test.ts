import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const root = fileURLToPath(new URL("..", import.meta.url));

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield path;
  }
}

// Whoever imports mod.ts by its address has no import map of ours, so every specifier must say all that is needed.
Deno.test("what is shipped names its packages with registry and exact version, one version each", async () => {
  const versions = new Map<string, Set<string>>();
  const wrong: string[] = [];
  const paths = [join(root, "mod.ts")];
  for (const room of ["engine", "cli"]) {
    for await (const path of sources(join(root, room))) paths.push(path);
  }
  for (const path of paths) {
    for (
      const [, name] of (await Deno.readTextFile(path)).replace(/^ *\/\*\*[^]*?\*\//gm, "").matchAll(
        /(?:^(?:import|export|\})[^"]*\bfrom |import\()"([^"\n$]+)"/gm,
      )
    ) {
      if (name!.startsWith(".") || name!.startsWith("node:")) continue;
      const match = name!.match(/^npm:((?:@[^/]+\/)?[^@/]+)@(\d+\.\d+\.\d+)(\/.*)?$/);
      if (!match) wrong.push(`${path}: ${name}`);
      else versions.set(match[1]!, (versions.get(match[1]!) ?? new Set()).add(match[2]!));
    }
  }
  assertEquals(wrong, []);
  assertEquals([...versions].filter(([, found]) => found.size > 1), []);
});
