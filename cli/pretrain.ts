/** pretrain: trains an embedded model from a seed with the engine itself, or writes its data sets. */
import { join } from "node:path";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { withSnakeCaseKeys } from "../engine/json_keys.ts";
import { kinds } from "../engine/pretrain/exercises.ts";
import { pretrain as train, writeDataSets } from "../engine/pretrain/pretrain.ts";
import { defaultBatch, defaultSteps, embeddedSizes, shapes } from "../engine/pretrain/recipe.ts";
import { TrainingFolder } from "../engine/pretrain/training_folder.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { freshSetting, outSetting, tuneSetting } from "../engine/run/settings/start.ts";
import { integer, oneOf, seed, toggle } from "../engine/run/settings/value_types.ts";
import { prepareGpu } from "../engine/run/start_options.ts";
import { describeTemplates } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printJson } from "./terminal.ts";

export const pretrain = defineCommand({
  name: "pretrain",
  summary: "Trains an embedded model from a seed and measures it; the same command resumes.",
  settings: {
    training: {
      shape: setting({
        name: "shape",
        type: oneOf(shapes),
        default: "gemma2",
        help: `architecture: ${shapes.join(" or ")}`,
        example: "olmo2",
      }),
      steps: setting({
        name: "steps",
        type: integer(1, 1_000_000),
        otherwise: shapes.map((shape) => `${defaultSteps[shape]} for ${shape}`).join(", "),
        help: "optimizer steps",
        example: "1000",
      }),
      batch: setting({
        name: "batch",
        type: integer(1, 4096),
        default: defaultBatch,
        help: "sequences a step",
        example: "8",
      }),
      seed: setting({
        name: "seed",
        type: seed,
        default: 0,
        help: "seed of initial weights and training exercises",
        example: "1",
      }),
      dataSeed: setting({
        name: "data-seed",
        type: seed,
        default: 0,
        help: "seed of the data sets that are kept out of training; 0 made fixtures/tasks",
        example: "1",
      }),
      dataOnly: setting({
        name: "data-only",
        type: toggle,
        default: false,
        help: "only write the data sets, math, choice, reverse and fact.jsonl, into the folder to write to",
        example: "",
      }),
    },
    start: {
      out: outSetting("model folder", "runs/ and a name from shape and seed"),
      fresh: freshSetting,
      tune: tuneSetting,
    },
  },
  resumes: true,
  async run({ training: { dataOnly, ...training }, start, json, quiet }) {
    const { shape, dataSeed } = training;
    if (dataOnly) {
      const { out } = start;
      if (out === undefined) throw new InputError("Data sets need a folder to be written into.", "out");
      await requireWritable(out);
      await writeDataSets(dataSeed, out);
      print(`data sets         ${kinds.map((kind) => join(out, `${kind}.jsonl`)).join(" ")}`);
      if (json) printJson({ out, data_seed: dataSeed });
      return;
    }
    const settings = { ...training, sizes: embeddedSizes, steps: training.steps ?? defaultSteps[shape] };
    const out = start.out ?? join("runs", `pretrain-${shape}-seed${settings.seed}`);
    const display = new ProgressDisplay(quiet);
    using gpu = await Gpu.open();
    display.watch(gpu);
    using folder = await TrainingFolder.open(out, settings, start.fresh);
    await prepareGpu(gpu, { ...start, notice: display.notice });
    const { accuracy, perTemplate } = await train(gpu, folder, settings, display.report, display.notice);
    display.finish();
    for (const line of describeTemplates(perTemplate)) print(line);
    for (const kind of kinds) print(`${kind.padEnd(17)} ${(100 * accuracy[kind]).toFixed(1)} %`);
    print(`model             ${out}`);
    if (json) {
      const asked = withSnakeCaseKeys(settings) as object;
      const { adapterName: adapter } = gpu;
      printJson({ ...asked, out, accuracy, per_template: perTemplate, adapter });
    }
  },
});

if (import.meta.main) await runCommand(pretrain);
