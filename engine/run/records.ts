/** The files of a run folder that are read back: their form, and one sentence for one that is damaged. */
import { z } from "npm:zod@4.6.7";
import { type ComponentKind, componentKinds, type SelectedCount } from "../circuit/components.ts";
import type { CaptureDistribution, Overlap } from "../circuit/selection/capture.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import type { PivotProbabilities } from "../circuit/pivot_tokens.ts";
import { InputError } from "../errors.ts";
import type { MaskEnding } from "../circuit/mask_training.ts";
import type { Tuning } from "../ops/variants.ts";
import type { Survival } from "../patch/fusion.ts";
import type { Inputs } from "./inputs.ts";

const token = z.int().nonnegative();
const count = z.int().nonnegative();
const fraction = z.number().min(0).max(1);
const byName = <T extends z.ZodType>(value: T) => z.record(z.string(), value);

/** localization.json. */
export const localizationSchema: z.ZodType<LocalizationExample[]> = z.array(z.looseObject({
  prefix: z.string(),
  prefix_ids: z.array(token),
  desired_token: token,
  undesired_token: token,
  template_id: z.string(),
  instance_id: z.string(),
  greedy_correct: z.boolean(),
}));

const componentsSchema: z.ZodType<SelectedCount> = z.looseObject({
  selected: count,
  total: count,
  percent: z.number(),
  by_kind: z.record(z.enum(componentKinds), count),
});

/** How many components a model has, and how many rows each takes: which component a value of a mask belongs to. */
export interface ComponentLayout {
  readonly layers: number;
  /** In each layer. */
  readonly per_layer: Readonly<Record<ComponentKind, number>>;
  /** Rows of a head. */
  readonly head_width: number;
}

/** mask.json: how the component mask was learned; the mask itself is mask.safetensors. */
export interface MaskRecord {
  readonly components: SelectedCount;
  /** Of the model; absent in runs begun before it was recorded. */
  readonly layout?: ComponentLayout | undefined;
  readonly steps: number;
  readonly epochs: number;
  /** Whether the selection had settled before the last epoch. */
  readonly stopped_early: boolean;
  /** Why training ended; absent where no mask was trained. */
  readonly ended?: MaskEnding | undefined;
  /** Per step: loss with the L1 term before it, and the number selected after it. */
  readonly losses: readonly number[];
  readonly selected: readonly number[];
}

/** See MaskRecord. */
export const maskSchema: z.ZodType<MaskRecord> = z.looseObject({
  components: componentsSchema,
  layout: z.looseObject({
    layers: count,
    per_layer: z.record(z.enum(componentKinds), count),
    head_width: count,
  }).optional(),
  steps: count,
  epochs: count,
  stopped_early: z.boolean(),
  ended: z.enum(["settled", "epochs", "reference stop"]).optional(),
  losses: z.array(z.number()),
  selected: z.array(count),
});

/** What is known of a selection before any update. */
export interface ArmSelection {
  /** How many are selected. */
  readonly components: number;
  /** How many the update may move. */
  readonly parameters: number;
  /** Of all parameters of the model. */
  readonly parameter_share: number;
  /** ‖g of the selection‖ / (√(its share of the rows that may move) · ‖g‖). */
  readonly capture_ratio: number;
  /** Shares of the circuit's components and parameters that it holds. */
  readonly overlap: Overlap;
}

/** selection.json: the circuit and its controls before any update. */
export interface SelectionRecord {
  /** By what components were selected. */
  readonly method: string;
  /** Most that could be selected. */
  readonly budget?: string | undefined;
  /** What was selected. */
  readonly circuit: ArmSelection;
  /** Share of the squared gradient of all rows that may move. */
  readonly squared_gradient_share: number;
  /** Capture ratios of random selections; absent where nothing is selected. */
  readonly random_capture?: {
    readonly same_composition: CaptureDistribution;
    readonly same_parameters: CaptureDistribution;
  } | undefined;
  /** What it is compared with, by name. */
  readonly controls: Readonly<Record<string, ArmSelection>>;
}

/** One try of an update. */
export interface TryRecord {
  readonly rate: number;
  readonly best_step: number;
  /** On the validation split, at the best step; null where the update diverged. */
  readonly accuracy: number | null;
}

/** update.json: the course of an update. */
export interface UpdateRecord {
  readonly best_step: number;
  /** Number of values that were allowed to move. */
  readonly trainable: number;
  readonly history: readonly {
    readonly step: number;
    readonly accuracy: number;
    readonly loss: number;
    readonly divergence?: number | undefined;
  }[];
  /** Every rate that was tried; `history` is that of the best one. */
  readonly tries: readonly TryRecord[];
}

/** See UpdateRecord. */
export const updateSchema: z.ZodType<UpdateRecord> = z.looseObject({
  best_step: count,
  trainable: count,
  history: z.array(z.looseObject({
    step: count,
    accuracy: fraction,
    loss: z.number(),
    divergence: z.number().optional(),
  })),
  tries: z.array(z.looseObject({ rate: z.number(), best_step: count, accuracy: fraction.nullable() })),
});

/** Outcomes of one model on the test split and the other abilities; evaluations.json holds them by name. */
export interface EvaluationRecord {
  readonly accuracy: number;
  readonly per_template: Readonly<Record<string, number>>;
  readonly correct: readonly boolean[];
  readonly other_abilities: Readonly<Record<string, number>>;
  /** Per item of each other ability. */
  readonly correct_abilities: Readonly<Record<string, readonly boolean[]>>;
  /** Norm of the change of all weights. */
  readonly update_norm: number;
  /** Of a control: the step its own validation chose. */
  readonly best_step?: number | undefined;
  /** Of amplified: probabilities of the two tokens of each localization example. */
  readonly pivots?: PivotProbabilities | undefined;
  /** Of the fused checkpoint: its types, and what rounding to them left of the update. */
  readonly fusion?: { readonly dtype: string; readonly survives: Survival } | undefined;
}

const survivalSchema = z.looseObject({
  values_percent: z.number(),
  norm_ratio: z.number(),
  cosine: z.number(),
});

/** See EvaluationRecord. */
export const evaluationsSchema: z.ZodType<Record<string, EvaluationRecord>> = byName(z.looseObject({
  accuracy: fraction,
  per_template: byName(fraction),
  correct: z.array(z.boolean()),
  other_abilities: byName(fraction),
  correct_abilities: byName(z.array(z.boolean())),
  update_norm: z.number().nonnegative(),
  best_step: count.optional(),
  pivots: z.looseObject({ desired: z.array(fraction), undesired: z.array(fraction) }).optional(),
  fusion: z.looseObject({ dtype: z.string(), survives: survivalSchema }).optional(),
}));

const besideSchema = byName(z.looseObject({ base: fraction, amplified: fraction }));

/** What an arm's update came to, against the unchanged model. */
export interface ArmOutcome {
  /** Gain in accuracy on the test split. */
  readonly gain: number;
  /** Its 95 % bootstrap interval. */
  readonly ci95: readonly [number, number];
  /** Norm of the change of all weights. */
  readonly update_norm: number;
  /** Test problems that became wrong. */
  readonly negative_flips: number;
  /** Settings tried on the validation split. */
  readonly tries: number;
}

/** A control beside the amplified model. */
export interface ControlSummary extends ArmSelection, ArmOutcome {
  /** Accuracy after the control's own update. */
  readonly amplified: number;
  /** The step its own validation chose. */
  readonly best_step: number;
  /** Accuracy on the other abilities after it. */
  readonly other_abilities: Readonly<Record<string, number>>;
  /** Problems that the circuit's update gets right and the control's wrong, and the other way round. */
  readonly flips_against: Flips;
  /** McNemar's exact p of these two numbers. */
  readonly p: number;
}

/** How many problems became right, and how many wrong. */
export interface Flips {
  /** Wrong before and right after. */
  readonly positive: number;
  /** Right before and wrong after. */
  readonly negative: number;
}

/** Two accuracies beside each other, as fractions. */
export interface BaseAndAmplified {
  /** Of the unchanged model. */
  readonly base: number;
  /** Of the amplified model. */
  readonly amplified: number;
}

/** What a checkpoint of the model's own 16-bit type holds and scores once the patch is fused into it, rounded to nearest. */
export interface FusedSummary {
  /** Types of the changed matrices. */
  readonly dtype: string;
  /** What rounding left of the update. */
  readonly survives: Survival;
  /** On the test split. */
  readonly accuracy: number;
}

/** summary.json: accuracies are fractions on the test split. */
export interface Summary {
  /** Folder or Hugging Face id. */
  readonly model: string;
  /** Data file of the task. */
  readonly data: string;
  /** Of everything random. */
  readonly seed: number;
  /** Number of pivotal tokens that the mask was learned on. */
  readonly localization_examples: number;
  /** The circuit in numbers. */
  readonly components: SelectedCount;
  /** The circuit's update, with what its selection is; `p` is McNemar's exact against the unchanged model. */
  readonly circuit: ArmSelection & ArmOutcome & { readonly p: number };
  /** What may be claimed and what may not, in sentences made from the numbers. */
  readonly verdict: readonly string[];
  /** How it was selected, and how it stands to the gradient. */
  readonly selection: Omit<SelectionRecord, "controls">;
  /** Accuracy before and after, the difference and its 95 % bootstrap interval. */
  readonly accuracy: BaseAndAmplified & { readonly gain: number; readonly ci95: readonly [number, number] };
  /** The same by template, without intervals. */
  readonly per_template: Readonly<Record<string, BaseAndAmplified>>;
  /** Answers that changed, and McNemar's exact p. */
  readonly flips: Flips & { readonly mcnemar_p: number };
  /** Accuracy on other tasks, by name. */
  readonly other_abilities: Readonly<Record<string, BaseAndAmplified>>;
  /** Only where there is a patch and something to round. */
  readonly fused?: FusedSummary | undefined;
  /** By name. */
  readonly controls: Readonly<Record<string, ControlSummary>>;
  /** The step that validation chose; 0 is the unchanged model. */
  readonly best_step: number;
  /** Share of the model's values that were allowed to move; 0 where no step was kept. */
  readonly changed_parameters_percent: number;
  /** By stage, over all resumptions, and in total. */
  readonly seconds: Readonly<Record<string, number>>;
  /** What it ran on. */
  readonly adapter: string;
}

const armFields = {
  components: count,
  parameters: count,
  parameter_share: fraction,
  capture_ratio: z.number(),
  overlap: z.looseObject({ components: fraction, parameters: fraction }),
};

const outcomeFields = {
  gain: z.number(),
  ci95: z.tuple([z.number(), z.number()]),
  update_norm: z.number(),
  negative_flips: count,
  tries: count,
};

const captureSchema = z.looseObject({
  draws: count,
  mean: z.number(),
  interval: z.tuple([z.number(), z.number()]),
  rank_p: fraction,
});

const selectionSchema = z.looseObject({
  method: z.string(),
  budget: z.string().optional(),
  circuit: z.looseObject(armFields),
  squared_gradient_share: fraction,
  random_capture: z.looseObject({ same_composition: captureSchema, same_parameters: captureSchema })
    .optional(),
});

/** See Summary. */
export const summarySchema: z.ZodType<Summary> = z.looseObject({
  model: z.string(),
  data: z.string(),
  seed: count,
  localization_examples: count,
  components: componentsSchema,
  circuit: z.looseObject({ ...armFields, ...outcomeFields, p: fraction }),
  verdict: z.array(z.string()),
  selection: selectionSchema,
  accuracy: z.looseObject({
    base: fraction,
    amplified: fraction,
    gain: z.number(),
    ci95: z.tuple([z.number(), z.number()]),
  }),
  per_template: besideSchema,
  flips: z.looseObject({ positive: count, negative: count, mcnemar_p: fraction }),
  other_abilities: besideSchema,
  fused: z.looseObject({ dtype: z.string(), survives: survivalSchema, accuracy: fraction }).optional(),
  controls: byName(z.looseObject({
    ...armFields,
    ...outcomeFields,
    amplified: fraction,
    best_step: count,
    other_abilities: byName(fraction),
    flips_against: z.looseObject({ positive: count, negative: count }),
    p: fraction,
  })),
  best_step: count,
  changed_parameters_percent: z.number(),
  seconds: byName(z.number()),
  adapter: z.string(),
});

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const inputsSchema: z.ZodType<Inputs> = z.looseObject({
  data: hash,
  scorer: hash.optional(),
  abilities: byName(hash),
  templates: hash.optional(),
  model: byName(hash),
});

/** config.json: what was asked for and with what it was begun. */
export interface RunConfig {
  /** All settings, resolved, in the form that a configuration file takes. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly inputs: Inputs;
  /** Of this program and of Deno. */
  readonly versions: { readonly circuit_amp: string; readonly deno: string };
  readonly adapter: string;
  /** Measured choice of kernel by shape class; sizes are called as the shaders call them. */
  readonly kernels: Tuning;
  /** The commit of a model from the hub. */
  readonly model_commit?: string | undefined;
}

/** See RunConfig. */
export const runConfigSchema: z.ZodType<RunConfig> = z.looseObject({
  settings: byName(z.unknown()),
  inputs: inputsSchema,
  versions: z.looseObject({ circuit_amp: z.string(), deno: z.string() }),
  adapter: z.string(),
  kernels: byName(z.looseObject({
    kernel: z.enum(["register", "tiled", "split", "broadcast"]),
    WX: count,
    WY: count,
    TM: count,
    TN: count,
  })),
  model_commit: z.string().optional(),
});

/** A value of a file, checked. Throws InputError for one that is not of its form. */
export function parseRecord<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue!.path.length > 0 ? `${issue!.path.join(".")}: ` : "";
  const what = issue!.message.replace(/^Invalid input: /, "");
  throw new InputError(`"${path}" is damaged (${place}${what}); start over.`, "fresh");
}
