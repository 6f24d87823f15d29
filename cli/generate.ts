/** deno task generate: completes a prompt. */
import { applyPatch, readPatch } from "../engine/circuit/patch.ts";
import { encodePrompt } from "../engine/evaluation/tasks.ts";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { generate } from "../engine/model/generate.ts";
import { loadModel } from "../engine/run/load_model.ts";
import type { StorageChoice } from "../engine/model/weights.ts";
import { tune } from "../engine/run/tuning.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { cacheFlag, embeddedModel, modelFlags, promptFlags, tuneFlag } from "./run_flags.ts";

const [template, maxNewTokens, storageFlag] = promptFlags;

await runCommand({
  name: "generate",
  summary: "Prints a model's completion of a prompt.",
  flags: [
    ...modelFlags,
    { name: "prompt", value: "TEXT", help: "the prompt, as it is", type: types.text },
    { name: "question", value: "TEXT", help: "a question, put into the prompt template", type: types.text },
    template!,
    { ...maxNewTokens!, help: "most tokens to generate" },
    storageFlag!,
    cacheFlag,
    tuneFlag,
    { name: "temperature", value: "T", help: "0 is greedy", type: types.nonNegative, fallback: 0 },
    {
      name: "top-k",
      value: "K",
      help: "only the K most likely tokens, 0 for all",
      type: types.integer(0),
      fallback: 0,
    },
    {
      name: "top-p",
      value: "P",
      help: "only the most likely tokens of this mass",
      type: types.fraction,
      fallback: 1,
    },
    { name: "samples", value: "N", help: "number of completions", type: types.integer(1), fallback: 1 },
    { name: "seed", value: "N", help: "seed of the sampling", type: types.integer(0), fallback: 0 },
    {
      name: "patch",
      value: "PATH",
      help: "patch to apply first: a run folder or patch.safetensors",
      type: types.text,
    },
  ],
  async run(values) {
    if ((values.prompt === undefined) === (values.question === undefined)) {
      throw new InputError("Give either --prompt TEXT or --question TEXT.");
    }
    using gpu = await Gpu.open();
    if (!values["no-tune"]) await tune(gpu);
    const { model: source = embeddedModel(), revision, storage } = values as {
      model?: string;
      revision?: string;
      storage: StorageChoice;
    };
    const cacheMemory = values["cache-memory"] as number;
    const display = new ProgressDisplay(values.quiet === true);
    using model = await loadModel(
      gpu,
      { model: source, ...(revision && { revision }), storage, cacheMemory },
      {
        offline: values.offline === true,
        progress: display.report,
      },
    );
    if (values.patch) await applyPatch(model, await readPatch(values.patch as string));
    const ids = values.prompt !== undefined
      ? model.tokenizer.encode((values.prompt as string).replaceAll("\\n", "\n"))
      : encodePrompt(
        model,
        values.question as string,
        (values["prompt-template"] as string).replaceAll("\\n", "\n"),
      );
    const [temperature, topK, topP] = [values.temperature, values["top-k"], values["top-p"]] as number[];
    const requests = Array.from({ length: values.samples as number }, () => ({
      ids,
      temperature: temperature!,
      topK: topK!,
      topP: topP!,
    }));
    const room = model.contextLength - ids.length;
    const generated = await generate(model, requests, {
      maxNewTokens: Math.max(1, Math.min(values["max-new-tokens"] as number, room)),
      seed: values.seed as number,
    });
    const texts = generated.map((tokens) => model.tokenizer.decode(tokens, { skipSpecialTokens: true }));
    for (const text of texts) console.log(text);
    if (values.json) {
      console.log(JSON.stringify({ completions: texts.map((text, i) => ({ text, ids: generated[i] })) }));
    }
  },
});
