/** Resuming: other contents are refused, another adapter is said, damaged files are one sentence, and one process has the folder. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { FolderLock } from "../../engine/folder_lock.ts";
import { sha256OfFile } from "../../engine/files.ts";
import { openRun, runAmplify } from "../../engine/run/amplify_run.ts";
import { changedInput, fingerprintInputs } from "../../engine/run/inputs.ts";
import { listedFiles } from "../../engine/run/manifest.ts";
import { inspectRun } from "../../engine/run/run_check.ts";
import { readSettingsFile } from "../../engine/run/settings/file.ts";
import { runDefinitions, type RunSettings, runSettings } from "../../engine/run/settings/run.ts";
import { readSettings } from "../../engine/run/settings/setting.ts";
import { copyOf, embeddedModel, type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest, sharedGpu } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

let work: TemporaryFolder;
const at = (...names: string[]) => join(work.path, ...names);
const out = () => at("run");
const settings = (changes: Partial<RunSettings> = {}) =>
  shortRun(work.path, {
    referenceCompat: true,
    update: { steps: 1 },
    evaluation: { controls: [] },
    mask: { rate: 0.1, strength: 0.03, epochs: 2, batch: 8, patience: 1, initial: 1 },
    ...changes,
  });

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeSmallTask(work.path, 3);
  await runAmplify(await sharedGpu(), settings(), { out: out(), tune: false });
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

/** What happens while a file of the test's folder holds other text. */
async function whileFileIs<T>(path: string, change: (text: string) => string, then: () => Promise<T>) {
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, change(text));
  try {
    return await then();
  } finally {
    await Deno.writeTextFile(path, text);
  }
}

gpuTest("a run whose data or abilities have other contents is refused, and named", async ({ gpu }) => {
  for (const name of ["math.jsonl", "fact.jsonl"]) {
    const error = await whileFileIs(
      at(name),
      (text) => text + text.split("\n")[0] + "\n",
      () => assertRejects(() => runAmplify(gpu, settings(), { out: out() }), InputError, at(name)),
    );
    assert(error.message.includes("changed since the run"), error.message);
    assertEquals(error.settings, ["out", "fresh"]);
  }
  assertEquals((await runAmplify(gpu, settings(), { out: out() })).seed, 0);
});

Deno.test("fingerprints see another config.json and weights of the same form, and nothing where nothing changed", async () => {
  await using copy = await copyOf(embeddedModel);
  const given = settings();
  const before = await fingerprintInputs(given, copy.path);
  assertEquals(changedInput(before, await fingerprintInputs(given, copy.path), given), undefined);
  const weights = join(copy.path, "model.safetensors");
  const bytes = await Deno.readFile(weights);
  bytes[bytes.length - 9]! ^= 1;
  await Deno.writeFile(weights, bytes);
  const trained = await fingerprintInputs(given, copy.path);
  assertEquals(
    changedInput(before, trained, given),
    `"model.safetensors" of model ${given.model.source} has`,
  );
  const config = join(copy.path, "config.json");
  await Deno.writeTextFile(config, (await Deno.readTextFile(config)).replace("}", "} "));
  assert(
    changedInput(trained, await fingerprintInputs(given, copy.path), given)!.startsWith('"config.json"'),
  );
});

gpuTest("a run whose model was trained further in place is refused, and its file named", async ({ gpu }) => {
  await using copy = await copyOf(embeddedModel);
  const given = settings({ model: { ...settings().model, source: copy.path } });
  const open = async () => {
    using _run = await openRun(gpu, given, { out: at("trained"), tune: false });
  };
  await open();
  await open();
  const weights = join(copy.path, "model.safetensors");
  const bytes = await Deno.readFile(weights);
  bytes[bytes.length - 2]! ^= 1;
  await Deno.writeFile(weights, bytes);
  const { message } = await assertRejects(open, InputError, `"model.safetensors" of model ${copy.path}`);
  assert(message.includes("changed since the run") && message.includes(at("trained")), message);
});

gpuTest("a run that goes on on another adapter says so", async ({ gpu }) => {
  const notices: string[] = [];
  const other = (text: string) => text.replace(gpu.adapterName, "Some GPU");
  await using elsewhere = await copyOf(out());
  const config = join(elsewhere.path, "config.json");
  await Deno.writeTextFile(config, other(await Deno.readTextFile(config)));
  // As if the run had begun there: whatever was made from it is made from this one.
  const manifest = join(elsewhere.path, "manifest.json");
  const [own, its] = [await sha256OfFile(join(out(), "config.json")), await sha256OfFile(config)];
  await Deno.writeTextFile(manifest, (await Deno.readTextFile(manifest)).replaceAll(own, its));
  await runAmplify(gpu, settings(), { out: elsewhere.path, notice: (sentence) => notices.push(sentence) });
  assertEquals(notices.length, 1);
  assert(notices[0]!.includes(`adapter Some GPU and goes on on ${gpu.adapterName}`), notices[0]);
});

gpuTest("a second start on a folder in use is refused before anything is computed", async ({ gpu }) => {
  using _first = await openRun(gpu, settings(), { out: out() });
  const { dispatches } = gpu;
  await assertRejects(() => runAmplify(gpu, settings(), { out: out() }), InputError, "is in use by process");
  await assertRejects(() => runAmplify(gpu, settings(), { out: out(), fresh: true }), InputError, "in use");
  assertEquals(gpu.dispatches, dispatches);
});

gpuTest("settings are checked where a run is opened, whoever made them", async ({ gpu }) => {
  const wrong = settings({ seed: 2 ** 32 });
  await assertRejects(
    () => runAmplify(gpu, wrong, { out: at("other") }),
    InputError,
    "Setting seed 4294967296",
  );
});

gpuTest("a folder with files of a run but no config.json is left alone", async ({ gpu }) => {
  await Deno.mkdir(at("strange"));
  await Deno.writeTextFile(at("strange", "summary.json"), "mine");
  const start = () => openRun(gpu, settings(), { out: at("strange") });
  const { settings: mending } = await assertRejects(
    start,
    InputError,
    'holds "summary.json" but no config.json',
  );
  assertEquals(mending, ["out", "fresh"]);
  assertEquals(await Deno.readTextFile(at("strange", "summary.json")), "mine");
});

/** Flips the lowest bit of a byte in the middle. */
function flipped(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

gpuTest(
  "config.json and the manifest say what a run is: damaged, they are refused in one sentence",
  async ({ gpu }) => {
    const text = (change: (text: string) => string) => (bytes: Uint8Array) =>
      new TextEncoder().encode(change(new TextDecoder().decode(bytes)));
    const damages: [string, (bytes: Uint8Array) => Uint8Array<ArrayBuffer> | undefined, string][] = [
      ["config.json", text((all) => all.slice(0, all.length / 2)), "not JSON"],
      ["config.json", text(() => "[]"), "expected object"],
      ["config.json", text(() => "{}"), "is damaged"],
      ["config.json", text((all) => all.replace('"circuit_amp": "', '"circuit-amp": "')), "of version"],
      ["config.json", text((all) => all.replace(gpu.adapterName, "Some GPU")), "is not what the run wrote"],
      ["manifest.json", text(() => "{}"), "is damaged"],
      ["manifest.json", text((all) => all.slice(1)), "is damaged"],
      ["manifest.json", () => undefined, "without manifest.json"],
    ];
    for (const [name, damage, what] of damages) {
      const path = join(out(), name);
      const bytes = await Deno.readFile(path);
      const damaged = damage(bytes);
      await (damaged ? Deno.writeFile(path, damaged) : Deno.remove(path));
      const { message } = await assertRejects(() => runAmplify(gpu, settings(), { out: out() }), InputError);
      assert(message.includes(out()) && message.includes(what), `${name}: ${message}`);
      assert(/^[^\n]*\.$/.test(message), message);
      await Deno.writeFile(path, bytes);
    }
  },
);

gpuTest(
  "a changed, emptied or missing file of a run is named, and what was made from it goes too",
  async ({ gpu }) => {
    const names = listedFiles.filter((name) => name !== "config.json");
    const damages: [string, ((bytes: Uint8Array) => Uint8Array<ArrayBuffer>) | undefined][] = [
      ...names.map((name) => [name, flipped] as [string, typeof flipped]),
      ...names.filter((name) => name.endsWith(".json")).map((name) =>
        [name, () => Uint8Array.of(123, 125)] as [string, typeof flipped]
      ),
      ...names.slice(0, -1).map((name) => [name, undefined] as [string, undefined]),
    ];
    for (const [name, damage] of damages) {
      await using copy = await copyOf(out());
      const path = join(copy.path, name);
      await (damage ? Deno.writeFile(path, damage(await Deno.readFile(path))) : Deno.remove(path));
      const notices: string[] = [];
      using run = await openRun(gpu, settings(), { out: copy.path, notice: (text) => notices.push(text) });
      assert(notices[0]?.startsWith(`In "${copy.path}" "${name}" is `), `${name}: ${notices}`);
      for (const gone of ["summary.json", name]) assert(!await run.folder.has(gone), `${gone} after ${name}`);
      assertEquals(await run.folder.has("traces.jsonl"), name !== "traces.jsonl");
      const later = ["selection.json", "pivots.jsonl", "summary.json"].includes(name);
      assertEquals(await run.folder.has("evaluations.json"), later, name);
    }
  },
);

Deno.test("a look at a run folder names all that is wrong with it, and changes nothing", async () => {
  const look = async (folder: string) => (await inspectRun(folder))[0]!;
  const whole = await look(out());
  assertEquals([whole.finished, whole.problems], [true, []]);
  assertEquals(new Set(Object.values(whole.files)), new Set(["intact"]));
  await using copy = await copyOf(out());
  const inside = (name: string) => join(copy.path, name);
  await Deno.writeFile(inside("mask.safetensors"), flipped(await Deno.readFile(inside("mask.safetensors"))));
  await Deno.remove(inside("traces.jsonl"));
  await Deno.writeTextFile(inside(".writable-5a"), "");
  const before = (await Array.fromAsync(Deno.readDir(copy.path))).map(({ name }) => name).sort();
  const { finished, files, problems } = await look(copy.path);
  assertEquals((await Array.fromAsync(Deno.readDir(copy.path))).map(({ name }) => name).sort(), before);
  assertEquals([finished, files["traces.jsonl"], files["mask.safetensors"]], [false, "missing", "changed"]);
  assertEquals([files["localization.json"], files["summary.json"]], ["outdated", "outdated"]);
  assert(problems.every((problem) => /^"[^\n]*\.$/.test(problem)), problems.join("\n"));
  assert(problems.some((problem) => problem.includes(".writable-5a")));
  await whileFileIs(at("fact.jsonl"), (text) => text + "\n", async () => {
    assert((await look(out())).problems[0]!.includes(`${at("fact.jsonl")}" of fact has changed since`));
  });
  await Deno.rename(at("fact.jsonl"), at("elsewhere.jsonl"));
  assert((await look(out())).problems[0]!.includes("not all there"));
  await Deno.rename(at("elsewhere.jsonl"), at("fact.jsonl"));
  await Deno.writeTextFile(inside("config.json"), "{}");
  assert((await look(copy.path)).problems[0]!.includes("config.json"));
  await assertRejects(() => inspectRun(at("nothing")), InputError, "holds no run");
  using _lock = await FolderLock.take(copy.path);
  assert((await look(copy.path)).in_use!.includes(`process ${Deno.pid}`));
});

gpuTest("what is made again is what it was", async ({ gpu }) => {
  const contents = async () =>
    await Promise.all(listedFiles.map(async (name) => {
      const bytes = await Deno.readFile(join(out(), name));
      return name === "summary.json" ? withoutSeconds(bytes) : bytes.toHex();
    }));
  const before = await contents();
  for (const name of ["mask.safetensors", "patch.json"]) {
    await Deno.writeFile(join(out(), name), flipped(await Deno.readFile(join(out(), name))));
    await runAmplify(gpu, settings(), { out: out() });
    assertEquals(await contents(), before, name);
  }
});

/** summary.json but for how long everything took. */
function withoutSeconds(bytes: Uint8Array): string {
  const { seconds: _, ...summary } = JSON.parse(new TextDecoder().decode(bytes));
  return JSON.stringify(summary);
}

gpuTest("what a killed start leaves half done is swept, and a torn line of events ends", async ({ gpu }) => {
  await using copy = await copyOf(out());
  const inside = (...names: string[]) => join(copy.path, ...names);
  await Deno.mkdir(inside(".unfinished"));
  for (const name of [".unfinished/patch.json", ".writable-5a", "manifest.json.part"]) {
    await Deno.writeTextFile(inside(name), "{");
  }
  await Deno.writeTextFile(inside("events.jsonl"), '{"time": "20', { append: true });
  await runAmplify(gpu, settings(), { out: copy.path });
  const names = (await Array.fromAsync(Deno.readDir(copy.path))).map(({ name }) => name);
  assertEquals(names.filter((name) => name.startsWith(".") || name.endsWith(".part")), []);
  const lines = (await Deno.readTextFile(inside("events.jsonl"))).trim().split("\n");
  assertEquals(lines.at(-2), '{"time": "20');
  assertEquals(JSON.parse(lines.at(-1)!).type, "resumed");
});

Deno.test("a run's own config.json starts another run like it", async () => {
  const source = await readSettingsFile(join(out(), "config.json"), runDefinitions);
  assertEquals(await runSettings(readSettings(runDefinitions, [source])), settings());
});

Deno.test("keys of a run's files are in snake_case and documented, but for names that are data", async () => {
  const documented = await Deno.readTextFile(new URL("../../engine/run/README.md", import.meta.url));
  // Names of abilities, templates, files, tensors and shape classes, with the constants of shaders.
  const named = /(\.inputs\.model|\.files|\.made_from|abilities|\.per_template|\.rows|\.kernels)$/;
  const strange: string[] = [];
  const look = (value: unknown, place: string) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inside] of Object.entries(value)) {
      const ours = /^[a-z]+[a-z0-9]*(_[a-z0-9]+)*$/.test(key) &&
        (place.includes(".settings") || documented.includes(`\`${key}\``));
      if (!Array.isArray(value) && !ours) strange.push(`${place}.${key}`);
      if (!named.test(`${place}.${key}`)) look(inside, `${place}.${key}`);
    }
  };
  for await (const { name } of Deno.readDir(out())) {
    if (!/\.jsonl?$/.test(name)) continue;
    const text = await Deno.readTextFile(join(out(), name));
    const values = name.endsWith("l") ? text.trim().split("\n") : [text];
    for (const [i, line] of values.entries()) look(JSON.parse(line), `${name}:${i + 1}`);
  }
  assertEquals(strange, []);
});
