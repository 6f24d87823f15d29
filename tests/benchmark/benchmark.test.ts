/** The benchmark: its lines, its ratios, and that a wrong kernel is found before it is timed. */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { listBenchmarks, runBenchmark } from "../../engine/benchmark/benchmark.ts";
import type { Peer } from "../../engine/benchmark/peers.ts";
import { adapterSlug, type BenchResult, record, round, tableRow } from "../../engine/benchmark/result.ts";
import { isDrawn } from "../../engine/reference/sampling.ts";
import { assertRefused, command, run } from "../cli/command_line.ts";
import { jsonLines, temporaryFolder } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

async function quickly(gpu: Gpu, filter: RegExp, peers: readonly Peer[] = []) {
  const results: BenchResult[] = [];
  const options = { filter, peers, quick: true, out: "unused" };
  const failures = await runBenchmark(gpu, options, (result) => results.push(result));
  return { results, failures };
}

Deno.test("bench --json prints one line a measurement with the fields of the contract", async () => {
  const args = ["--filter", "^rmsnorm", "--quick", "--json"];
  const { code, stdout, stderr } = await run("bench", args);
  assertEquals(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as BenchResult);
  assert(lines.length >= 2, "the adapter's own variant and at least one other");
  for (const { name, shape, variant, ms, gflops, gbps, share, adapter, error } of lines) {
    assertEquals([name, shape], ["rmsnorm", "1024x128"]);
    assert(["parallel", "serial"].includes(variant), variant);
    for (const number of [ms, gflops, gbps, share]) assert(number! > 0, `${variant}: ${number}`);
    assert(error! < 1e-5);
    assertMatch(adapter, /./);
  }
  assertEquals(new Set(lines.map(({ variant }) => variant)).size, lines.length);
});

gpuTest("what is listed is what would be measured, and none of it is", async ({ gpu }) => {
  const { dispatches } = gpu;
  const options = { filter: /^(ceiling|rmsnorm|gated-mlp 256)/, quick: true, out: "unused" };
  const listed = listBenchmarks(gpu, options);
  assertEquals(gpu.dispatches, dispatches);
  const { results } = await quickly(gpu, options.filter);
  const names = (all: readonly { name: string }[]) => [...new Set(all.map(({ name }) => name))].sort();
  assertEquals(names(listed), names(results));
  assertEquals(listBenchmarks(gpu, { ...options, filter: /^amplify/ }), [], "quick leaves whole runs out");
});

Deno.test("a wrong kernel ends bench with exit code 1 and is not timed", async () => {
  await using folder = await temporaryFolder();
  const gpuModule = new URL("../../engine/gpu/gpu.ts", import.meta.url);
  const sabotage = join(folder.path, "sabotage.ts");
  await Deno.writeTextFile(
    sabotage,
    `import { Gpu } from ${JSON.stringify(gpuModule.href)};
    const compile = Gpu.prototype.pipeline;
    Gpu.prototype.pipeline = function (kernel) {
      const template = kernel.template.replace("inverseSqrt(", "sqrt(");
      if (kernel.name === "rmsnorm" && template === kernel.template) throw new Error("nothing to make wrong");
      return compile.call(this, { ...kernel, template });
    };`,
  );
  const bench = fileURLToPath(new URL("../../cli/bench.ts", import.meta.url));
  const permissions = ["--allow-read", "--allow-env"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", ...permissions, "--preload", pathToFileURL(sabotage).href, bench],
      ...["--filter", "^(rmsnorm|gated-mlp)", "--quick", "--json", "--quiet"],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const errors = new TextDecoder().decode(stderr);
  assertEquals(code, 1, errors);
  assertMatch(
    errors,
    /^error: rmsnorm 1024x128 \(\w+\) is wrong: element \d+ is .+, its float64 twin says .+/,
  );
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ name }) => name), ["gated-mlp"]);
});

gpuTest("other libraries are checked, and their times stand beside ours with the ratio", async ({ gpu }) => {
  const prepare: Peer["prepare"] = (work) => {
    if (work.kind !== "matmul") return [];
    const { a, b, m, n, k, plain } = work;
    const y = new Float32Array(m * n);
    for (let i = 0; i < y.length; i++) {
      const [row, column] = [Math.floor(i / n), i % n];
      for (let p = 0; p < k; p++) {
        y[i]! += a[row * k + p]! * (plain ? b[p * n + column]! : b[column * k + p]!);
      }
    }
    const wait = () => new Promise<Float32Array>((resolve) => setTimeout(() => resolve(y), 40));
    return [{ run: wait, dispose() {} }];
  };
  const { results, failures } = await quickly(gpu, /^matmul 64x768/, [{ name: "slow", prepare }]);
  assertEquals(failures, []);
  const [own, ...others] = results;
  assert(own!.peers!.slow! >= 35, `${own!.peers!.slow} ms`);
  assertEquals(own!.ratios!.slow, own!.peers!.slow! / own!.ms);
  assert(others.every(({ peers }) => peers === undefined), "only the adapter's own variant is compared");
  assertStringIncludes(tableRow(own!), "x vs slow");

  const wrong: Peer = {
    name: "wrong",
    prepare: (work) =>
      prepare(work).map((peer) => ({
        ...peer,
        run: async () => (await peer.run(1) as Float32Array).map((y) => y + 1),
      })),
  };
  const { failures: found } = await quickly(gpu, /^matmul 64x768/, [wrong]);
  assertEquals(found.length, 1);
  assertMatch(found[0]!, /^matmul 64x768x128 .*wrong.*differs/);
});

gpuTest(
  "a mask step is measured both ways, which agree, with how much faster one token is",
  async ({ gpu }) => {
    const { results, failures } = await quickly(gpu, /^mask-step/);
    assertEquals(failures, []);
    assertEquals(results.map(({ name }) => name), ["mask-step/full-prefix", "mask-step/one-token"]);
    const [full, one] = results;
    assertEquals([full!.shape, one!.shape], ["64", "64"]);
    assertEquals(one!.speedup, full!.ms / one!.ms);
    assert(one!.speedup! > 1 && one!.error! < 1e-4);
  },
);

Deno.test("results are kept with date, versions and adapter, grouped by run", async () => {
  await using folder = await temporaryFolder();
  using gpu = await Gpu.open();
  const result: BenchResult = {
    name: "matmul",
    shape: "1x1x1",
    variant: "serial f32",
    ms: 1 / 3,
    peers: { tfjs: 2 / 3 },
    adapter: gpu.adapterName,
  };
  await record(gpu, folder.path, [result, result], "1.2.3", false);
  const path = await record(gpu, folder.path, [result], "1.2.3", true);
  assertStringIncludes(path, `${adapterSlug(gpu.adapterName)}.jsonl`);
  const lines = await jsonLines<Record<string, unknown>>(path);
  assertEquals(lines.length, 3);
  assertEquals([lines[0]!.ms, lines[0]!.peers], [0.3333, { tfjs: 0.6667 }]);
  assertEquals([lines[0]!.run, lines[0]!.circuit_amp], [lines[1]!.run, "1.2.3"]);
  assert(lines[2]!.run !== lines[0]!.run && lines[2]!.quick === true);
  assert(Date.parse(lines[0]!.date as string) > 0);
  assertEquals(round({ ...result, ms: 12.3456 }).ms, 12.35);
});

Deno.test("the sampling twin accepts what the draw may yield and nothing else", () => {
  const logits = Float32Array.of(0, 3, 1, 2);
  const accepted = (topK: number, topP: number, temperature = 1) => {
    const found = new Set<number>();
    for (let stream = 0; stream < 200; stream++) {
      const drawn = [0, 1, 2, 3].filter((id) => isDrawn(logits, { temperature, topK, topP, stream }, 1, id));
      assert(drawn.length >= 1 && drawn.length <= 2, "one id, or two at an edge");
      drawn.forEach((id) => found.add(id));
    }
    return [...found].sort();
  };
  assertEquals(accepted(0, 1), [0, 1, 2, 3]);
  assertEquals(accepted(2, 1), [1, 3]);
  assertEquals(accepted(0, 0.6), [1]);
  assertEquals(accepted(0, 1, 0), [1]);
});

Deno.test("a filter that is no regular expression or matches nothing is refused", async () => {
  assertRefused(await run("bench", ["--filter", "(", "--quiet"]), 2, "regular expression");
  const { code, stderr } = await command("bench", [
    "--filter",
    "^nothing$",
    "--quick",

    "--quiet",
  ])
    .output();
  assertEquals(code, 2);
  assertStringIncludes(new TextDecoder().decode(stderr), "matches no benchmark");
});
