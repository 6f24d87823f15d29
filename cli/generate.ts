/** deno task generate: completes a prompt. */
import { applyPatch, readPatch } from "../engine/patch/patch.ts";
import { encodePrompt } from "../engine/evaluation/prompt.ts";
import { completionText, endAtStop } from "../engine/evaluation/tasks.ts";
import { InputError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { generate } from "../engine/model/generate.ts";
import { loadModel } from "../engine/run/load_model.ts";
import { promptFormat } from "../engine/run/prompt_settings.ts";
import type { StorageChoice } from "../engine/model/weights.ts";
import { tune } from "../engine/ops/tuning.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { embeddedModel, modelFlags, promptFlags, toPromptSettings, tuneFlag } from "./run_flags.ts";

await runCommand({
  name: "generate",
  summary: "Prints a model's completion of a prompt.",
  flags: [
    ...modelFlags,
    { name: "prompt", value: "TEXT", help: "the prompt, as it is", type: types.text },
    { name: "question", value: "TEXT", help: "a question, asked as the prompt flags say", type: types.text },
    ...promptFlags,
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
    const unused = ["chat", "shots", "prompt-template"].find((name) => values[name]);
    if (values.prompt !== undefined && unused) {
      throw new InputError(
        `--${unused} is about questions, and --prompt is taken as it is; give --question.`,
      );
    }
    const folder = (values.model as string | undefined) ?? embeddedModel();
    const prompt = await toPromptSettings(values, folder);
    // What follows a prompt taken as it is may be anything, so only what was asked for ends it.
    const stop = values.prompt !== undefined && !values.stop ? [] : prompt.stop;
    using gpu = await Gpu.open();
    if (!values["no-tune"]) await tune(gpu);
    const { revision, storage } = values as { revision?: string; storage: StorageChoice };
    const cacheMemory = values["cache-memory"] as number;
    const display = new ProgressDisplay(values.quiet === true);
    const source = { model: folder, ...(revision && { revision }), storage, cacheMemory };
    using model = await loadModel(gpu, source, {
      offline: values.offline === true,
      progress: display.report,
    });
    if (values.patch) await applyPatch(model, await readPatch(values.patch as string));
    const ids = values.prompt !== undefined
      ? model.tokenizer.encode((values.prompt as string).replaceAll("\\n", "\n"))
      : encodePrompt(model, values.question as string, promptFormat(prompt));
    const [temperature, topK, topP] = [values.temperature, values["top-k"], values["top-p"]] as number[];
    const requests = Array.from({ length: values.samples as number }, () => ({
      ids,
      temperature: temperature!,
      topK: topK!,
      topP: topP!,
    }));
    const room = model.contextLength - ids.length;
    const generated = await generate(model, requests, {
      maxNewTokens: Math.max(1, Math.min(prompt.maxNewTokens, room)),
      seed: values.seed as number,
      ...(stop.length > 0 && { stopAt: endAtStop(model, stop) }),
    });
    const texts = generated.map((tokens) => completionText(model, tokens, { stop }));
    for (const text of texts) console.log(text);
    if (values.json) {
      console.log(JSON.stringify({ completions: texts.map((text, i) => ({ text, ids: generated[i] })) }));
    }
  },
});
