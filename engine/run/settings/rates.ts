/** Step sizes of updates that nobody gives one. */
import type { OptimizerName } from "../../circuit/update.ts";
import type { Objective } from "../../ops/loss.ts";
import { byPreset } from "./preset.ts";

/** Default step size for each optimizer and objective; see fixtures/experiments.md for how they were chosen. */
export const defaultRates: Readonly<Record<OptimizerName, Readonly<Record<Objective, number>>>> = {
  sgd: { "preference": 0.03, "logit-difference": 0.005 },
  adamw: { "preference": 5e-4, "logit-difference": 5e-4 },
};

/** The same in words for help. */
export const ratesInWords = `${byPreset("stepNorm")}, for normalized sgd steps; else ${
  Object.entries(defaultRates).map(([optimizer, rates]) =>
    `${optimizer} ${Object.entries(rates).map(([objective, rate]) => `${rate} (${objective})`).join(", ")}`
  ).join("; ")
}`;
