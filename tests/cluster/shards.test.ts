/** Runs in shards: the bytes of an undivided run for any number of shards, whatever befalls them on the way. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { mergeRun } from "../../engine/cluster/merge.ts";
import { planRun, readPlan } from "../../engine/cluster/run_plan.ts";
import { partFile } from "../../engine/cluster/shard_files.ts";
import { workShard } from "../../engine/cluster/work.ts";
import { InputError } from "../../engine/errors.ts";
import { seededRandom, shuffled } from "../../engine/random.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import type { RunSettings } from "../../engine/run/settings/run.ts";
import { type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest, sharedGpu } from "../ops/gpu_fixture.ts";
import { assertSameRun, shortRun, writeSmallTask } from "../run/run_fixture.ts";

class Killed extends Error {}

let work: TemporaryFolder;
let settings: RunSettings;
const at = (...names: string[]) => join(work.path, ...names);

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  await writeSmallTask(work.path, 3);
  settings = shortRun(work.path, {
    traces: { limit: 60, samples: 4, temperatureRight: 1.2, temperatureWrong: 0.8, pivot: "branching" },
    mask: { ...shortRun(work.path).mask, epochs: 2 },
    update: { steps: 1 },
  });
  await runAmplify(await sharedGpu(), settings, { out: at("whole"), tune: false });
});
Deno.test.afterAll(async () => await work[Symbol.asyncDispose]());

const plan = (name: string, shards: number) => planRun(settings, { out: at(name), shards, tune: false });

/** Demands that a merged folder holds what an undivided run leaves, beside its plan and shards. */
async function assertMerged(name: string) {
  const copy = at(`${name} without its plan`);
  await Deno.mkdir(copy);
  for await (const { name: file, isFile } of Deno.readDir(at(name))) {
    if (isFile && file !== "run.json") await Deno.copyFile(at(name, file), join(copy, file));
  }
  await assertSameRun(copy, at("whole"));
}

for (const shards of [1, 2, 7]) {
  gpuTest(
    `${shards} shards, done in any order, merge into the bytes of an undivided run`,
    async ({ gpu }) => {
      const name = `of ${shards}`;
      await plan(name, shards);
      const order = shuffled(Array.from({ length: shards }, (_, s) => s), seededRandom(shards));
      for (const shard of order) {
        const { items, already } = await workShard(gpu, at(name), { shard, of: shards });
        assert(items > 0 && !already);
      }
      const begun = new Map<string, boolean>();
      await mergeRun(gpu, at(name), {
        progress: (stage, done, total) => begun.has(stage) || begun.set(stage, done === total),
      });
      await assertMerged(name);
      // Nothing that shards did is done again.
      for (const stage of ["greedy traces", "branches", "evaluate base: test", "evaluate base: fact"]) {
        assertEquals([stage, begun.get(stage)], [stage, true]);
      }
      assertEquals(begun.get("evaluate random: test"), false);
    },
  );
}

gpuTest("shards that are killed, torn and started twice come to the same parts", async ({ gpu }) => {
  await plan("undisturbed", 2);
  await plan("disturbed", 2);
  const random = seededRandom("shards");
  let kills = 0;
  for (const shard of [0, 1]) {
    await workShard(gpu, at("undisturbed"), { shard });
    for (let left = 0; left < Infinity; kills++) {
      left = Math.ceil(random() * 9);
      if (kills % 7 === 6) left = Infinity;
      const progress = () => {
        if (--left <= 0) throw new Killed();
      };
      try {
        await workShard(gpu, at("disturbed"), { shard }, { progress });
        break;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      for await (const { name } of Deno.readDir(at("disturbed", "shards"))) {
        if (!name.endsWith(".journal.jsonl") || random() < 0.7) continue;
        const path = at("disturbed", "shards", name);
        await Deno.truncate(path, Math.floor((await Deno.stat(path)).size * random()));
      }
    }
  }
  assert(kills > 4, `${kills}`);
  for (const shard of [0, 1]) {
    const [one, other] = await Promise.all(
      ["undisturbed", "disturbed"].map((name) => Deno.readTextFile(at(name, partFile(shard)))),
    );
    assertEquals(one!.split("\n").slice(1), other!.split("\n").slice(1));
  }
  const { already } = await workShard(gpu, at("disturbed"), { shard: 1 });
  assert(already);
  assertEquals(
    (await Array.fromAsync(Deno.readDir(at("disturbed", "shards")))).map(({ name }) => name).sort(),
    ["kernels.json", "part-00000.jsonl", "part-00001.jsonl"],
  );
});

gpuTest("of two workers on one shard the first publishes and the second finds the same", async ({ gpu }) => {
  await plan("raced", 7);
  let second: Promise<unknown> | undefined;
  // The first is overtaken between its journal and its part.
  const progress = (stage: string) => {
    if (stage === "evaluate fact") second ??= workShard(gpu, at("raced"), { shard: 3 });
  };
  const first = await workShard(gpu, at("raced"), { shard: 3 }, { progress });
  const outcomes = [first, await second] as { already: boolean; sha256: string }[];
  assertEquals(outcomes.map(({ already }) => already).sort(), [false, true]);
  assertEquals(outcomes[0]!.sha256, outcomes[1]!.sha256);
});

gpuTest(
  "a hole, a cut part and a foreign part are refused at the merge, with the array to run",
  async ({ gpu }) => {
    await plan("holes", 5);
    for (const shard of [0, 1, 4]) await workShard(gpu, at("holes"), { shard });
    const merge = () => assertRejects(() => mergeRun(gpu, at("holes")), InputError);
    assertStringIncludes((await merge()).message, "Shards 2-3 of 0-4");
    assertStringIncludes((await merge()).message, "--array=2-3.");
    const part = at("holes", partFile(1));
    const whole = await Deno.readTextFile(part);
    await Deno.writeTextFile(part, whole.slice(0, -30));
    const { message } = await merge();
    assertStringIncludes(message, "--array=1-3.");
    assertStringIncludes(message, `"${partFile(1)}" is not what was published`);
    const notices: string[] = [];
    await workShard(gpu, at("holes"), { shard: 1 }, { notice: (sentence) => notices.push(sentence) });
    assertEquals(await Deno.readTextFile(part), whole);
    assertEquals(notices.filter((sentence) => sentence.includes("made again")).length, 1);
    await Deno.writeTextFile(part, whole.replace(/"plan":"../, '"plan":"00'));
    assertStringIncludes((await merge()).message, "of another plan");
  },
);

gpuTest("settings, data or a shard that were not planned are refused", async ({ gpu }) => {
  const before = await plan("strict", 3);
  assertEquals(await plan("strict", 3), before);
  assertEquals(await readPlan(at("strict")), before);
  const refused = async (work: () => Promise<unknown>, ...parts: string[]) => {
    const { message } = await assertRejects(work, InputError);
    for (const part of parts) assertStringIncludes(message, part);
  };
  await refused(() => plan("strict", 4), "3 shards instead of 4");
  const other = { ...settings, seed: 9 };
  await refused(() => planRun(other, { out: at("strict"), shards: 3 }), "seed 0 instead of 9");
  await refused(() => plan("whole", 3), "holds a run already");
  await refused(() => workShard(gpu, at("strict"), { shard: 3 }), "0 to 2", "no shard 3");
  await refused(() => workShard(gpu, at("strict"), { shard: 1, of: 4 }), "no shard 1/4");
  await refused(() => workShard(gpu, at("none"), { shard: 0 }), "plan the run first");
  const data = await Deno.readTextFile(at("fact.jsonl"));
  await Deno.writeTextFile(at("fact.jsonl"), data.replace("Q", "R") + " \n");
  await refused(() => workShard(gpu, at("strict"), { shard: 0 }), "changed since the run", "was planned");
  await Deno.writeTextFile(at("fact.jsonl"), data);
  const text = await Deno.readTextFile(at("strict", "run.json"));
  await Deno.writeTextFile(at("strict", "run.json"), text.replace('"seed": 0', '"seed": 1'));
  await refused(() => workShard(gpu, at("strict"), { shard: 0 }), "not what was planned");
});
