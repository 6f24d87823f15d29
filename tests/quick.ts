/** Runs the tests that need no adapter: those whose files open no Gpu and start no command. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const root = fileURLToPath(new URL("..", import.meta.url));
/** What a test that needs an adapter, or takes long, is recognised by. */
const needsMore =
  /Gpu\.open|gpuTest|splitTest|withModel|loadTwins|SizingGpu|Deno\.execPath|command_line|run_fixture|training_fixture|\.\/chaos\.ts/;

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = join(folder, name);
    if (isDirectory) yield* testFiles(path);
    else if (name.endsWith(".test.ts")) yield path;
  }
}

const quick: string[] = [];
for await (const path of testFiles("tests")) {
  if (!needsMore.test(await Deno.readTextFile(join(root, path)))) quick.push(path);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "--quiet", "-P=test", ...quick.sort()],
  cwd: root,
}).spawn().status;
Deno.exit(code);
