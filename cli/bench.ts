/** deno task bench: times kernels, stages and, if asked, whole runs on this adapter, each checked before. */
import { fileURLToPath } from "node:url";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { runBenchmark } from "../engine/benchmark/benchmark.ts";
import { loadPeers } from "../engine/benchmark/peers.ts";
import { type BenchResult, record, round, tableHead, tableRow } from "../engine/benchmark/result.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import denoConfig from "../deno.json" with { type: "json" };

const folder = fileURLToPath(new URL("../fixtures/benchmarks", import.meta.url));

await runCommand({
  name: "bench",
  summary: "Times kernels and stages on this GPU; --json prints one line of JSON for each.",
  flags: [
    { name: "filter", value: "REGEX", help: "only names (or name and shape) that match", type: types.text },
    {
      name: "peers",
      help: "the same work through TensorFlow.js and jax-js too",
      type: types.switch,
      fallback: false,
    },
    { name: "quick", help: "fewer shapes, shorter samples", type: types.switch, fallback: false },
    { name: "all", help: "the whole amplify run too", type: types.switch, fallback: false },
    { name: "record", help: "append the results to fixtures/benchmarks", type: types.switch, fallback: true },
    { name: "no-record", help: "do not append them", type: types.switch },
  ],
  async run(values) {
    const filter = typeof values.filter === "string" ? toRegExp(values.filter) : undefined;
    const json = values.json === true;
    using gpu = await Gpu.open();
    // On a terminal the table itself shows how far things are.
    const display = new ProgressDisplay(values.quiet === true || (!json && Deno.stdout.isTerminal()));
    if (!json) console.log(`adapter: ${gpu.adapterName}\n\n${tableHead}`);
    const results: BenchResult[] = [];
    const failures = await runBenchmark(gpu, {
      ...(filter && { filter }),
      quick: values.quick === true,
      all: values.all === true,
      peers: values.peers ? await loadPeers() : [],
      out: "runs/bench-amplify",
      progress: display.report,
    }, (result) => {
      results.push(result);
      console.log(json ? JSON.stringify(round(result)) : tableRow(result));
    });
    display.finish();
    failures.forEach((message) => console.error(`error: ${message}`));
    if (values.record && results.length > 0) {
      const path = await record(gpu, folder, results, denoConfig.version, values.quick === true);
      if (!json) console.log(`\nrecorded in ${path}`);
    }
    return failures.length > 0 ? 1 : 0;
  },
});

function toRegExp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InputError(`--filter "${text}" is not a regular expression.`);
  }
}
