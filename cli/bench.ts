/** bench: times kernels, stages and, if asked, whole runs on this adapter, each checked before. */
import { fileURLToPath } from "node:url";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { listBenchmarks, runBenchmark } from "../engine/benchmark/benchmark.ts";
import { benchmarkModel, chosenStages } from "../engine/benchmark/model_benchmark.ts";
import { loadPeers } from "../engine/benchmark/peers.ts";
import { type BenchResult, record, round, tableHead, tableRow } from "../engine/benchmark/result.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { text, toggle } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import denoConfig from "../deno.json" with { type: "json" };
import { print, printAside, printJson } from "./terminal.ts";

const folder = fileURLToPath(new URL("../fixtures/benchmarks", import.meta.url));

export const bench = defineCommand({
  name: "bench",
  summary: "Times kernels and stages on this GPU; --json prints one line of JSON for each.",
  settings: {
    benchmark: {
      model: setting({
        name: "model",
        type: text("DIR"),
        otherwise: "kernels, and stages of the embedded model",
        help: "every stage on this model, beside the least it has to do and the adapter's ceilings",
        example: "models/gemma-2-2b",
      }),
      profile: setting({
        name: "profile",
        type: toggle,
        default: false,
        help: "with a model: the five dearest kernels of each stage as well",
        example: "",
      }),
      filter: setting({
        name: "filter",
        type: text("REGEX"),
        otherwise: "all",
        help: "only names (or name and shape) that match",
        example: "matmul",
      }),
      peers: setting({
        name: "peers",
        type: toggle,
        default: false,
        help: "the same work through TensorFlow.js and jax-js too",
        example: "",
      }),
      quick: setting({
        name: "quick",
        type: toggle,
        default: false,
        help: "fewer shapes, shorter samples",
        example: "",
      }),
      all: setting({
        name: "all",
        type: toggle,
        default: false,
        help: "the whole amplify run too",
        example: "",
      }),
      list: setting({
        name: "list",
        type: toggle,
        default: false,
        help: "only print the names and shapes that would be measured",
        example: "",
      }),
      record: setting({
        name: "record",
        type: toggle,
        default: false,
        help: "append the results to fixtures/benchmarks",
        example: "",
      }),
    },
  },
  async run({ benchmark: values, json, quiet }) {
    const filter = values.filter === undefined ? undefined : toRegExp(values.filter);
    if (values.profile && values.model === undefined) {
      throw new InputError("A profile is of a model's stages; name the model.", "profile", "model");
    }
    for (const name of ["peers", "all"] as const) {
      if (values.model === undefined || !values[name]) continue;
      throw new InputError("A model's stages are measured alone; leave the other option out.", "model", name);
    }
    using gpu = await Gpu.open();
    const choice = {
      ...(filter && { filter }),
      quick: values.quick,
      all: values.all,
      out: "runs/bench-amplify",
    };
    if (values.list) {
      for (const { name, shape } of values.model ? chosenStages(choice) : listBenchmarks(gpu, choice)) {
        if (json) printJson({ name, shape });
        else print(`${name} ${shape}`.trimEnd());
      }
      return;
    }
    // On a terminal the table itself shows how far things are.
    const display = new ProgressDisplay(quiet || (!json && Deno.stdout.isTerminal()));
    if (!json) print(`adapter: ${gpu.adapterName}\n\n${tableHead}`);
    const results: BenchResult[] = [];
    const show = (result: BenchResult) => {
      results.push(result);
      if (json) printJson(round(result));
      else print(tableRow(result));
    };
    const progress = display.report;
    const failures: string[] = [];
    if (values.model === undefined) {
      const peers = values.peers ? await loadPeers() : [];
      failures.push(...await runBenchmark(gpu, { ...choice, peers, progress }, show));
    } else {
      await benchmarkModel(gpu, { ...choice, model: values.model, profile: values.profile, progress }, show);
    }
    display.finish();
    failures.forEach((message) => printAside(`error: ${message}`));
    if (values.record && results.length > 0) {
      const path = await record(gpu, folder, results, denoConfig.version, values.quick);
      if (!json) print(`\nrecorded in ${path}`);
    }
    return failures.length > 0 ? 1 : 0;
  },
});

function toRegExp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InputError(`"${text}" is not a regular expression.`, "filter");
  }
}

if (import.meta.main) await runCommand(bench);
