/**
 * The layers of a training pass: forward, holding on to what the backward pass needs, and backward.
 * Legend: N tokens, S shared positions, D hidden, K key/value heads, C head width.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../ops/weight.ts";
import {
  type Depth,
  type GradientSinks,
  type LayerBackwardOptions,
  recordLayerBackward,
} from "./backward.ts";
import type { TokenBatch } from "./batch.ts";
import type { Decoder } from "./decoder.ts";
import {
  type LastTokens,
  type LayerActivations,
  type LayerCaches,
  recordEmbedding,
  recordLayer,
  recycleActivations,
} from "./forward.ts";

/** What both directions have to agree on. */
export interface LayersPass {
  readonly batch: TokenBatch;
  readonly caches: LayerCaches;
  readonly sinks: GradientSinks;
  /** How many layers, from the lowest; default all. */
  readonly count?: number;
  /** The top layer is computed for these alone beyond its keys and values. */
  readonly last?: LastTokens | undefined;
  /** Lowest layer that needs gradients and how deep into it; default: everything. */
  readonly lowest?: Lowest | undefined;
  /** Layers from here on keep their activations for the backward pass, which recomputes lower ones'; default: none keeps. */
  readonly keepFrom?: number | undefined;
}

/** Where the backward pass ends. */
export interface Lowest {
  readonly layer: number;
  readonly depth: Depth;
}

/** What the forward pass leaves. */
export interface RecordedLayers {
  /** Residual stream above the layers [N, D], and its norm for the next layer where the architecture allows it. */
  readonly out: Tensor;
  readonly nextInput: Tensor | undefined;
  /** Inputs of the layers that will be differentiated. */
  readonly inputs: readonly (Tensor | undefined)[];
  readonly kept: readonly (KeptActivations | undefined)[];
}

interface KeptActivations {
  readonly activations: LayerActivations;
  /** Those among them that were recycled at once, since the backward pass does not read them. */
  readonly dropped: readonly Tensor[];
}

const everything: Lowest = { layer: 0, depth: "input" };

/** Records embedding and layers; with a mask in the sinks under that mask. */
export function recordLayers(plan: Plan, model: Decoder, pass: LayersPass): RecordedLayers {
  const { batch, caches, sinks, count = model.config.layers, last } = pass;
  const { lowest = everything, keepFrom = count } = pass;
  const mask = sinks.mask && { mask: sinks.mask.values };
  const inputs: (Tensor | undefined)[] = [];
  const kept: (KeptActivations | undefined)[] = [];
  let x = recordEmbedding(plan, model, batch);
  let attentionInput: Tensor | undefined;
  for (let l = 0; l < count; l++) {
    const neighbours = { attentionInput, next: true };
    const own = l === model.config.layers - 1 ? last : undefined;
    const activations = recordLayer(plan, model, l, batch, x, caches[l]!, mask, own, neighbours);
    const differentiated = l >= lowest.layer;
    if (differentiated && l >= keepFrom) {
      const dropped = unreadActivations(model, l, activations, sinks);
      plan.recycle(...dropped);
      kept[l] = { activations, dropped };
    } else recycleActivations(plan, activations, activations.out, ...(differentiated ? [x] : []));
    if (differentiated) inputs[l] = x;
    ({ out: x, nextInput: attentionInput } = activations);
  }
  return { out: x, nextInput: attentionInput, inputs, kept };
}

/** Gradients that pass between sequences and the prefix they share, per layer; see LayerBackwardOptions. */
export type PrefixGradients = {
  readonly [name in "dPrefix" | "dLater"]?: readonly Tensor[] | undefined;
};

/**
 * Records the backward pass from the gradient of `out` (consumed); returns that of the embedded tokens [N, D] if it gets there.
 * What `plan` did not make itself stays as it is.
 */
export function recordLayersBackward(
  plan: Plan,
  model: Decoder,
  pass: LayersPass,
  { inputs, kept }: RecordedLayers,
  dOut: Tensor,
  { dPrefix, dLater }: PrefixGradients = {},
): Tensor | undefined {
  const { batch, caches, sinks, count = model.config.layers, last, lowest = everything } = pass;
  const mask = sinks.mask && { mask: sinks.mask.values };
  let dx: Tensor | undefined = dOut;
  for (let l = count - 1; l >= lowest.layer && dx; l--) {
    const known = kept[l];
    const own = l === model.config.layers - 1 ? last : undefined;
    const activations = known?.activations ??
      recordLayer(plan, model, l, batch, inputs[l]!, caches[l]!, mask, own);
    const options: LayerBackwardOptions = {
      depth: l === lowest.layer ? lowest.depth : "input",
      dPrefix: dPrefix?.[l],
      dLater: dLater?.[l],
    };
    dx = recordLayerBackward(plan, model, l, batch, activations, caches[l]!, dx, sinks, options);
    // A kept layer's output is the next layer's input and was recycled with it; a recomputed one's is its own.
    const gone = known ? [activations.out, ...known.dropped] : [];
    recycleActivations(plan, activations, ...gone);
  }
  return dx;
}

/** Activations that no kernel of the backward pass reads, given whose gradients are wanted. */
function unreadActivations(
  model: Decoder,
  l: number,
  activations: LayerActivations,
  { weights, mask }: GradientSinks,
): Tensor[] {
  const { qkv, gateUp, down, queryNorm } = model.weights.layers[l]!;
  const { last: _, nextInput: __, ...tensors } = activations;
  const wanted = (weight: Weight) => weights?.has(weight) ?? false;
  const read = {
    ...tensors,
    attentionInput: wanted(qkv) ? tensors.attentionInput : undefined,
    qkv: queryNorm ? tensors.qkv : undefined,
    qkvUnmasked: mask ? tensors.qkvUnmasked : undefined,
    mlpInput: wanted(gateUp) ? tensors.mlpInput : undefined,
    neurons: wanted(down) ? tensors.neurons : undefined,
    neuronsUnmasked: mask ? tensors.neuronsUnmasked : undefined,
  };
  const needed = new Set(Object.values(read));
  return [...new Set(Object.values(tensors))].filter((tensor) => tensor && !needed.has(tensor)) as Tensor[];
}
