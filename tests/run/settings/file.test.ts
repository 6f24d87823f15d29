/** Configuration files: groups and names, lists and maps, a run's config.json, and what is refused. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/errors.ts";
import { readSettingsFile } from "../../../engine/run/settings/file.ts";
import { runDefinitions, runSettings, runSettingsRecord } from "../../../engine/run/settings/run.ts";
import { checkSettings, readSettings } from "../../../engine/run/settings/setting.ts";
import { embeddedModel, type TemporaryFolder, temporaryFolder } from "../../model/model_fixture.ts";

let folder: TemporaryFolder;
Deno.test.beforeAll(async () => {
  folder = await temporaryFolder();
});
Deno.test.afterAll(async () => await folder[Symbol.asyncDispose]());

async function read(text: string, name = "settings.yaml") {
  const path = join(folder.path, name);
  await Deno.writeTextFile(path, text);
  return readSettings(runDefinitions, [await readSettingsFile(path, runDefinitions)]);
}

Deno.test("settings stand in groups or by their names, and values that some have lists or maps for take both", async () => {
  const expected = checkSettings(runDefinitions, {
    model: { source: "org/name", cacheMemory: 3 },
    data: { file: "p.jsonl" },
    prompt: { stop: ["\n\n", "Q:"], maxNewTokens: 9 },
    mask: { rate: 0.5 },
    evaluation: { abilities: { fact: "f.jsonl", "b-c": "d" }, controls: ["unmasked"] },
  });
  assertEquals(
    await read(`
model: org/name
cache-memory: 3
data: p.jsonl
stop: ["\\n\\n", "Q:"]
max-new-tokens: 9
mask-rate: 0.5
ability: {fact: f.jsonl, b-c: d}
controls: unmasked
`),
    expected,
  );
  assertEquals(
    await read(`
model: {source: org/name, cache_memory: "3"}
data: {file: p.jsonl}
prompt:
  stop: ["\\n\\n", "Q:"]
  max_new_tokens: 9
mask: {rate: 5e-1}
evaluation:
  abilities: [fact=f.jsonl, b-c=d]
  controls: [unmasked]
`),
    expected,
  );
  assertEquals((await read("controls: none")).evaluation.controls, []);
  assertEquals((await read("controls: []")).evaluation.controls, []);
});

Deno.test("the settings that a run records are a file that gives the same settings again", async () => {
  for (const shots of ["none", [{ question: "Who?", answer: "The answer is 1." }], { text: "Add up.\n\n" }]) {
    const settings = await runSettings({
      model: { source: embeddedModel },
      data: { file: "p.jsonl" },
      seed: 7,
      prompt: { shots },
      update: { objective: "logit-difference", patience: 0 },
      evaluation: { abilities: {}, controls: [] },
    });
    const record = { settings: runSettingsRecord(settings), versions: {}, adapter: "some" };
    const given = await read(JSON.stringify(record), "config.json");
    assertEquals(await runSettings(given), settings);
  }
});

Deno.test("a run's file may hold settings of other commands, any other file may not", async () => {
  const settings = { seed: 3, melting: { point: 4 } };
  const ofRun = await read(JSON.stringify({ settings, versions: {} }), "config.json");
  assertEquals(ofRun.seed, 3);
  await assertRejects(() => read(JSON.stringify(settings)), InputError, 'sets "melting"');
});

Deno.test("what a file gets wrong is one sentence that names the file and the key", async () => {
  const refused = async (text: string, complaint: string) => {
    const error = await assertRejects(() => read(text), InputError);
    const path = join(folder.path, "settings.yaml");
    assert(error.message.includes(path) && /^[^\n]*\.$/.test(error.message), error.message);
    assert(error.message.includes(complaint), error.message);
  };
  await refused("[1, 2]", "is not a map of settings");
  await refused("", "is not a map of settings");
  await refused("seed: [", "cannot be read");
  await refused("seed: 1\nseed: 2", "cannot be read");
  await refused("promt: x", 'sets "promt", which is no setting of this command');
  await refused("mask: {rat: 1}", 'sets "mask.rat", which is no setting of this command');
  await refused("mask: {weight-decay: 1}", 'sets "mask.weight-decay"');
  await refused("mask: 5", 'gives 5 for "mask", which is a group of settings');
  await refused("mask-rate: 1\nmask: {rate: 2}", 'sets "mask-rate" twice');
  await refused("settings: {seed: 1}", 'sets "settings"');
  await refused("rate:", "rate null (from config file");
  await refused("stop: [a, 5]", "stop 5 (from config file");
  await refused("ability: {a b: x}", 'ability {"a b":"x"} (from config file');
  await assertRejects(() => readSettingsFile("none.yaml", runDefinitions), InputError, "does not exist");
});

Deno.test("settings from code are checked like any others", () => {
  const check = (given: object) => () => checkSettings(runDefinitions, given);
  assertThrows(check({ mask: { rate: 0 } }), InputError, "Setting mask.rate 0 is not a number > 0.");
  assertThrows(check({ seed: 2 ** 32 }), InputError, "Setting seed 4294967296 is not an integer from 0 to");
  assertThrows(check({ evaluation: { controls: ["dora"] } }), InputError, 'controls "dora" is not a list');
  assertEquals(checkSettings(runDefinitions, {}).mask.epochs, 50);
});
