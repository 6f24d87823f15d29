/** How anything on a model is started, and how it reports; nothing here changes what is computed. */
import type { Gpu } from "../gpu/gpu.ts";
import { tune } from "../ops/tuning.ts";
import type { Progress } from "../progress.ts";

/** See file comment. */
export interface StartOptions {
  /** Choose kernels by measurement (default); false takes the first candidate of each shape class. */
  readonly tune?: boolean;
  /** Only use models that the Hugging Face cache holds. */
  readonly offline?: boolean;
  readonly progress?: Progress;
  /** Told in a sentence what a user should know although all goes on, such as that a run resumes on another adapter. */
  readonly notice?: (sentence: string) => void;
}

/** Chooses kernels, unless told not to. */
export async function tuneFor(gpu: Gpu, options: StartOptions): Promise<void> {
  if (options.tune !== false) await tune(gpu);
}
