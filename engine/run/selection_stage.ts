/** The second stage: which components are the circuit, how that stands to the gradient, and what controls share with it. */
import { countSelected, kindCounts, selectComponents, type Selection } from "../circuit/components.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { type LearnedMask, learnMask, referencePatience } from "../circuit/mask_training.ts";
import { fillBudget, parseBudget } from "../circuit/selection/budget.ts";
import { capture, captureDistribution, overlap } from "../circuit/selection/capture.ts";
import { dcmGradientScores } from "../circuit/selection/dcm_gradient.ts";
import { taskEnergies } from "../circuit/selection/energies.ts";
import { selectByRank } from "../circuit/selection/select.ts";
import { readTensors, writeSafetensors } from "../checkpoint/checkpoint.ts";
import { InputError } from "../errors.ts";
import { encodePrompt } from "../evaluation/prompt.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { seededRandom } from "../random.ts";
import { controlSelection, controlsOf, movedParameters } from "./controls.ts";
import type { ControlName } from "./settings/control_names.ts";
import { promptOptions } from "./prompt_settings.ts";
import { type ArmSelection, type MaskRecord, maskSchema, type SelectionRecord } from "./records.ts";
import { type RunContext, timed } from "./run_context.ts";
import { removeTrainingStates } from "./training_state.ts";

/** The circuit, the squared task gradient by component [L · P], and what is said of them. */
export interface Circuit {
  /** Which components it is. */
  readonly selection: Selection;
  /** [L · P], of the gradient of the mean pair loss. */
  readonly energies: Float32Array;
  /** What selection.json holds. */
  readonly record: SelectionRecord;
}

/** Finds the circuit. Leaves energies.safetensors, mask.safetensors, mask.json and selection.json. */
export async function findCircuit(
  context: RunContext,
  examples: readonly LocalizationExample[],
  sharedPrefix: SharedPrefix,
): Promise<Circuit> {
  const { energies, selection } = await storedCircuit(context) ??
    await timed(context, "mask", async () => {
      const stored = await storedSelection(context);
      // The mask comes first: the gradient's overlays end what was computed of the shared prefix.
      const learned = stored ? undefined : await learn(context, examples, sharedPrefix);
      const energies = await gradientEnergies(context, examples);
      return { energies, selection: stored ?? await select(context, examples, energies, learned) };
    });
  const mask = await context.folder.read("mask.json", maskSchema);
  if (mask) maskWarnings(mask).forEach(context.notice);
  const record = describeCircuit(context, selection, energies);
  await context.folder.writeJson("selection.json", record);
  return { selection, energies, record };
}

/** What is doubtful about a learned mask, a sentence each. */
export function maskWarnings({ ended, steps, selected, components }: MaskRecord): string[] {
  if (ended === undefined) return [];
  const warnings: string[] = [];
  if (components.selected === 0) {
    warnings.push("The mask is empty: its L1 strength outweighs every component; lower it.");
  }
  if (components.selected > components.total / 2) {
    warnings.push(
      `The mask holds ${
        components.percent.toFixed(1)
      } % of all components, more than half, so it localizes nothing; raise its L1 strength or train it longer.`,
    );
  }
  if (ended === "epochs") {
    const before = selected.at(-Math.ceil(steps / 10) - 1) ?? components.total;
    warnings.push(
      `Mask training ended after all its epochs (${steps} steps) without having settled${
        before === selected.at(-1)
          ? ""
          : `: ${before} components were selected a tenth of the steps earlier, ${selected.at(-1)} at the end`
      }; train it longer.`,
    );
  }
  return warnings;
}

/** Squared task gradient by component. */
async function gradientEnergies(context: RunContext, examples: readonly LocalizationExample[]) {
  const { model, settings } = context;
  const stored = await readLayers(context, "energies.safetensors", "energy");
  if (stored) return stored;
  const energies = Float32Array.from(await taskEnergies(model, examples, settings.update.objective));
  await writeLayers(context, "energies.safetensors", "energy", energies);
  return energies;
}

/** Selection and gradient of an earlier start, where both are there. */
async function storedCircuit(context: RunContext) {
  const selection = await storedSelection(context);
  const energies = await readLayers(context, "energies.safetensors", "energy");
  return selection && energies && { selection, energies };
}

/** The circuit of an earlier start. */
async function storedSelection(context: RunContext): Promise<Selection | undefined> {
  if (!await context.folder.read("mask.json", maskSchema)) return undefined;
  const mask = await readLayers(context, "mask.safetensors", "mask");
  return mask && selectComponents(mask);
}

/** The component mask, for selections that are made by one. */
async function learn(
  context: RunContext,
  examples: readonly LocalizationExample[],
  sharedPrefix: SharedPrefix,
): Promise<LearnedMask | undefined> {
  const { model, settings, folder, progress } = context;
  const { method } = settings.selection;
  if (method !== "dcm" && method !== "dcm-gradient") return undefined;
  return await learnMask(model, examples, {
    ...settings.mask,
    seed: settings.seed,
    crossPairs: settings.referenceCompat,
    ...(settings.referenceCompat && { patience: referencePatience, referenceStop: true }),
    sharedPrefix,
    store: folder.trainingState("mask"),
  }, (done, total, selected) => progress("component mask", done, total, `${selected} selected`));
}

async function select(
  context: RunContext,
  examples: readonly LocalizationExample[],
  energies: Float32Array,
  learned: LearnedMask | undefined,
): Promise<Selection> {
  const { model, settings, folder, progress } = context;
  const { method, budget: text } = settings.selection;
  const budget = text === undefined ? undefined : parseBudget(text);
  let selection: Selection;
  if (method === "dcm" || method === "dcm-gradient") {
    selection = selectComponents(learned!.mask);
    if (budget) {
      // Values of a settled mask tie at 1: of equal ones those with the denser gradient go first.
      const kept = selection;
      const density = dcmGradientScores(model.config, energies, kept);
      const highest = density.reduce((most, score) => Math.max(most, score), 0) || 1;
      const byMask = density.map((score, i) =>
        kept[i] ? learned!.mask[i]! + 1e-3 * score / highest : -Infinity
      );
      selection = fillBudget(model.config, method === "dcm" ? byMask : density, budget, model.parameters);
    }
  } else {
    selection = await selectByRank(method, {
      model,
      examples,
      energies,
      others: () => otherAnswers(context),
      seed: settings.seed,
      progress,
    }, budget!);
  }
  // A mask that decides itself is kept as it was learned; any other selection is 1 or 0.
  const mask = learned && !budget ? learned.mask : Float32Array.from(selection, Number);
  await writeLayers(context, "mask.safetensors", "mask", mask, {
    component_order: "q heads, k heads, v heads, mlp neurons",
  });
  const components = countSelected(model.config, selection);
  const { layers, headWidth: head_width } = model.config;
  const layout = { layers, per_layer: kindCounts(model.config), head_width };
  const { mask: _, stoppedEarly: stopped_early, ...course } = learned ??
    { mask, stoppedEarly: false, steps: 0, epochs: 0, losses: [], selected: [] };
  await folder.writeJson("mask.json", { components, layout, stopped_early, ...course } satisfies MaskRecord);
  await removeTrainingStates(folder.path);
  return selection;
}

/** Questions of the other abilities with their answers, as the model reads them. */
function otherAnswers({ model, abilities, settings }: RunContext) {
  if (abilities.length === 0) {
    throw new InputError(
      `Selecting by gradient-conflict needs other abilities to hold the gradient against; name one.`,
      "ability",
    );
  }
  const prompt = promptOptions(settings);
  return abilities.flatMap(({ problems }) =>
    problems.map(({ question, answer }) => {
      const asked = encodePrompt(model, question, prompt);
      return {
        ids: [...asked, ...model.tokenizer.encode(` ${answer}`, { addSpecialTokens: false })],
        skip: asked.length,
      };
    })
  );
}

/** What is known of the circuit and its controls before any update. */
function describeCircuit(
  { model, settings }: RunContext,
  selection: Selection,
  energies: Float32Array,
): SelectionRecord {
  const { config } = model;
  const arm = (chosen: Selection, control?: ControlName): ArmSelection => {
    const parameters = movedParameters(model, control, chosen);
    return {
      components: countSelected(config, chosen).selected,
      parameters,
      parameter_share: parameters / model.parameters,
      capture_ratio: capture(config, energies, chosen).ratio,
      overlap: overlap(config, selection, chosen),
    };
  };
  const distribution = (kind: "same-composition" | "same-parameters") =>
    captureDistribution(config, energies, selection, kind, seededRandom(`${settings.seed}/${kind} capture`));
  const empty = !selection.includes(true);
  return {
    method: settings.selection.method,
    ...(settings.selection.budget !== undefined && { budget: settings.selection.budget }),
    circuit: arm(selection),
    squared_gradient_share: capture(config, energies, selection).squared_gradient_share,
    ...(!empty && {
      random_capture: {
        same_composition: distribution("same-composition"),
        same_parameters: distribution("same-parameters"),
      },
    }),
    controls: Object.fromEntries(
      (empty ? [] : controlsOf(settings.evaluation)).map((control) => [
        control.name,
        arm(controlSelection(model, control, selection, energies, settings.seed), control.control),
      ]),
    ),
  };
}

/** Files that hold a value per component. */
type LayersFile = "energies.safetensors" | "mask.safetensors";

/** A value per component from a file with one tensor a layer; undefined where the file is not there. */
async function readLayers({ model, folder }: RunContext, file: LayersFile, name: string) {
  const path = await folder.intact(file);
  if (path === undefined) return undefined;
  const stored = await readTensors(path);
  const perLayer = model.componentsPerLayer;
  const values = new Float32Array(model.config.layers * perLayer);
  for (let l = 0; l < model.config.layers; l++) {
    const tensor = stored.get(`${name}.layers.${l}`);
    if (tensor?.data.length !== perLayer) {
      throw new InputError(
        `"${path}" does not fit the model's ${perLayer} components a layer; start over.`,
        "fresh",
      );
    }
    values.set(tensor.data as Float32Array, l * perLayer);
  }
  return values;
}

async function writeLayers(
  { model, folder }: RunContext,
  file: LayersFile,
  name: string,
  values: Float32Array<ArrayBuffer>,
  metadata: Record<string, string> = {},
) {
  const perLayer = model.componentsPerLayer;
  const layers = Array.from({ length: model.config.layers }, (_, l) => [`${name}.layers.${l}`, {
    dtype: "F32" as const,
    shape: [perLayer],
    data: values.slice(l * perLayer, (l + 1) * perLayer),
  }]);
  await folder.put(file, (path) => writeSafetensors(path, Object.fromEntries(layers), metadata));
}
