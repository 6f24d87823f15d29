/** Settings of the model: which, where it is taken from, and how it lies on the GPU. */
import type { StorageChoice } from "../../model/weights.ts";
import { type Definitions, setting } from "./setting.ts";
import { listOf, nonNegative, oneOf, text, toggle } from "./value_types.ts";

/** How weights and caches lie on the GPU. */
export interface MemorySettings {
  /** In 16 bits as the checkpoint has them, or in f32. */
  readonly storage: StorageChoice;
  /** GiB of keys and values that a stage holds at once; 0 for a quarter of the weights, at least 2. */
  readonly cacheMemory: number;
}

/** Which model, and how it lies on the GPU. */
export interface ModelSettings extends MemorySettings {
  /** A folder or a Hugging Face id. */
  readonly source: string;
  /** Branch, tag or commit of a Hugging Face id. */
  readonly revision?: string | undefined;
  /** Names of tensors, with `*` for any characters, that are passed over although they would belong to the model. */
  readonly ignoreTensors?: readonly string[] | undefined;
}

/** See MemorySettings. */
export const memoryDefinitions = {
  storage: setting({
    name: "storage",
    type: oneOf(["auto", "checkpoint", "f32"], "KIND"),
    default: "auto",
    help: "weights on the GPU: auto, checkpoint (16-bit stays 16-bit) or f32",
    example: "f32",
  }),
  cacheMemory: setting({
    name: "cache-memory",
    type: nonNegative("GIB"),
    default: 0,
    help: "most GiB of keys and values on the GPU, 0 for a quarter of the weights but at least 2",
    example: "4",
  }),
} satisfies Definitions<MemorySettings>;

/** See ModelSettings. */
export const modelDefinitions = {
  source: setting({
    name: "model",
    type: text("DIR|HF-ID"),
    otherwise: "the embedded model",
    help: "model folder in Hugging Face layout, or id such as org/name",
    example: "google/gemma-2-2b",
  }),
  revision: setting({
    name: "revision",
    type: text("NAME"),
    otherwise: "main",
    help: "branch, tag or commit of the Hugging Face id",
    example: "main",
  }),
  ignoreTensors: setting({
    name: "ignore-tensors",
    type: listOf(text("NAME")),
    otherwise: "none",
    help: "tensors, with * for any characters, to pass over although the model would have them",
    example: "model.layers.30.*",
  }),
  ...memoryDefinitions,
} satisfies Definitions<ModelSettings>;

/** Whether models may be downloaded. */
export const offlineSetting = setting({
  name: "offline",
  type: toggle,
  default: false,
  help: "download nothing; only what the Hugging Face cache holds",
  example: "",
});
