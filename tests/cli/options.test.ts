/** Every option of every command: a good value arrives, a wrong one is told what is wanted, in exactly one sentence. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { loadCommand, loadCommands } from "../../cli/commands.ts";
import { optionName } from "../../cli/options.ts";
import { selectionMethods } from "../../engine/circuit/selection/select.ts";
import { InputError } from "../../engine/errors.ts";
import { publishedShapes } from "../../engine/model/published_shapes.ts";
import { controlNames } from "../../engine/run/settings/control_names.ts";
import { type Setting, settingsOf } from "../../engine/run/settings/setting.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const largestSeed = "an integer from 0 to 4294967295";
const text = ["", "a text"] as const;
const number = (wrong: string, is: string) => [wrong, is] as const;

/** By option, or by command and option: a wrong value and what it "is not". */
const wrong: Readonly<Record<string, readonly [string, string]>> = {
  "config": text,
  "model": text,
  "revision": text,
  "run": text,
  "storage": ["f64", "one of auto, checkpoint, f32"],
  "ignore-tensors": text,
  "cache-memory": number("-1", "a number ≥ 0"),
  "data": text,
  "seed": number("4294967296", largestSeed),
  "seeds": ["4-0", "a range like 0-4 or a list like 1,3, of at most 1000 seeds"],
  "preset": ["published", "one of default, paper"],
  "description": text,
  "prompt-template": text,
  "shots": ["", "a file, none, default, or a list of question and answer"],
  "stop": text,
  "template-var": ["enable_thinking", "NAME=VALUE"],
  "thinking-tags": ["<work>", "two tags parted by a space"],
  "max-new-tokens": number("0", "an integer ≥ 1"),
  "doctor max-new-tokens": number("0", "an integer from 1 to 16777216"),
  "limit": number("-1", "an integer ≥ 0"),
  "pivot": ["suffix", "one of prefix, branching"],
  "samples": number("2.5", "an integer from 1 to 10000"),
  "temperature-right": number("0", "a number > 0"),
  "temperature-wrong": number("warm", "a number > 0"),
  "mask-rate": number("0", "a number > 0"),
  "mask-strength": number("-0.1", "a number ≥ 0"),
  "mask-epochs": number("0", "an integer ≥ 1"),
  "mask-patience": number("-1", "a number ≥ 0"),
  "mask-initial": number("0", "a number in (0, 1]"),
  "mask-batch": number("1e-3", "an integer from 1 to 65536"),
  "objective": ["accuracy", "one of logit-difference, preference"],
  "optimizer": ["adam", "one of sgd, adamw"],
  "rate": number("1e999", "a number > 0"),
  "tries": number("0", "an integer from 1 to 9"),
  "anchor": ["l2", "one of none, kl"],
  "anchor-weight": number("0", "a number > 0"),
  "weight-decay": number("-1", "a number ≥ 0"),
  "steps": number("0", "an integer ≥ 1"),
  "grid": ["budget", "NAME=VALUES"],
  "rounds": number("0", "an integer ≥ 1"),
  "steps-per-round": number("0", "an integer ≥ 1"),
  "round-problems": number("0", "an integer from 1 to 1000000"),
  "validation-problems": number("-1", "an integer ≥ 0"),
  "pretrain steps": number("0", "an integer from 1 to 1000000"),
  "validate-every": number("0", "an integer ≥ 1"),
  "patience": number("-1", "an integer ≥ 0"),
  "ability": ["fact", "NAME=FILE"],
  "controls": ["random,dora", `a list of ${controlNames.join(", ")}, or all or none`],
  "draws": number("0", "an integer from 1 to 10000"),
  "select": ["magnitude", `one of ${selectionMethods.join(", ")}`],
  "budget": ["101%", "40 or 1.6% (components), 20000p or 1%p (parameters)"],
  "from": text,
  "out": text,
  "shards": number("0", "an integer from 1 to 100000"),
  "parallel": number("0", "an integer from 1 to 100000"),
  "time": ["4h", "HH:MM:SS or D-HH:MM:SS"],
  "partition": text,
  "image": text,
  "claim": text,
  "mount": text,
  "shard": ["8/8", "a shard's number from 0, or the number and how many there are, like 3/8"],
  "to": ["gguf", "one of patch, peft"],
  "templates": text,
  "instances": number("0", "an integer from 1 to 1000000"),
  "puzzle": ["chess", "one of hanoi, checkers, river, blocks"],
  "max-drop": number("-1", "a number ≥ 0"),
  "margin": number("-1", "a number ≥ 0"),
  "model-a": text,
  "model-b": text,
  "split": ["exam", "one of train, validation, test, all"],
  "last": number("0", "an integer from 1 to 4096"),
  "top": number("0", "an integer from 1 to 100"),
  "show": number("0", "an integer ≥ 1"),
  "patch": text,
  "rounding": ["up", "one of nearest, stochastic, none"],
  "patch rounding": ["none", "one of nearest, stochastic"],
  "prompt": text,
  "question": text,
  "temperature": number("-0.5", "a number ≥ 0"),
  "top-k": number("1.5", "an integer from 0 to 4294967295"),
  "top-p": number("1.5", "a number in (0, 1]"),
  "shape": ["mamba", "one of gemma2, olmo2"],
  "batch": number("0", "an integer from 1 to 4096"),
  "data-seed": number("-1", largestSeed),
  "golden": text,
  "shapes": ["gemma-7", `one or more of ${Object.keys(publishedShapes).join(", ")}`],
  "layers": number("0", "an integer ≥ 1"),
  "gpu-memory": number("0", "a number > 0"),
  "shared-tokens": number("0", "an integer from 1 to 16777216"),
  "prompt-tokens": number("0", "an integer from 1 to 16777216"),
  "examples": number("0", "an integer from 1 to 1000000"),
  "selected": number("0", "a number in (0, 1]"),
  "filter": text,
  "tasks": text,
  "task-data": text,
  "scorer": text,
  "num-fewshot": number("-1", "an integer ≥ 0"),
  "sizes": ["8-1", "a range like 1-8 or a list like 2,4"],
  "evaluate limit": number("-1", "a number > 0"),
};

const commands = await loadCommands();
const usage = "circuit-amp test";
const isSwitch = ({ type }: Setting<unknown>) => type.placeholder === "";
const at = (values: unknown, path: readonly string[]) =>
  path.reduce((node, key) => (node as Record<string, unknown>)[key], values);

for (const command of commands) {
  Deno.test(`every option of ${command.name} takes its example and refuses a wrong value`, async () => {
    await using folder = await temporaryFolder();
    for (const { setting, path } of settingsOf(command.settings)) {
      const { name, example } = setting;
      const option = optionName(setting);
      if (name !== "config") {
        const { values } = await command.parse(isSwitch(setting) ? [option] : [option, example], usage);
        assertNotEquals(at(values, path), setting.default, `${option} ${example} changes nothing`);
      }
      const [value, is] = isSwitch(setting)
        ? ["maybe", "true or false"]
        : wrong[`${command.name} ${name}`] ?? wrong[name] ?? assertKnown(name);
      const file = `${folder.path}/settings.json`;
      await Deno.writeTextFile(file, JSON.stringify({ [name]: value }));
      const shown = JSON.stringify(value);
      if (!isSwitch(setting)) {
        const { message } = await assertRejects(() => command.parse([option, value], usage), InputError);
        assertEquals(message, `${option} ${shown} is not ${is}.`);
      }
      if (name === "config") continue;
      const { message } = await assertRejects(() => command.parse(["--config", file], usage), InputError);
      assertEquals(message, `${option} ${shown} (from config file "${file}") is not ${is}.`);
    }
  });
}

function assertKnown(name: string): never {
  throw new Error(`Setting "${name}" has no wrong value in this test; give it one.`);
}

Deno.test("no two settings of a command share a name, and every name fits a command line", () => {
  for (const command of commands) {
    const names = settingsOf(command.settings).map(({ setting }) => setting.name);
    assertEquals(names, [...new Set(names)]);
    for (const name of names) assert(/^[a-z]+(-[a-z]+)*$/.test(name) && !name.startsWith("no-"), name);
  }
});

Deno.test("abilities are named once, and none takes the main task's name", async () => {
  const evaluate = await loadCommand("evaluate");
  const refused = async (args: string[], complaint: string) => {
    const { message } = await assertRejects(() => evaluate.parse(args, usage), InputError);
    assertEquals(message, `--ability ${complaint}.`);
  };
  await refused(["--ability", "task=x.jsonl"], '"task=x.jsonl" names "task", which is the main task');
  await refused(
    ["--ability", "fact=a.jsonl", "--ability", "fact=b.jsonl"],
    '"fact=b.jsonl" names "fact" a second time',
  );
  const { values } = await evaluate.parse(["--ability", "a=1=2", "--ability", "b-c=d"], usage);
  assertEquals(at(values, ["evaluation", "abilities"]), { a: "1=2", "b-c": "d" });
});

Deno.test("seeds are numbers and ranges, each once", async () => {
  const seeds = async (given: string) => {
    const { values } = await (await loadCommand("amplify")).parse(["--seeds", given], usage);
    return at(values, ["start", "seeds"]);
  };
  assertEquals(await seeds("0-4"), [0, 1, 2, 3, 4]);
  assertEquals(await seeds("7,1-3,2"), [7, 1, 2, 3]);
  for (const given of ["0-4294967296", "4294967296", "1,,2", "0-99999", "a"]) {
    await assertRejects(() => seeds(given), InputError, `--seeds "${given}" is not a range like 0-4`);
  }
});

Deno.test("an option that is off by its name works wherever it stands", async () => {
  const amplify = await loadCommand("amplify");
  const tune = async (...args: string[]) => at((await amplify.parse(args, usage)).values, ["start", "tune"]);
  assertEquals(await tune(), true);
  assertEquals(await tune("--no-tune"), false);
  assertEquals(await tune("--no-tune", "--seeds", "0-1"), false);
});

Deno.test("what a file switches on the command line switches off, and the other way round", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/settings.yaml`;
  await Deno.writeTextFile(file, "chat: true\ntune: false\n");
  const amplify = await loadCommand("amplify");
  const read = async (...args: string[]) => {
    const { values } = await amplify.parse(["--config", file, ...args], usage);
    return [at(values, ["prompt", "chat"]), at(values, ["start", "tune"])];
  };
  assertEquals(await read(), [true, false]);
  assertEquals(await read("--no-chat", "--tune"), [false, true]);
  await Deno.writeTextFile(file, "no-tune: true\n");
  assertEquals(await read("--chat"), [true, false]);
});

Deno.test("a line end is \\n on the command line and itself in a file", async () => {
  await using folder = await temporaryFolder();
  const generate = await loadCommand("generate");
  const file = `${folder.path}/settings.json`;
  await Deno.writeTextFile(file, JSON.stringify({ prompt: { stop: ["\\n", "\n"] } }));
  const stop = async (...args: string[]) =>
    at((await generate.parse(args, usage)).values, ["prompt", "stop"]);
  assertEquals(await stop("--stop", "\\n\\n", "--stop", "Q:"), ["\n\n", "Q:"]);
  assertEquals(await stop("--config", file), ["\\n", "\n"]);
});
