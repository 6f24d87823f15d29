/** What tests of training share: a very small configuration and trainings of it. */
import type { PretrainSettings } from "../../engine/pretrain/recipe.ts";
import type { Shape } from "../../engine/pretrain/recipe.ts";

/** Two layers of width 16 with a window that every word problem exceeds. */
export const verySmall = {
  layers: 2,
  hidden: 16,
  queryHeads: 4,
  keyValueHeads: 2,
  headWidth: 4,
  mlp: 24,
  window: 8,
} as const;

/** A short training of the very small configuration. */
export function shortTraining(shape: Shape, changes: Partial<PretrainSettings> = {}): PretrainSettings {
  return { shape, sizes: verySmall, steps: 30, batch: 4, seed: 1, dataSeed: 0, ...changes };
}
