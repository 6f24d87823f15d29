/** Progress on plain output: something is said within two seconds, and inside of a single step. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ProgressDisplay } from "../../cli/progress.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";

/** What a display says while `act` runs on a clock of its own, in milliseconds; not on a terminal. */
function linesOf(
  act: (display: ProgressDisplay, wait: (ms: number) => void, gpu: Gpu) => void,
  quiet = false,
) {
  const said: string[] = [];
  const { error } = console;
  const { now } = performance;
  const { isTerminal } = Deno.stderr;
  let clock = 1000;
  console.error = (line: string) => said.push(line);
  performance.now = () => clock;
  Deno.stderr.isTerminal = () => false;
  try {
    const gpu = {} as Gpu;
    const display = new ProgressDisplay(quiet);
    display.watch(gpu);
    act(display, (ms) => clock += ms, gpu);
    display.finish();
  } finally {
    console.error = error;
    performance.now = now;
    Deno.stderr.isTerminal = isTerminal;
  }
  return said;
}

Deno.test("a batch that takes minutes says how far it is within two seconds, then every ten", () => {
  const said = linesOf((display, wait, gpu) => {
    display.report("greedy traces", 0, 126);
    for (let part = 1; part <= 100; part++) {
      wait(400);
      gpu.onWork!(part * 10, 1000);
    }
  });
  assertEquals(said[0], "greedy traces …");
  assertMatch(said[1]!, /^greedy traces: 0 of 126, 4 % of what is under way$/);
  assertEquals(said.length, 2 + 3 + 1); // 38 seconds later, and how long it took
});

Deno.test("work before any stage or on a quiet display is not shown", () => {
  const act = (display: ProgressDisplay, wait: (ms: number) => void, gpu: Gpu) => {
    wait(5000);
    gpu.onWork?.(1, 2);
    display.report("update", 1, 1);
    wait(5000);
    gpu.onWork?.(1, 2);
  };
  assertEquals(linesOf(act), ["update …", "update: 0.0 s"]);
  assertEquals(linesOf(act, true), []);
});

Deno.test("a step's own note stays beside the work's", () => {
  const said = linesOf((display, wait, gpu) => {
    display.report("update", 3, 50, "loss 0.5");
    wait(1600);
    gpu.onWork!(1, 2);
  });
  assert(said[1]!.endsWith("loss 0.5, 50 % of what is under way"), said[1]);
});
