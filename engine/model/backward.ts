/**
 * Records the backward pass of one layer, and of the stack above the lowest layer that needs gradients.
 * Legend: N tokens, D hidden, H query heads, K key/value heads, C head width, F MLP width.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionBackward, rotaryBackward } from "../ops/attention.ts";
import { biasGradient } from "../ops/bias.ts";
import { maskBackward } from "../ops/component_mask.ts";
import { copyRows, fill, gatedMlpBackward } from "../ops/elementwise.ts";
import { linearBackward, weightGradient } from "../ops/matmul.ts";
import { type Columns, type Norm, rmsNormBackward } from "../ops/norm.ts";
import type { Gradient, Weight } from "../ops/weight.ts";
import type { TokenBatch } from "./batch.ts";
import {
  attentionShape,
  type LastTokens,
  type LayerActivations,
  maskSlices,
  normedHeads,
} from "./forward.ts";
import type { Decoder } from "./decoder.ts";

/**
 * Where gradients go; they are added to what the tensors hold. A weight with an overlay has the gradient [R, I] of its
 * overlaid rows, one without the whole [O, I]; weights that are absent get none.
 */
export interface GradientSinks {
  readonly weights?: ReadonlyMap<Weight, Gradient>;
  /** [W] per norm. */
  readonly norms?: ReadonlyMap<Norm, Tensor>;
  /** [O] per bias. */
  readonly biases?: ReadonlyMap<Tensor, Tensor>;
  /** The mask that was applied and its gradient, [L · components] each; assigned, not added. */
  readonly mask?: { readonly values: Tensor; readonly gradient: Tensor };
}

/** How far down a layer's gradients are needed: to its MLP rows, to its attention rows, or to its input. */
export type Depth = "mlp" | "attention" | "input";

/** From dOut [N, D] (consumed) to the gradient of the layer's input [N, D], or undefined above `depth` "input". */
export function recordLayerBackward(
  plan: Plan,
  model: Decoder,
  l: number,
  batch: TokenBatch,
  activations: LayerActivations,
  cache: Tensor,
  dOut: Tensor,
  sinks: GradientSinks,
  depth: Depth = "input",
): Tensor | undefined {
  const { config } = model;
  const weights = model.weights.layers[l]!;
  const { last } = activations;
  const n = batch.count;
  const tokens = last?.tokens ?? batch.tokens;
  const rows = tokens.shape[0]!; // from the queries on; n below them
  const { hiddenSize: D, mlpWidth: F, queryHeads: H, keyValueHeads: K, headWidth: C } = config;
  const slices = sinks.mask && maskSlices(config, l, sinks.mask.values);

  // MLP: out = middle + afterMlp(down · neurons)
  const dNeurons = plan.temp([rows, F], "d neurons");
  backThroughOutput(
    weights.afterMlp,
    weights.down,
    activations.mlpOutput,
    activations.neurons,
    dOut,
    dNeurons,
  );
  if (slices) backThroughMask(slices.neurons, activations.neuronsUnmasked, dNeurons);
  const dGateUp = plan.temp([rows, 2 * F], "d gate and up");
  gatedMlpBackward(plan, activations.gateUp, dNeurons, dGateUp, config.activation);
  plan.recycle(dNeurons);
  const dMiddle = backThroughInput(
    weights.beforeMlp,
    weights.gateUp,
    activations.middle,
    activations.mlpInput,
    dGateUp,
    dOut,
    depth !== "mlp",
  );
  if (!dMiddle) return undefined;

  // Attention: middle = x + afterAttention(output · attended)
  const dAttended = plan.temp([rows, H * C], "d attended");
  backThroughOutput(
    weights.afterAttention,
    weights.output,
    activations.attentionOutput,
    activations.attended,
    dMiddle,
    dAttended,
    weights.outputBias,
  );
  const shape = attentionShape(config, l);
  let dq = plan.temp([rows, H * C], "d q");
  const dkv = plan.temp([n, 2, K * C], "d kv");
  const { q, attended: y, stats } = activations;
  attentionBackward(plan, batch, shape, { q, cache, y, stats }, dAttended, dq, dkv, tokens);
  let dResidual = dMiddle;
  if (last) {
    dq = scatterRows(dq, last);
    dResidual = scatterRows(dMiddle, last);
  }
  const width = (H + 2 * K) * C;
  let dqkv = plan.temp([n, width], "d qkv");
  rotaryBackward(plan, batch, shape, model.anglesOf(l), dq, dkv, dqkv);
  if (weights.queryNorm && weights.keyNorm) {
    const normed = dqkv;
    dqkv = plan.temp([n, width], "d qkv before norm");
    rotaryBackward(plan, batch, shape, model.anglesOf(l), dq, dkv, dqkv); // for its v columns, which have no norm
    const [queries, keys] = normedHeads(config);
    const own = (offset: number) => ({ stride: width, offset });
    backThroughNorm(weights.queryNorm, activations.qkv, normed, dqkv, { columns: own(0), heads: queries });
    backThroughNorm(weights.keyNorm, activations.qkv, normed, dqkv, { columns: own(H * C), heads: keys });
    plan.recycle(normed);
  }
  plan.recycle(dAttended, dq, dkv);
  if (slices) backThroughMask(slices.heads, activations.qkvUnmasked, dqkv);
  addBiasGradient(weights.qkvBias, dqkv);
  return backThroughInput(
    weights.beforeAttention,
    weights.qkv,
    activations.x,
    activations.attentionInput,
    dqkv,
    dResidual,
    depth === "input",
  );

  /** Rows of the last tokens back among all tokens, zero elsewhere; consumes `compact`. */
  function scatterRows(compact: Tensor, { scatter }: LastTokens): Tensor {
    const width = compact.shape[1]!;
    const all = plan.temp([n, width], "d all tokens");
    fill(plan, all, 0);
    const whole = { stride: width, offset: 0 };
    copyRows(plan, scatter, { tensor: compact, ...whole }, { tensor: all, ...whole }, width);
    plan.recycle(compact);
    return all;
  }

  /** Through a norm after a branch (if any) and the branch's output matrix; leaves dBranchOut as it is. */
  function backThroughOutput(
    norm: Norm | undefined,
    weight: Weight,
    output: Tensor | undefined,
    input: Tensor,
    dBranchOut: Tensor,
    dInput: Tensor,
    bias?: Tensor,
  ) {
    let dOutput = dBranchOut;
    if (norm && output) {
      dOutput = plan.temp([rows, D], "d branch output");
      backThroughNorm(norm, output, dBranchOut, dOutput);
    }
    addBiasGradient(bias, dOutput);
    linearBackward(plan, dOutput, weight, dInput);
    const gradient = sinks.weights?.get(weight);
    if (gradient) weightGradient(plan, dOutput, input, gradient, true);
    if (dOutput !== dBranchOut) plan.recycle(dOutput);
  }

  /** Through a branch's input matrix and the norm before it (if any), plus the residual; consumes dy and dResidual. */
  function backThroughInput(
    norm: Norm | undefined,
    weight: Weight,
    x: Tensor,
    input: Tensor,
    dy: Tensor,
    dResidual: Tensor,
    further: boolean,
  ): Tensor | undefined {
    const gradient = sinks.weights?.get(weight);
    if (gradient && !weight.overlay) weightGradient(plan, dy, input, gradient, true);
    // Without a norm the product adds straight onto the residual's gradient.
    const dInput = !further ? undefined : norm ? plan.temp([dy.shape[0]!, D], "d branch input") : dResidual;
    const taken = linearBackward(plan, dy, weight, dInput, dInput === dResidual);
    if (gradient && taken) weightGradient(plan, taken, input, gradient, true);
    plan.recycle(taken, dy);
    if (!dInput || !norm) return dInput;
    const dx = plan.temp(dInput.shape, "d residual stream");
    backThroughNorm(norm, x, dInput, dx, { residual: dResidual });
    plan.recycle(dInput, dResidual);
    return dx;
  }

  function backThroughNorm(
    norm: Norm,
    x: Tensor,
    dy: Tensor,
    dx: Tensor,
    { columns, heads = 1, residual }: { columns?: Columns; heads?: number; residual?: Tensor } = {},
  ) {
    rmsNormBackward(plan, x, norm, dy, dx, {
      rows: dy.shape[0]! * heads,
      heads,
      gradient: sinks.norms?.get(norm),
      ...(columns && { x: columns, y: columns }),
      ...(residual && { residual }),
    });
  }

  function addBiasGradient(bias: Tensor | undefined, dy: Tensor) {
    const gradient = bias && sinks.biases?.get(bias);
    if (gradient) biasGradient(plan, dy, gradient);
  }

  function backThroughMask(slice: { mask: Tensor; first: number; width: number }, x: Tensor, dy: Tensor) {
    const own = dy.shape[0] === rows ? tokens : batch.tokens;
    maskBackward(plan, own, slice, x, dy, sinks.mask!.gradient);
  }
}
