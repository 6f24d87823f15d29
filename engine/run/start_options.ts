/** How anything on a model is started, and how it reports; nothing here changes what is computed. */
import type { Gpu } from "../gpu/gpu.ts";
import { tune } from "../ops/tuning.ts";
import type { Progress } from "../progress.ts";
import type { ExpectedStage } from "./run_stages.ts";

/** See file comment. */
export interface StartOptions {
  /** Choose kernels by measurement (default); false takes the first candidate of each shape class. */
  readonly tune?: boolean;
  /** Only use models that the Hugging Face cache holds. */
  readonly offline?: boolean;
  /** Called with how far each stage is. */
  readonly progress?: Progress;
  /** Called with the stages of a run that are to come, as their progress will name them, before the first begins. */
  readonly expect?: (stages: readonly ExpectedStage[]) => void;
  /** Called with a sentence on what a user should know although all goes on, such as that a run resumes on another adapter. */
  readonly notice?: (sentence: string) => void;
}

/** Gets a GPU ready for work: says what is odd about it, and chooses kernels, unless told not to. */
export async function prepareGpu(gpu: Gpu, options: StartOptions): Promise<void> {
  noticeAdapter(gpu, options);
  if (options.tune !== false) await tune(gpu);
}

/** Says that an adapter is one that nobody would choose. */
export function noticeAdapter(gpu: Pick<Gpu, "isOpenGL" | "adapterName">, { notice }: StartOptions) {
  if (gpu.isOpenGL) notice?.(openGLNote(gpu.adapterName));
}

/** What there is to say of an adapter behind OpenGL. */
export function openGLNote(name: string): string {
  return `${name} is reached through OpenGL, as there is no Vulkan: right but slow; install the GPU's Vulkan driver.`;
}
