/** deno task pretrain: trains an embedded model from a seed with the engine itself, or writes its data sets. */
import { join } from "node:path";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { kinds } from "../engine/pretrain/exercises.ts";
import { pretrain, type PretrainSettings, writeDataSets } from "../engine/pretrain/pretrain.ts";
import { defaultBatch, defaultSteps, embeddedSizes, type Shape, shapes } from "../engine/pretrain/recipe.ts";
import { TrainingFolder } from "../engine/pretrain/training_folder.ts";
import { tune } from "../engine/ops/tuning.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { tuneFlag } from "./run_flags.ts";

await runCommand({
  name: "pretrain",
  summary: "Trains an embedded model from a seed and measures it; the same command resumes.",
  flags: [
    {
      name: "shape",
      value: "NAME",
      help: `architecture: ${shapes.join(" or ")}`,
      type: types.oneOf(...shapes),
      fallback: "gemma2",
    },
    {
      name: "steps",
      value: "N",
      help: `optimizer steps (default: ${
        shapes.map((shape) => `${defaultSteps[shape]} for ${shape}`).join(", ")
      })`,
      type: types.integer(1),
    },
    { name: "batch", value: "N", help: "sequences a step", type: types.integer(1), fallback: defaultBatch },
    {
      name: "seed",
      value: "N",
      help: "seed of initial weights and training exercises",
      type: types.integer(0),
      fallback: 0,
    },
    {
      name: "data-seed",
      value: "N",
      help: "seed of the data sets that are kept out of training; 0 made fixtures/tasks",
      type: types.integer(0),
      fallback: 0,
    },
    {
      name: "out",
      value: "DIR",
      help: "model folder (default: runs/ and a name from shape and seed)",
      type: types.text,
    },
    { name: "fresh", help: "start over instead of resuming", type: types.switch, fallback: false },
    {
      name: "data-only",
      help: "only write the data sets, math, choice, reverse and fact.jsonl, into --out",
      type: types.switch,
      fallback: false,
    },
    tuneFlag,
  ],
  async run(values) {
    const shape = values.shape as Shape;
    const settings: PretrainSettings = {
      shape,
      sizes: embeddedSizes,
      steps: values.steps as number | undefined ?? defaultSteps[shape],
      batch: values.batch as number,
      seed: values.seed as number,
      dataSeed: values["data-seed"] as number,
    };
    if (values["data-only"]) {
      const out = values.out as string | undefined;
      if (!out) throw new InputError("--data-only needs --out, the folder to write the data sets into.");
      await requireWritable(out);
      await writeDataSets(settings.dataSeed, out);
      console.log(`data sets         ${kinds.map((kind) => join(out, `${kind}.jsonl`)).join(" ")}`);
      if (values.json) console.log(JSON.stringify({ out, data_seed: settings.dataSeed }));
      return;
    }
    const out = values.out as string ?? join("runs", `pretrain-${settings.shape}-seed${settings.seed}`);
    const display = new ProgressDisplay(values.quiet === true);
    using gpu = await Gpu.open();
    const folder = await TrainingFolder.open(out, { ...settings }, values.fresh === true);
    if (!values["no-tune"]) await tune(gpu);
    const { accuracy, perTemplate } = await pretrain(gpu, folder, settings, display.report);
    display.finish();
    for (const [template, value] of Object.entries(perTemplate)) {
      console.log(`template ${template.padEnd(8)} ${(100 * value).toFixed(1)} %`);
    }
    for (const kind of kinds) console.log(`${kind.padEnd(17)} ${(100 * accuracy[kind]).toFixed(1)} %`);
    console.log(`model             ${out}`);
    if (values.json) {
      console.log(
        JSON.stringify({ ...settings, out, accuracy, per_template: perTemplate, adapter: gpu.adapterName }),
      );
    }
  },
});
