/** Stages taken from another run: only where everything they depend on is the same, and it is said. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { runIdentify } from "../../engine/run/amplify_run.ts";
import { temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { shortRun, writeSmallTask } from "./run_fixture.ts";

gpuTest(
  "traces of another run serve other selections, and its mask where that is the same",
  async ({ gpu }) => {
    await using folder = await temporaryFolder();
    const at = (name: string) => join(folder.path, name);
    await writeSmallTask(folder.path, 4);
    const settings = shortRun(folder.path, { traces: { ...shortRun(folder.path).traces, limit: 12 } });
    const gradient = { ...settings, selection: { method: "gradient", budget: "1%p" } } as const;
    const start = { tune: false, notice: (sentence: string) => void notices.push(sentence) };
    const notices: string[] = [];
    const first = await runIdentify(gpu, settings, { ...start, out: at("first") });

    const chosen = await runIdentify(gpu, gradient, { ...start, out: at("gradient"), from: at("first") });
    assertEquals(chosen.examples, first.examples);
    assertMatch(notices.join("\n"), /traces and pivotal tokens, gradient\.$/m);
    assert(chosen.circuit.record.circuit.parameter_share <= 0.01);
    assert(chosen.circuit.record.circuit.capture_ratio > first.circuit.record.circuit.capture_ratio);
    const stages = async (name: string) =>
      (await Deno.readTextFile(join(at(name), "events.jsonl"))).trim().split("\n")
        .map((line) => JSON.parse(line)).filter(({ type }) => type === "stage").map(({ stage }) => stage);
    assertEquals(await stages("gradient"), ["mask"]); // the ranking alone

    const { dispatches } = gpu;
    const same = await runIdentify(gpu, settings, { ...start, out: at("same"), from: at("first") });
    assertEquals(same.selection, first.selection);
    assertMatch(notices.join("\n"), /traces and pivotal tokens, gradient, selection\.$/m);
    assertEquals(await stages("same"), []);
    assert(gpu.dispatches - dispatches < 400, "something was computed again");

    const refused = (changes: object, from: string, why: string) =>
      assertRejects(
        () => runIdentify(gpu, { ...settings, ...changes }, { ...start, out: at("no"), from, fresh: true }),
        InputError,
        why,
      );
    await refused({ seed: 1 }, at("first"), "seed 0 instead of 1");
    await refused({}, at("nowhere"), "holds no run with traces");
  },
);
