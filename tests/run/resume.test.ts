/** Resuming: other contents are refused, another adapter is said, damaged files are one sentence, and one process has the folder. */
import { join } from "node:path";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { openRun, runAmplify } from "../../engine/run/amplify_run.ts";
import { changedInput, fingerprintInputs } from "../../engine/run/inputs.ts";
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
  await whileFileIs(join(out(), "config.json"), other, async () => {
    await runAmplify(gpu, settings(), { out: out(), notice: (sentence) => notices.push(sentence) });
  });
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

gpuTest("a damaged file of a run is one sentence that names the file and the field", async ({ gpu }) => {
  const cut = (text: string) => text.slice(0, text.length / 2);
  const replace = (from: RegExp, to: string) => (text: string) => {
    assertNotEquals(text.replace(from, to), text);
    return text.replace(from, to);
  };
  const damages: [string, (text: string) => string, string][] = [
    ["config.json", cut, "not JSON"],
    ["config.json", () => "[]", "expected object"],
    ["config.json", replace(/"adapter": ".*?"/, '"adapter": 5'), "adapter"],
    ["config.json", replace(/"circuit_amp": "/, '"circuit-amp": "'), "of version"],
    ["summary.json", cut, "not JSON"],
    ["summary.json", replace(/"gain": .*/, '"gain": "much",'), "accuracy.gain"],
    ["evaluations.json", replace(/"accuracy": .*/, '"accuracy": 2,'), "base.accuracy"],
    ["update.json", replace(/"best_step": 1/, '"best_step": -1'), "best_step"],
    ["mask.json", replace(/"stopped_early"/, '"stoppedEarly"'), "stopped_early"],
    ["localization.json", replace(/"desired_token": \d+/, '"desired_token": "the"'), "0.desired_token"],
    ["mask.safetensors", (text) => text.slice(0, 100), "mask.safetensors"],
  ];
  for (const [name, damage, what] of damages) {
    // What comes later than the damaged file would be read first.
    const later = name === "summary.json" || name === "config.json" ? [] : ["summary.json"];
    const kept = await Promise.all(later.map((file) => Deno.readTextFile(join(out(), file))));
    for (const file of later) await Deno.remove(join(out(), file));
    const bytes = await Deno.readFile(join(out(), name));
    await Deno.writeTextFile(join(out(), name), damage(new TextDecoder().decode(bytes)));
    const { message } = await assertRejects(() => runAmplify(gpu, settings(), { out: out() }), InputError);
    assert(message.includes(join(out(), name)) && message.includes(what), `${name}: ${message}`);
    assert(/^[^\n]*\.$/.test(message), message);
    await Deno.writeFile(join(out(), name), bytes);
    for (const [i, file] of later.entries()) await Deno.writeTextFile(join(out(), file), kept[i]!);
  }
});

Deno.test("a run's own config.json starts another run like it", async () => {
  const source = await readSettingsFile(join(out(), "config.json"), runDefinitions);
  assertEquals(await runSettings(readSettings(runDefinitions, [source])), settings());
});

Deno.test("keys of a run's files are in snake_case and documented, but for names that are data", async () => {
  const documented = await Deno.readTextFile(new URL("../../engine/run/README.md", import.meta.url));
  // Names of abilities, templates, files, tensors and shape classes, with the constants of shaders.
  const named = /(\.inputs\.model|abilities|\.per_template|\.rows|\.kernels)$/;
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
