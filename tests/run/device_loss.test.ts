/** Runs whose device is lost: they go on once on a fresh one from the last stage that ended, and come to the same bytes. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { runAmplify } from "../../engine/run/amplify_run.ts";
import { listedFiles } from "../../engine/run/manifest.ts";
import { loseDevice, type LossPoint } from "../chaos/device_faults.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { tinyRun, writeSmallTask } from "./run_fixture.ts";
import "../ops/gpu_fixture.ts";

Deno.test("an amplify whose device is lost says so, goes on on a fresh one, and leaves the same files", async () => {
  await using work = await temporaryFolder();
  await writeSmallTask(work.path, 3);
  const out = (name: string) => join(work.path, name);
  const run = async (name: string, point: LossPoint, at: number) => {
    using gpu = await Gpu.open();
    const seen = loseDevice(gpu, point, at);
    const notices: string[] = [];
    const notice = (sentence: string) => notices.push(sentence);
    await runAmplify(gpu, tinyRun(work.path), { out: out(name), tune: false, notice });
    return { calls: seen.submit, lost: notices.filter((sentence) => sentence.includes("device was lost")) };
  };
  const contents = async (name: string) =>
    await Promise.all(
      listedFiles.slice(0, -1).map(async (
        file,
      ) => [file, (await Deno.readFile(join(out(name), file))).toHex()]),
    );
  const whole = await run("whole", "submit", 0);
  assertEquals(whole.lost, []);
  const { lost } = await run("submit", "submit", Math.ceil(0.9 * whole.calls));
  assertEquals(lost.length, 1);
  assertEquals(await contents("submit"), await contents("whole"));
  const stages = (await Deno.readTextFile(join(out("submit"), "events.jsonl"))).trim().split("\n")
    .map((line) => JSON.parse(line)).filter(({ type }) => type === "stage").map(({ stage }) => stage);
  assert(stages.filter((stage) => stage === "identify").length === 1, "the traces were made again");
});
