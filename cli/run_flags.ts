/** Flags of the commands that work on a model and a task, and the settings they make. */
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../engine/errors.ts";
import { promptSettings } from "../engine/run/prompt_settings.ts";
import {
  defaultRates,
  type PromptSettings,
  type RunSettings,
  settingDefaults,
} from "../engine/run/settings.ts";
import { type Flag, type FlagValues, types } from "./command.ts";

/** The embedded model, which runs without any flag; relative where that is shorter, so that results name no machine. */
export function embeddedModel(): string {
  const path = fileURLToPath(new URL("../fixtures/tiny-model", import.meta.url));
  const near = relative(Deno.cwd(), path);
  return near.startsWith("..") ? path : near;
}

const d = settingDefaults;

/** Which model, which data, where to. */
export const modelFlag: Flag = {
  name: "model",
  value: "DIR|HF-ID",
  help: "model folder in Hugging Face layout, or id such as org/name (default: the embedded model)",
  type: types.text,
};

/** How much memory caches may take. */
export const cacheFlag: Flag = {
  name: "cache-memory",
  value: "GIB",
  help: "most GiB of keys and values on the GPU, 0 for a quarter of the weights but at least 2",
  type: types.nonNegative,
  fallback: d.cacheMemory,
};

/** Which model, and where a Hugging Face id is taken from. */
export const modelFlags: readonly Flag[] = [
  modelFlag,
  {
    name: "revision",
    value: "NAME",
    help: "branch, tag or commit of the Hugging Face id (default: main)",
    type: types.text,
  },
  {
    name: "offline",
    help: "download nothing; only what the Hugging Face cache holds",
    type: types.switch,
    fallback: false,
  },
];

/** How the model is asked; what is left out follows the model folder's prompt.json, if it has one. */
export const promptFlags: readonly Flag[] = [
  {
    name: "prompt-template",
    value: "TEXT",
    help:
      "prompt with {question} in it (default: the model's own, else step by step; with --chat the question)",
    type: types.text,
  },
  {
    name: "shots",
    value: "FILE",
    help: "worked examples before the question: JSONL of question and answer, or plain text; none; " +
      "or default for our own eight (default: the model's own, else those eight)",
    type: types.text,
  },
  {
    name: "chat",
    help: "ask through the model's chat template, shots as earlier turns",
    type: types.switch,
    fallback: false,
  },
  {
    name: "stop",
    value: "TEXT",
    help: "end before this text, repeatable (default: the model's own, else the next example's beginning)",
    type: types.text,
    repeat: true,
  },
  {
    name: "max-new-tokens",
    value: "N",
    help: "most tokens to generate (default: the model's own, else 320)",
    type: types.integer(1),
  },
  {
    name: "storage",
    value: "KIND",
    help: "weights on the GPU: auto, checkpoint (16-bit stays 16-bit) or f32",
    type: types.oneOf("auto", "checkpoint", "f32"),
    fallback: d.storage,
  },
  cacheFlag,
];

/** What is measured. */
export const dataFlags: readonly Flag[] = [
  {
    name: "data",
    value: "FILE",
    help:
      "task: JSONL or parquet with question, answer (#### N), original_id, instance (default: the embedded task)",
    type: types.text,
  },
  {
    name: "ability",
    value: "NAME=FILE",
    help: "other ability to watch, repeatable (default: choice, reverse and fact beside the data)",
    type: types.text,
    repeat: true,
  },
  { name: "seed", value: "N", help: "seed of everything random", type: types.integer(0), fallback: d.seed },
  {
    name: "reference-compat",
    help: "reproduce the reference implementation's quirks",
    type: types.switch,
    fallback: false,
  },
];

/** How kernels are chosen. */
export const tuneFlag: Flag = {
  name: "no-tune",
  help: "do not choose kernels by measurement; the same on every adapter of a kind",
  type: types.switch,
  fallback: false,
};

/** Settings of identify. */
export const identifyFlags: readonly Flag[] = [
  {
    name: "limit",
    value: "N",
    help: "trace at most N training problems, 0 for all",
    type: types.integer(0),
    fallback: d.limit,
  },
  {
    name: "pivot",
    value: "METHOD",
    help: "prefix or branching",
    type: types.oneOf("prefix", "branching"),
    fallback: d.pivot,
  },
  {
    name: "samples",
    value: "N",
    help: "samples per problem in search of a contrasting trace",
    type: types.integer(1),
    fallback: d.samples,
  },
  {
    name: "temperature-right",
    value: "T",
    help: "sampling temperature where the greedy trace is right",
    type: types.positive,
    fallback: d.temperatureRight,
  },
  {
    name: "temperature-wrong",
    value: "T",
    help: "sampling temperature where it is wrong",
    type: types.positive,
    fallback: d.temperatureWrong,
  },
  {
    name: "mask-rate",
    value: "X",
    help: "Adam's rate on the component mask",
    type: types.positive,
    fallback: d.maskRate,
  },
  {
    name: "mask-strength",
    value: "X",
    help: "strength of the mask's L1 term",
    type: types.nonNegative,
    fallback: d.maskStrength,
  },
  {
    name: "mask-epochs",
    value: "N",
    help: "most epochs of mask training",
    type: types.integer(1),
    fallback: d.maskEpochs,
  },
  {
    name: "mask-batch",
    value: "N",
    help: "examples per mask step",
    type: types.integer(1),
    fallback: d.maskBatch,
  },
];

/** Settings of the update and its controls. */
export const updateFlags: readonly Flag[] = [
  {
    name: "objective",
    value: "NAME",
    help: "logit-difference or preference",
    type: types.oneOf("logit-difference", "preference"),
    fallback: d.objective,
  },
  {
    name: "optimizer",
    value: "NAME",
    help: "sgd or adamw (sparse masked)",
    type: types.oneOf("sgd", "adamw"),
    fallback: d.optimizer,
  },
  { name: "rate", value: "X", help: "step size (default by optimizer and objective)", type: types.positive },
  {
    name: "weight-decay",
    value: "X",
    help: "AdamW's decay of the selected rows",
    type: types.nonNegative,
    fallback: d.weightDecay,
  },
  { name: "steps", value: "N", help: "update steps", type: types.integer(1), fallback: d.steps },
  {
    name: "validate-every",
    value: "N",
    help: "steps between validations",
    type: types.integer(1),
    fallback: d.validateEvery,
  },
  {
    name: "patience",
    value: "N",
    help: "end after N validations without a new best, 0 never",
    type: types.integer(0),
    fallback: d.patience,
  },
  {
    name: "controls",
    value: "LIST",
    help: "random, unmasked, both with a comma, or none",
    type: types.text,
    fallback: d.controls.join(","),
  },
];

/** Where results go. */
export const outFlags: readonly Flag[] = [
  tuneFlag,
  {
    name: "out",
    value: "DIR",
    help: "run folder (default: runs/ and a name from command, model and seed)",
    type: types.text,
  },
  {
    name: "fresh",
    help: "start over instead of resuming what the run folder holds",
    type: types.switch,
    fallback: false,
  },
];

/** How model `folder` is asked by these flag values. */
export function toPromptSettings(values: FlagValues, folder: string): Promise<PromptSettings> {
  // A shell passes \n on as two characters.
  const unescape = (text: string) => text.replaceAll("\\n", "\n");
  const template = values["prompt-template"] as string | undefined;
  return promptSettings(folder, {
    template: template === undefined ? undefined : unescape(template),
    shots: values.shots as string | undefined,
    chat: values.chat as boolean | undefined,
    stop: (values.stop as string[] | undefined)?.map(unescape),
    maxNewTokens: values["max-new-tokens"] as number | undefined,
  });
}

/** The settings that flag values stand for; flags a command lacks take their defaults. */
export async function toSettings(values: FlagValues): Promise<RunSettings> {
  const get = <T>(name: string, fallback: T): T => (values[name] as T | undefined) ?? fallback;
  const model = get("model", embeddedModel());
  const data = get("data", join(embeddedModel(), "math.jsonl"));
  const revision = values.revision as string | undefined;
  const objective = get("objective", d.objective as RunSettings["objective"]);
  const optimizer = get("optimizer", d.optimizer as RunSettings["optimizer"]);
  return {
    model,
    ...(revision !== undefined && { revision }),
    data,
    abilities: await toAbilities(values.ability as string[] | undefined, data),
    seed: get("seed", d.seed),
    ...await toPromptSettings(values, model),
    storage: get("storage", d.storage as RunSettings["storage"]),
    cacheMemory: get("cache-memory", d.cacheMemory as number),
    limit: get("limit", d.limit),
    pivot: get("pivot", d.pivot as RunSettings["pivot"]),
    samples: get("samples", d.samples),
    temperatureRight: get("temperature-right", d.temperatureRight),
    temperatureWrong: get("temperature-wrong", d.temperatureWrong),
    maskRate: get("mask-rate", d.maskRate),
    maskStrength: get("mask-strength", d.maskStrength),
    maskEpochs: get("mask-epochs", d.maskEpochs),
    maskBatch: get("mask-batch", d.maskBatch),
    objective,
    optimizer,
    rate: get("rate", defaultRates[optimizer][objective]),
    weightDecay: get("weight-decay", d.weightDecay),
    steps: get("steps", d.steps),
    validateEvery: get("validate-every", d.validateEvery),
    patience: get("patience", d.patience),
    controls: toControls(get("controls", d.controls.join(","))),
    referenceCompat: get("reference-compat", d.referenceCompat as boolean),
  };
}

async function toAbilities(given: string[] | undefined, data: string): Promise<Record<string, string>> {
  if (given) {
    return Object.fromEntries(given.map((text) => {
      const match = text.match(/^([\w-]+)=(.+)$/);
      if (!match) throw new InputError(`--ability "${text}" is not NAME=FILE.`);
      return [match[1]!, match[2]!];
    }));
  }
  const found: Record<string, string> = {};
  for (const name of ["choice", "reverse", "fact"]) {
    const file = join(dirname(data), `${name}.jsonl`);
    if (await Deno.stat(file).then(({ isFile }) => isFile, () => false)) found[name] = file;
  }
  return found;
}

function toControls(text: string): RunSettings["controls"] {
  if (text === "none") return [];
  return text.split(",").map((name) => {
    if (name !== "random" && name !== "unmasked") {
      throw new InputError(`--controls "${text}" is not a list of random and unmasked, or none.`);
    }
    return name;
  });
}

/** The run folder: --out, or a name that says what the run is. */
export function outFolder(values: FlagValues, command: string, settings: RunSettings): string {
  const model = settings.model.replace(/\/+$/, "").split("/").at(-1);
  return (values.out as string | undefined) ?? join("runs", `${command}-${model}-seed${settings.seed}`);
}
