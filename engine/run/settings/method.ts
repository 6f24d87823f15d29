/** Settings of the method: traces and pivots, the component mask, and the update. */
import type { AmplifyOptions } from "../../circuit/amplify.ts";
import { maskDefaults, type MaskOptions } from "../../circuit/mask_training.ts";
import type { PivotMethod } from "../../circuit/pivots.ts";
import { traceDefaults, type TraceOptions } from "../../circuit/traces.ts";
import { byPreset } from "./preset.ts";
import { ratesInWords } from "./rates.ts";
import { type Definitions, setting } from "./setting.ts";
import { fraction, integer, nonNegative, oneOf, positive, toggle } from "./value_types.ts";

/** Traces of training problems, and where they part. */
export interface TraceSettings
  extends Pick<TraceOptions, "samples" | "temperatureRight" | "temperatureWrong"> {
  /** Most training problems to trace; 0 for all. */
  readonly limit: number;
  /** How the pivotal token of two traces is found. */
  readonly pivot: PivotMethod;
}

/** Training of the component mask. */
export type MaskSettings = Pick<
  MaskOptions,
  "rate" | "strength" | "epochs" | "batch" | "patience" | "initial"
>;

/** The update of the selected rows. */
export interface UpdateSettings extends
  Pick<
    AmplifyOptions,
    "objective" | "optimizer" | "rate" | "normalize" | "weightDecay" | "steps" | "validateEvery" | "patience"
  > {
  /** Rates that every arm tries, to keep the one that validates best. */
  readonly tries: number;
  /** `kl`: tokens that the unchanged model had right keep their distributions (MUSCLE, arXiv 2407.09435). */
  readonly anchor: "none" | "kl";
  /** How much a nat of divergence from them counts beside the loss. */
  readonly anchorWeight: number;
}

/** See TraceSettings. */
export const traceDefinitions = {
  limit: setting({
    name: "limit",
    type: integer(0),
    default: 0,
    help: "trace at most N training problems, 0 for all",
    example: "60",
  }),
  pivot: setting({
    name: "pivot",
    type: oneOf(["prefix", "branching"], "METHOD"),
    default: "prefix",
    help: "prefix or branching",
    example: "branching",
  }),
  samples: setting({
    name: "samples",
    type: integer(1, 10_000),
    otherwise: byPreset("samples"),
    help: "samples per problem in search of a contrasting trace",
    example: "4",
  }),
  temperatureRight: setting({
    name: "temperature-right",
    type: positive("T"),
    default: traceDefaults.temperatureRight,
    help: "sampling temperature where the greedy trace is right",
    example: "1.6",
  }),
  temperatureWrong: setting({
    name: "temperature-wrong",
    type: positive("T"),
    default: traceDefaults.temperatureWrong,
    help: "sampling temperature where it is wrong",
    example: "0.6",
  }),
} satisfies Definitions<TraceSettings>;

/** See MaskSettings. */
export const maskDefinitions = {
  rate: setting({
    name: "mask-rate",
    type: positive(),
    default: maskDefaults.rate,
    help: "Adam's rate on the component mask",
    example: "0.01",
  }),
  strength: setting({
    name: "mask-strength",
    type: nonNegative(),
    default: maskDefaults.strength,
    help: "strength of the mask's L1 term",
    example: "0.03",
  }),
  epochs: setting({
    name: "mask-epochs",
    type: integer(1),
    default: maskDefaults.epochs,
    help: "most epochs of mask training",
    example: "20",
  }),
  batch: setting({
    name: "mask-batch",
    type: integer(1, 65_536),
    default: maskDefaults.batch,
    help: "examples per mask step",
    example: "16",
  }),
  patience: setting({
    name: "mask-patience",
    type: nonNegative(),
    default: maskDefaults.patience,
    help: "epochs (50 steps at least) over which a mask must have settled to stop, 0 never",
    example: "2",
  }),
  initial: setting({
    name: "mask-initial",
    type: fraction(),
    default: maskDefaults.initial,
    help: "value that every component's mask begins with; 0.5 leaves it alone",
    example: "0.6",
  }),
} satisfies Definitions<MaskSettings>;

/** See UpdateSettings. */
export const updateDefinitions = {
  objective: setting({
    name: "objective",
    type: oneOf(["logit-difference", "preference"]),
    default: "preference",
    help: "logit-difference or preference",
    example: "logit-difference",
  }),
  optimizer: setting({
    name: "optimizer",
    type: oneOf(["sgd", "adamw"]),
    default: "sgd",
    help: "sgd or adamw (sparse masked)",
    example: "adamw",
  }),
  rate: setting({
    name: "rate",
    type: positive(),
    otherwise: ratesInWords,
    help: "step size",
    example: "0.01",
  }),
  tries: setting({
    name: "tries",
    type: integer(1, 9),
    default: 1,
    help: "rates that every arm tries (RATE, then twice and half of it, …), the best by validation kept",
    example: "3",
  }),
  anchor: setting({
    name: "anchor",
    type: oneOf(["none", "kl"]),
    default: "none",
    help:
      "kl: tokens of right greedy traces keep their distributions, so that fewer answers are lost; or none",
    example: "kl",
  }),
  anchorWeight: setting({
    name: "anchor-weight",
    type: positive(),
    default: 1,
    help: "what a nat of divergence from the anchor costs beside the loss",
    example: "3",
  }),
  normalize: setting({
    name: "normalize",
    type: toggle,
    otherwise: `${byPreset("normalize")}; never for adamw`,
    help: "make every sgd step of norm RATE, the same for all controls",
    example: "",
  }),
  weightDecay: setting({
    name: "weight-decay",
    type: nonNegative(),
    default: 0,
    help: "AdamW's decay of the selected rows",
    example: "0.1",
  }),
  steps: setting({
    name: "steps",
    type: integer(1),
    otherwise: "rounds times steps per round, or 8 in a single round",
    help: "update steps",
    example: "20",
  }),
  validateEvery: setting({
    name: "validate-every",
    type: integer(1),
    otherwise: byPreset("validateEvery"),
    help: "steps between validations",
    example: "1",
  }),
  patience: setting({
    name: "patience",
    type: integer(0),
    otherwise: "2, or 0 where there are rounds",
    help: "end after N validations without a new best, 0 never",
    example: "3",
  }),
} satisfies Definitions<UpdateSettings>;
