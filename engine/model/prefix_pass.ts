/**
 * The beginning that all examples of a step share, in training: its keys, values and activations are the same for every
 * example, so it runs forward once, and backward once after all examples have sent back the gradients of its keys and values.
 * Legend: S shared positions, D hidden, H query heads, K key/value heads, C head width.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { add, fill } from "../ops/elementwise.ts";
import { recordProjectionsBackward } from "./backward.ts";
import type { Decoder } from "./decoder.ts";
import { type ProjectionActivations, recordProjections } from "./forward.ts";
import { type LayersPass, type RecordedLayers, recordLayers, recordLayersBackward } from "./layers.ts";

/** What the forward pass of a prefix leaves for its backward pass; its tensors live as long as its plan. */
export interface RecordedPrefix {
  readonly layers: RecordedLayers;
  /** Of the top layer, whose keys and values alone anyone reads. */
  readonly top: ProjectionActivations;
}

/** Without a top layer, which a prefix has keys and values of only. */
const belowTop = (model: Decoder, pass: LayersPass): LayersPass => ({
  ...pass,
  count: model.config.layers - 1,
});

/** Records what fills the caches' rows of the prefix, which `pass.batch` holds as its only sequence. */
export function recordPrefix(plan: Plan, model: Decoder, pass: LayersPass): RecordedPrefix {
  const top = model.config.layers - 1;
  const layers = recordLayers(plan, model, belowTop(model, pass));
  const { out, nextInput } = layers;
  return {
    layers,
    top: recordProjections(plan, model, top, pass.batch, out, pass.caches[top]!, {}, nextInput),
  };
}

/** Records the backward pass from what all examples sent to the keys and values of the prefix, per layer [S, 2, K·C]. */
export function recordPrefixBackward(
  plan: Plan,
  model: Decoder,
  pass: LayersPass,
  { layers, top: activations }: RecordedPrefix,
  gradients: readonly Tensor[],
) {
  const { batch, sinks, lowest } = pass;
  const { config } = model;
  const top = config.layers - 1;
  const depth = lowest?.layer === top ? lowest.depth : "input";
  if (depth === "mlp") return; // nobody's gradient gets as far as the keys and values
  const dq = plan.temp([batch.count, config.queryHeads * config.headWidth], "d q");
  const dkv = plan.temp(gradients[top]!.shape, "d kv");
  fill(plan, dq, 0);
  fill(plan, dkv, 0);
  add(plan, gradients[top]!, dkv);
  const dOut = recordProjectionsBackward(
    plan,
    model,
    top,
    batch,
    activations,
    { dq, dkv, dResidual: undefined },
    sinks,
    depth,
  );
  if (!dOut) return;
  recordLayersBackward(plan, model, belowTop(model, pass), layers, dOut, { dLater: gradients });
}
