/** What recording a pass needs of a model: nothing of files, text or memory limits. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "./architecture.ts";
import type { ModelWeights } from "./weights.ts";

/** See file comment; `Model` is one. */
export interface Decoder {
  readonly gpu: Gpu;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  /** Rotary angles of a layer: f32 [contextLength, C/2, 2] of (cos, sin). */
  anglesOf(layer: number): Tensor;
}
