/** The way imports go: one way between rooms, no circle within one, and no room that swallows the others. */
import { assert, assertEquals } from "@std/assert";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Rooms from the bottom up: a file may import from its own room and from those before it. */
const order: readonly (readonly string[])[] = [
  ["engine"],
  ["gpu"],
  ["ops", "checkpoint"],
  ["model"],
  ["evaluation", "reference"],
  ["circuit"],
  ["patch"],
  ["report"],
  ["pretrain"],
  ["run", "verify"],
  ["benchmark", "cluster"],
];

/** Files above 400 lines, and why. */
const long: Readonly<Record<string, string>> = {};

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

async function sources(): Promise<Source[]> {
  const found: Source[] = [];
  const walk = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
      const path = join(folder, name);
      if (isDirectory) await walk(path);
      else if (name.endsWith(".ts")) {
        const text = await Deno.readTextFile(join(root, path));
        const imports = [
          ...text.replace(/^ *\/\*\*[^]*?\*\//gm, "").matchAll(
            /^(?:import|export|\}) ?[^"]*?\bfrom "(\.[^"]+\.ts)"|^import "(\.[^"]+\.ts)"/gm,
          ),
        ]
          .map(([, from, effect]) => normalize(join(dirname(path), (from ?? effect)!)));
        found.push({ path, text, imports });
      }
    }
  };
  await walk("engine");
  await walk("cli");
  return found;
}

/** The room a file lies in; files of engine/ itself are one, at the bottom. */
const roomOf = (path: string) => path.split("/").at(path.split("/").length > 2 ? 1 : 0)!;
const level = (room: string) => order.findIndex((rooms) => rooms.includes(room));

Deno.test("imports go one way between rooms", async () => {
  const wrong: string[] = [];
  for (const { path, imports } of await sources()) {
    for (const to of imports) {
      if (path.startsWith("cli/")) continue;
      if (to.startsWith("cli/")) wrong.push(`${path} imports ${to}`);
      else if (to.startsWith("engine/")) {
        const [from, into] = [roomOf(path), roomOf(to)];
        assert(
          level(from) >= 0 && level(into) >= 0,
          `${from} or ${into} has no place in the order of rooms.`,
        );
        if (from !== into && level(into) >= level(from)) wrong.push(`${path} imports ${to}`);
      }
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no file imports itself by way of others", async () => {
  const files = new Map((await sources()).map((source) => [source.path, source]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      circles.push([...trail.slice(at), path].join(" → "));
      return;
    }
    if (done.has(path)) return;
    for (const to of files.get(path)?.imports ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of files.keys()) visit(path, []);
  assertEquals(circles, []);
});

Deno.test("modules re-export by name", async () => {
  const wrong = (await sources()).filter(({ text }) => /^export \*/m.test(text)).map(({ path }) => path);
  assertEquals(wrong, []);
});

Deno.test("files stay within 400 lines, and no room holds more than a fifth of the engine", async () => {
  const all = await sources();
  const lines = ({ text }: Source) => text.split("\n").length - 1;
  const tooLong = all.filter((source) => lines(source) > 400 && !long[source.path]).map(({ path }) => path);
  assertEquals(tooLong, []);
  const engine = all.filter(({ path }) => path.startsWith("engine/"));
  const total = engine.reduce((sum, source) => sum + lines(source), 0);
  for (const room of new Set(engine.map(({ path }) => roomOf(path)))) {
    const own = engine.filter(({ path }) => roomOf(path) === room).reduce(
      (sum, source) => sum + lines(source),
      0,
    );
    assert(
      own / total <= 0.2,
      `engine/${room} holds ${(100 * own / total).toFixed(0)} % of the engine's lines.`,
    );
  }
});
