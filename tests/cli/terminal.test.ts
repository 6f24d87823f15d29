/** What a terminal shows: lines of progress that fit, results that hang, colour, and Ctrl-C. In a pseudo-terminal where that matters. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { duration, progressLine, rateText } from "../../cli/progress_line.ts";
import { RunEstimate } from "../../cli/run_estimate.ts";
import { hanging } from "../../cli/terminal.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const widths = [60, 80, 120];

Deno.test("a line of progress fits 60, 80 and 120 columns with its rate and time left", () => {
  const stages = [
    "update",
    "control random-parameters-12: last validation",
    "seed 4: evaluate amplified: reverse",
  ];
  for (const columns of widths) {
    for (const stage of stages) {
      for (const run of [undefined, "37 %, about 25 min left"]) {
        for (const note of [undefined, "round 4: greedy traces, 64 of 128, 43 % of what is under way"]) {
          for (
            const [done, total, rate] of [[1, 2, 0.001], [1234, 98_765, 123.4], [0, 480, undefined]] as const
          ) {
            const line = progressLine({ stage, done, total, rate, run, note }, columns);
            assert(line.length < columns, line);
            assertStringIncludes(line, `${done}/${total}`);
            assertStringIncludes(line, stage.slice(0, 9));
            if (rate === undefined) continue;
            assertStringIncludes(line, ` ${rateText(rate)} ${duration((total - done) / rate)} left`);
          }
        }
      }
    }
  }
});

Deno.test("rates and durations are told in units that say something", () => {
  assertEquals([120, 1.25, 0.1, 0.001].map(rateText), ["120/s", "1.3/s", "6.0/min", "3.6/h"]);
  assertEquals([0, 12.2, 99, 100, 3000, 9000, 90_000].map(duration), [
    "0 s",
    "13 s",
    "99 s",
    "2 min",
    "50 min",
    "2.5 h",
    "25 h",
  ]);
});

Deno.test("wrapped lines hang behind their label, and words longer than the terminal stay whole", () => {
  const line = "verdict        The update gained on the task and all of that is said here.";
  assertEquals(
    hanging(line, 40),
    "verdict        The update gained on the\n               task and all of that is\n               said here.",
  );
  assertEquals(hanging("short", 40), "short");
  const path = `report         ${"/long".repeat(20)}`;
  assertEquals(hanging(path, 40), path);
  assertEquals(hanging("error: a sentence that is too long", 20), "error: a sentence\nthat is too long");
});

Deno.test("a whole run is estimated from its first steps, and stages that end early count as done", () => {
  let clock = 100;
  const stages = [{ name: "traces", work: 100 }, { name: "mask", work: 200 }, {
    name: "evaluate",
    work: 100,
  }];
  const estimate = new RunEstimate(stages, () => clock);
  estimate.report("traces", 0, 50);
  assertEquals(estimate.text(), undefined);
  clock += 10;
  estimate.report("traces", 25, 50); // 50 of 400 in 10 s
  assertEquals(estimate.left(), { share: 0.125, seconds: 70 });
  clock += 3;
  assertEquals(estimate.text(), "12 %, about 67 s left");
  estimate.report("mask", 1, 10);
  clock += 7;
  estimate.report("evaluate: test", 0, 10); // the mask settled; 300 in 20 s
  assertEquals(estimate.left()!.share, 0.75);
  assert(Math.abs(estimate.left()!.seconds - 20 / 3) < 1e-9);
  const resumed = new RunEstimate(stages, () => clock);
  resumed.report("evaluate", 0, 10); // two stages were done before
  clock += 10;
  resumed.report("evaluate", 5, 10);
  assertEquals(resumed.text(), "87 %, about 10 s left");
});

/** Runs a shell command in a pseudo-terminal of so many columns; undefined where util-linux's script is missing. */
async function inTerminal(columns: number, line: string, env: Record<string, string> = {}) {
  const { code, stdout } = await new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns} rows 40; ${line}`, "/dev/null"],
    cwd: root,
    env: { TERM: "xterm", ...env },
    stdin: "null",
  }).output();
  return { code, shown: new TextDecoder().decode(stdout) };
}

const hasScript = Deno.build.os === "linux" &&
  await new Deno.Command("script", { args: ["--version"] }).output().then(() => true, () => false);
const cli = `${Deno.execPath()} run --quiet --allow-all cli`;

/** What stood on each line whenever it was drawn anew. */
const drawn = (shown: string) =>
  // deno-lint-ignore no-control-regex -- the terminal's own codes
  shown.split(/\r|\n|\x1b\[[01]?G/).map((line) => line.replace(/\x1b(\[[0-9;?]*[a-zA-Z]|[78])/g, ""));

for (const columns of widths) {
  Deno.test({
    name: `on a terminal of ${columns} columns nothing that is drawn is wider`,
    ignore: !hasScript,
    async fn() {
      await using folder = await temporaryFolder();
      const draw = join(folder.path, "draw.ts");
      await Deno.writeTextFile(
        draw,
        `import { ProgressDisplay } from "${join(root, "cli/progress.ts")}";
import { print } from "${join(root, "cli/terminal.ts")}";
const display = new ProgressDisplay(false);
display.expect([{ name: "greedy traces", work: 100 }, { name: "evaluate", work: 900 }]);
for (let done = 0; done <= 40; done++) {
  display.report("greedy traces", done, 126, "a note that is as long as notes of rounds are, 40 % of what is under way");
  if (done === 20) display.notice("a sentence in between");
  await new Promise((resolve) => setTimeout(resolve, 30));
}
display.finish();
print("verdict        It may not be claimed that the circuit is better or worse than its control, which is what all of this says.");
Deno.exit(0);`,
      );
      const { code, shown } = await inTerminal(columns, `${Deno.execPath()} run -A --quiet ${draw}`);
      const lines = drawn(shown);
      assertEquals(code, 0, shown);
      for (const line of lines) assert(line.length <= columns, line);
      const bars = lines.filter((line) => /^greedy traces .*126/.test(line));
      assert(bars.some((line) => /[1-9]\d*\/126 [\d.]+\/s \d+ s left/.test(line)), shown);
      assert(lines.includes("note: a sentence in between"), shown);
      assertEquals(bars.some((line) => line.includes("0/126 ")), true);
      assert(lines.some((line) => /^greedy traces: [\d.]+ s, ended after 40 of 126$/.test(line)), shown);
      assert(columns > 100 || lines.some((line) => line.startsWith("               ")), shown);
    },
  });
}

Deno.test({
  name: "errors are coloured on a terminal, and not with NO_COLOR",
  ignore: !hasScript,
  async fn() {
    const refused = `${cli}/evaluate.ts --split exam`;
    const plain = await inTerminal(80, refused, { NO_COLOR: "1" });
    assertEquals(plain.code, 2);
    assertStringIncludes(plain.shown, 'error: --split "exam"');
    assert(!plain.shown.includes("\x1b["), plain.shown);
    const { NO_COLOR: _, ...env } = Deno.env.toObject();
    const { stdout } = await new Deno.Command("script", {
      args: ["-qec", refused, "/dev/null"],
      cwd: root,
      clearEnv: true,
      env: { ...env, TERM: "xterm" },
      stdin: "null",
    }).output();
    assertStringIncludes(new TextDecoder().decode(stdout), "\x1b[31merror:");
  },
});

/** A program that listens as commands do and is then busy, synchronously, in steps of `step` ms. */
async function interrupted(body: string, signals: number) {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "busy.ts");
  await Deno.writeTextFile(
    path,
    `import { endIfInterrupted, endOnSignals } from "${join(root, "cli/interruption.ts")}";
endOnSignals({ SIGINT: { said: "Interrupted.", code: 130 } });
await new Promise((resolve) => setTimeout(resolve, 1500));
console.log("busy");
const until = Date.now() + 20_000;
while (Date.now() < until) { ${body} }
Deno.exit(0);`,
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-read", path],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  const start = performance.now();
  for (let i = 0; i < signals; i++) {
    child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  const said = child.stderr.text();
  const { code } = await child.status;
  await reader.cancel();
  return { code, said: await said, seconds: (performance.now() - start) / 1000 };
}

Deno.test({
  name: "Ctrl-C is answered between two submissions, and a second one ends at once whatever runs",
  ignore: Deno.build.os === "windows",
  async fn() {
    const between = await interrupted("endIfInterrupted();", 1);
    assertEquals(between.code, 130);
    assertMatch(between.said, /^\nInterrupted\.\n$/);
    const second = await interrupted("", 2);
    assertEquals(second.code, 130);
    assertMatch(second.said, /^\nInterrupted\.\n/);
    for (const { seconds } of [between, second]) assert(seconds < 10, `${seconds} s`);
  },
});
