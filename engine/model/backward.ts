/**
 * Records the backward pass of one layer, and of the stack above the lowest layer that needs gradients.
 * Legend: N tokens, D hidden, H query heads, K key/value heads, C head width, F MLP width.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionBackward, rotaryBackward } from "../ops/attention.ts";
import { biasGradient } from "../ops/bias.ts";
import { maskBackward } from "../ops/component_mask.ts";
import { add, copyRows, fill, gatedMlpBackward } from "../ops/elementwise.ts";
import { linearBackward, weightGradient } from "../ops/matmul.ts";
import { type Columns, type Norm, rmsNormBackward } from "../ops/norm.ts";
import { prefixGradient } from "../ops/prefix_gradient.ts";
import type { Gradient, Weight } from "../ops/weight.ts";
import type { TokenBatch } from "./batch.ts";
import {
  attentionShape,
  type LastTokens,
  type LayerActivations,
  maskSlices,
  normedHeads,
  type ProjectionActivations,
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

/** How far a layer's backward pass goes, and what passes between it and that of a prefix which its sequences share. */
export interface LayerBackwardOptions {
  /** Default "input". */
  readonly depth?: Depth;
  /** [S, 2, K·C]: what this batch's queries send to the keys and values of the shared prefix is added here. */
  readonly dPrefix?: Tensor | undefined;
  /** [N, 2, K·C]: what later sequences sent to the keys and values of this batch, which is their prefix. */
  readonly dLater?: Tensor | undefined;
}

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
  { depth = "input", dPrefix, dLater }: LayerBackwardOptions = {},
): Tensor | undefined {
  const { config } = model;
  const weights = model.weights.layers[l]!;
  const { last } = activations;
  const n = batch.count;
  const tokens = last?.tokens ?? batch.tokens;
  const rows = tokens.shape[0]!; // from the queries on; n below them
  const { mlpWidth: F, queryHeads: H, keyValueHeads: K, headWidth: C } = config;
  const branch = new BranchBackward(plan, config.hiddenSize, sinks);

  // MLP: out = middle + afterMlp(down · neurons)
  const dNeurons = plan.temp([rows, F], "d neurons");
  branch.throughOutput(
    weights.afterMlp,
    weights.down,
    activations.mlpOutput,
    activations.neurons,
    dOut,
    dNeurons,
  );
  if (sinks.mask) {
    const { neurons } = maskSlices(config, l, sinks.mask.values);
    maskBackward(plan, tokens, neurons, activations.neuronsUnmasked, dNeurons, sinks.mask.gradient);
  }
  const dGateUp = plan.temp([rows, 2 * F], "d gate and up");
  gatedMlpBackward(plan, activations.gateUp, dNeurons, dGateUp, config.activation);
  plan.recycle(dNeurons);
  const dMiddle = branch.throughInput(
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
  branch.throughOutput(
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
  if (dPrefix) {
    const { sequences } = batch;
    prefixGradient(plan, shape, { tokens, sequences, q, cache, stats, dy: dAttended }, dPrefix);
  }
  plan.recycle(dAttended);
  if (dLater) add(plan, dLater, dkv);
  let dResidual = dMiddle;
  if (last) {
    dq = scatterRows(dq, last);
    dResidual = scatterRows(dMiddle, last);
  }
  return recordProjectionsBackward(plan, model, l, batch, activations, { dq, dkv, dResidual }, sinks, depth);

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
}

/**
 * From the gradients of queries [N, H·C], keys and values [N, 2, K·C] and the residual stream [N, D] (all consumed; no
 * residual: zero) to that of the layer's input [N, D], or undefined above `depth` "input".
 */
export function recordProjectionsBackward(
  plan: Plan,
  model: Decoder,
  l: number,
  batch: TokenBatch,
  { x, attentionInput, qkv, qkvUnmasked }: ProjectionActivations,
  { dq, dkv, dResidual }: {
    readonly dq: Tensor;
    readonly dkv: Tensor;
    readonly dResidual: Tensor | undefined;
  },
  sinks: GradientSinks,
  depth: Depth = "input",
): Tensor | undefined {
  const { config } = model;
  const weights = model.weights.layers[l]!;
  const { hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C } = config;
  const shape = attentionShape(config, l);
  const branch = new BranchBackward(plan, D, sinks);
  const width = (H + 2 * K) * C;
  let dqkv = plan.temp([batch.count, width], "d qkv");
  rotaryBackward(plan, batch, shape, model.anglesOf(l), dq, dkv, dqkv);
  if (weights.queryNorm && weights.keyNorm) {
    const normed = dqkv;
    dqkv = plan.temp([batch.count, width], "d qkv before norm");
    rotaryBackward(plan, batch, shape, model.anglesOf(l), dq, dkv, dqkv); // for its v columns, which have no norm
    const [queries, keys] = normedHeads(config);
    const own = (offset: number) => ({ stride: width, offset });
    branch.throughNorm(weights.queryNorm, qkv, normed, dqkv, { columns: own(0), heads: queries });
    branch.throughNorm(weights.keyNorm, qkv, normed, dqkv, { columns: own(H * C), heads: keys });
    plan.recycle(normed);
  }
  plan.recycle(dq, dkv);
  if (sinks.mask) {
    const { heads } = maskSlices(config, l, sinks.mask.values);
    maskBackward(plan, batch.tokens, heads, qkvUnmasked, dqkv, sinks.mask.gradient);
  }
  branch.addBiasGradient(weights.qkvBias, dqkv);
  return branch.throughInput(
    weights.beforeAttention,
    weights.qkv,
    x,
    attentionInput,
    dqkv,
    dResidual,
    depth === "input",
  );
}

/** The two ends of a branch, backward: MLP and attention alike. */
class BranchBackward {
  constructor(
    private readonly plan: Plan,
    private readonly hiddenSize: number,
    private readonly sinks: GradientSinks,
  ) {}

  /** Through a norm after a branch (if any) and the branch's output matrix; leaves dBranchOut as it is. */
  throughOutput(
    norm: Norm | undefined,
    weight: Weight,
    output: Tensor | undefined,
    input: Tensor,
    dBranchOut: Tensor,
    dInput: Tensor,
    bias?: Tensor,
  ) {
    const { plan } = this;
    let dOutput = dBranchOut;
    if (norm && output) {
      dOutput = plan.temp(dBranchOut.shape, "d branch output");
      this.throughNorm(norm, output, dBranchOut, dOutput);
    }
    this.addBiasGradient(bias, dOutput);
    const gradient = this.sinks.weights?.get(weight);
    if (gradient && !weight.overlay) weightGradient(plan, dOutput, input, gradient, true);
    if (weight.overlay && dOutput === dBranchOut) {
      dOutput = plan.temp(dBranchOut.shape, "d branch output"); // its overlaid columns are about to be zeroed
      fill(plan, dOutput, 0);
      add(plan, dBranchOut, dOutput);
    }
    const selected = linearBackward(plan, dOutput, weight, dInput);
    if (gradient && selected) weightGradient(plan, selected, input, gradient, true);
    plan.recycle(selected);
    if (dOutput !== dBranchOut) plan.recycle(dOutput);
  }

  /** Through a branch's input matrix and the norm before it (if any), plus the residual; consumes dy and dResidual. */
  throughInput(
    norm: Norm | undefined,
    weight: Weight,
    x: Tensor,
    input: Tensor,
    dy: Tensor,
    dResidual: Tensor | undefined,
    further: boolean,
  ): Tensor | undefined {
    const { plan } = this;
    const gradient = this.sinks.weights?.get(weight);
    if (gradient && !weight.overlay) weightGradient(plan, dy, input, gradient, true);
    // Without a norm the product adds straight onto the residual's gradient, if there is one.
    const onto = norm ? undefined : dResidual;
    const dInput = further ? onto ?? plan.temp([dy.shape[0]!, this.hiddenSize], "d branch input") : undefined;
    const selected = linearBackward(plan, dy, weight, dInput, dInput !== undefined && dInput === onto);
    if (gradient && selected) weightGradient(plan, selected, input, gradient, true);
    plan.recycle(selected, dy);
    if (!dInput || !norm) return dInput;
    const dx = plan.temp(dInput.shape, "d residual stream");
    this.throughNorm(norm, x, dInput, dx, { residual: dResidual });
    plan.recycle(dInput, dResidual);
    return dx;
  }

  throughNorm(
    norm: Norm,
    x: Tensor,
    dy: Tensor,
    dx: Tensor,
    { columns, heads = 1, residual }: { columns?: Columns; heads?: number; residual?: Tensor | undefined } =
      {},
  ) {
    rmsNormBackward(this.plan, x, norm, dy, dx, {
      rows: dy.shape[0]! * heads,
      heads,
      gradient: this.sinks.norms?.get(norm),
      ...(columns && { x: columns, y: columns }),
      ...(residual && { residual }),
    });
  }

  addBiasGradient(bias: Tensor | undefined, dy: Tensor) {
    const gradient = bias && this.sinks.biases?.get(bias);
    if (gradient) biasGradient(this.plan, dy, gradient);
  }
}
