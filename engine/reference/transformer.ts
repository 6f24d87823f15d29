/**
 * Float64 twin of the whole decoder: forward of one sequence, backward to every parameter and to the component mask.
 * Everything is recomputed and kept; nothing is cached or fused. Weight names are Hugging Face's. The engine's own code
 * is not used: `verify` checks models of real size against it.
 * Legend: T tokens, D model width, H query heads, K key/value heads, C head width, F MLP width, V vocabulary, L layers.
 */

import type { ModelConfig } from "../model/architecture.ts";
import {
  add,
  attention,
  attentionBackward,
  type AttentionShape,
  gatedMlp,
  gatedMlpBackward,
  matmulNN,
  matmulNT,
  rmsNorm,
  rmsNormBackward,
  rotary,
  scaleComponents,
  scaleComponentsBackward,
  softCap,
  softCapBackward,
} from "./ops.ts";
import type {
  BackwardResult,
  ForwardOptions,
  ForwardResult,
  HiddenResult,
  LayerActivations,
} from "./activations.ts";
import { atPosition, type LayerMask, splitMask } from "./masking.ts";
import { type GradientSink, type Matrices, WholeGradients, WholeMatrices } from "./matrices.ts";
import { pairFrequency } from "./rope.ts";

export {
  type BackwardResult,
  type ForwardOptions,
  type ForwardResult,
  type HiddenResult,
  type LayerActivations,
} from "./activations.ts";
export { atPosition, componentsOf, type LayerMask, type ReferenceMask, splitMask } from "./masking.ts";

const EMBEDDING = "model.embed_tokens.weight";
const FINAL_NORM = "model.norm";

/** Weights by name, whole, or another source of them. */
export type Weights = ReadonlyMap<string, Float64Array> | Matrices;

/** See file comment. `weights` are whole, by name, or streamed; `backward` keeps every gradient whole and needs the former. */
export class ReferenceModel<W extends Weights = Map<string, Float64Array>> {
  readonly #sizes: { readonly queries: number; readonly keys: number };
  readonly #matrices: Matrices;

  constructor(readonly config: ModelConfig, readonly weights: W) {
    this.#matrices = "product" in weights ? weights : new WholeMatrices(weights);
    this.#sizes = {
      queries: config.queryHeads * config.headWidth,
      keys: config.keyValueHeads * config.headWidth,
    };
  }

  /** Logits of one sequence, with everything computed on the way; `options` apply the component intervention. */
  forward(ids: readonly number[], options: ForwardOptions = {}): ForwardResult {
    const hidden = this.hidden(ids, options);
    const { uncapped: uncappedLogits, logits } = this.logits(hidden.normed);
    return { ...hidden, uncappedLogits, logits };
  }

  /** `forward` without the logits. */
  hidden(ids: readonly number[], options: ForwardOptions = {}): HiddenResult {
    const { config } = this;
    const tokens = ids.length;
    const maskPosition = options.maskPosition ?? tokens - 1;
    const layers: LayerActivations[] = [];
    const scale = this.#embeddingScale();
    let residual: Float64Array = this.#matrices.rows(EMBEDDING, ids, config.hiddenSize).map((value) =>
      value * scale
    );
    for (let layer = 0; layer < config.layers; layer++) {
      const mask = options.mask && splitMask(config, options.mask[layer]!);
      const { activations, output } = this.#layerForward(layer, residual, tokens, mask, maskPosition);
      layers.push(activations);
      residual = output;
    }
    const normed = this.#norm(residual, FINAL_NORM, tokens, config.hiddenSize);
    return { ids, mask: options.mask, maskPosition, layers, final: residual, normed };
  }

  /** Logits [P,V] from P rows of `normed`, before and after the soft cap. */
  logits(normed: Float64Array): { uncapped: Float64Array; logits: Float64Array } {
    const { vocabSize, hiddenSize, finalSoftCap } = this.config;
    const uncapped = this.#linear(
      normed,
      this.#headName(),
      normed.length / hiddenSize,
      vocabSize,
      hiddenSize,
    );
    return { uncapped, logits: softCap(uncapped, finalSoftCap) };
  }

  /** Logits of single tokens [R] at the last position, before and after the soft cap. */
  tokenLogits(hidden: HiddenResult, tokens: readonly number[]) {
    const { hiddenSize: D, finalSoftCap } = this.config;
    const rows = this.#matrices.rows(this.#headName(), tokens, D);
    const uncapped = matmulNT(hidden.normed.subarray(-D), rows, 1, tokens.length, D);
    return { uncapped, logits: softCap(uncapped, finalSoftCap) };
  }

  /** Gradients of every parameter, whole, and of the mask, given dlogits [T,V] of one `forward`. */
  backward(forward: ForwardResult, dlogits: ArrayLike<number>): BackwardResult {
    const gradients = new WholeGradients(this.weights as ReadonlyMap<string, Float64Array>);
    const duncapped = softCapBackward(dlogits, forward.uncappedLogits, this.config.finalSoftCap);
    const tokens = forward.ids.length;
    const dnormed = this.#linearBackward(gradients, duncapped, forward.normed, this.#headName(), tokens);
    const mask = this.#hiddenBackward(forward, dnormed, gradients);
    return { gradients: gradients.byName, ...(mask && { mask }) };
  }

  /**
   * Gradients of the parameters, into `gradients`, and of the mask, given those of `tokenLogits`: duncapped [R] of the
   * uncapped logits of `tokens` at the last position.
   */
  tokenBackward(
    hidden: HiddenResult,
    tokens: readonly number[],
    duncapped: Float64Array,
    gradients: GradientSink,
  ): Float64Array[] | undefined {
    const { hiddenSize: D } = this.config;
    const last = hidden.normed.subarray(-D);
    gradients.rows(this.#headName(), tokens, matmulNT(duncapped, last, tokens.length, D, 1));
    const rows = this.#matrices.rows(this.#headName(), tokens, D);
    const dnormed = new Float64Array(hidden.normed.length);
    dnormed.set(matmulNN(duncapped, rows, 1, D, tokens.length), dnormed.length - D);
    return this.#hiddenBackward(hidden, dnormed, gradients);
  }

  /** From the gradient of `normed` [T,D] to those of all weights below it and, if there was one, of the mask. */
  #hiddenBackward(
    hidden: HiddenResult,
    dnormed: Float64Array,
    gradients: GradientSink,
  ): Float64Array[] | undefined {
    let dresidual = this.#normBackward(gradients, dnormed, hidden.final, FINAL_NORM);
    const dmask: Float64Array[] = [];
    for (let layer = this.config.layers - 1; layer >= 0; layer--) {
      const result = this.#layerBackward(gradients, layer, hidden, dresidual);
      dresidual = result.dinput;
      if (result.dmask) dmask.unshift(result.dmask);
    }
    const scale = this.#embeddingScale();
    gradients.rows(EMBEDDING, hidden.ids, dresidual.map((value) => value * scale));
    return hidden.mask && dmask;
  }

  #layerForward(
    layer: number,
    input: Float64Array,
    tokens: number,
    mask: LayerMask | undefined,
    maskPosition: number,
  ): { activations: LayerActivations; output: Float64Array } {
    const { hiddenSize: D, mlpWidth: F, headWidth: C, architecture, activation } = this.config;
    const { queries: HC, keys: KC } = this.#sizes;
    const { norms } = architecture;
    const name = (part: string | undefined) => part && `model.layers.${layer}.${part}`;
    const weight = (part: string) => `model.layers.${layer}.${part}.weight`;
    const masked = (x: Float64Array, part: ArrayLike<number> | undefined, width: number) =>
      part ? atPosition(x, maskPosition, tokens, (row) => scaleComponents(row, part, width)) : x;
    const projectionNorm = (x: Float64Array, part: string, width: number) => {
      if (architecture.queryKeyNorm === "none") return x;
      // A norm of each head sees [T·heads, C], which is [T, heads·C] in memory.
      const normed = architecture.queryKeyNorm === "head" ? C : width;
      return this.#norm(x, name(part), x.length / normed, normed);
    };

    const attentionInput = this.#norm(input, name(norms.beforeAttention), tokens, D);
    const rawQueries = this.#linear(attentionInput, weight("self_attn.q_proj"), tokens, HC, D);
    const rawKeys = this.#linear(attentionInput, weight("self_attn.k_proj"), tokens, KC, D);
    const rawValues = this.#linear(attentionInput, weight("self_attn.v_proj"), tokens, KC, D);
    const maskedQueries = masked(rawQueries, mask?.queries, C);
    const maskedKeys = masked(rawKeys, mask?.keys, C);
    const values = masked(rawValues, mask?.values, C);
    const queries = this.#rotary(layer, projectionNorm(maskedQueries, "self_attn.q_norm", HC), tokens);
    const keys = this.#rotary(layer, projectionNorm(maskedKeys, "self_attn.k_norm", KC), tokens);
    const attended = attention(queries, keys, values, this.#attentionShape(layer, tokens)).out;
    const attentionOutput = this.#linear(attended, weight("self_attn.o_proj"), tokens, D, HC);
    const middle = add(input, this.#norm(attentionOutput, name(norms.afterAttention), tokens, D));

    const mlpInput = this.#norm(middle, name(norms.beforeMlp), tokens, D);
    const gate = this.#linear(mlpInput, weight("mlp.gate_proj"), tokens, F, D);
    const up = this.#linear(mlpInput, weight("mlp.up_proj"), tokens, F, D);
    const rawNeurons = gatedMlp(gate, up, activation);
    const neurons = masked(rawNeurons, mask?.neurons, 1);
    const mlpOutput = this.#linear(neurons, weight("mlp.down_proj"), tokens, D, F);
    const output = add(middle, this.#norm(mlpOutput, name(norms.afterMlp), tokens, D));
    // deno-fmt-ignore
    const activations = {
      input, attentionInput, rawQueries, rawKeys, rawValues, maskedQueries, maskedKeys, queries, keys, values,
      attended, attentionOutput, middle, mlpInput, gate, up, rawNeurons, neurons, mlpOutput,
    };
    return { activations, output };
  }

  #layerBackward(
    gradients: GradientSink,
    layer: number,
    forward: HiddenResult,
    doutput: Float64Array,
  ): { dinput: Float64Array; dmask: Float64Array | undefined } {
    const { headWidth: C, architecture, activation } = this.config;
    const { norms } = architecture;
    const tokens = forward.ids.length;
    const a = forward.layers[layer]!;
    const mask = forward.mask && splitMask(this.config, forward.mask[layer]!);
    const dmask: number[] = []; // filled in backward order, each part in front
    const name = (part: string | undefined) => part && `model.layers.${layer}.${part}`;
    const linear = (dy: Float64Array, x: Float64Array, part: string) =>
      this.#linearBackward(gradients, dy, x, `model.layers.${layer}.${part}.weight`, tokens);
    const norm = (dy: Float64Array, x: Float64Array, part: string | undefined) =>
      this.#normBackward(gradients, dy, x, name(part));
    const projectionNorm = (dy: Float64Array, x: Float64Array, part: string) =>
      architecture.queryKeyNorm === "none" ? dy : norm(dy, x, part);
    const unmask = (
      dy: Float64Array,
      x: Float64Array,
      part: ArrayLike<number> | undefined,
      width: number,
    ) => {
      if (!part) return dy;
      return atPosition(dy, forward.maskPosition, tokens, (row, start, end) => {
        const result = scaleComponentsBackward(row, x.subarray(start, end), part, width);
        dmask.unshift(...result.dmask);
        return result.dx;
      });
    };

    const dmlpOutput = norm(doutput, a.mlpOutput, norms.afterMlp);
    const dneurons = unmask(linear(dmlpOutput, a.neurons, "mlp.down_proj"), a.rawNeurons, mask?.neurons, 1);
    const { dgate, dup } = gatedMlpBackward(dneurons, a.gate, a.up, activation);
    const dmlpInput = add(linear(dgate, a.mlpInput, "mlp.gate_proj"), linear(dup, a.mlpInput, "mlp.up_proj"));
    const dmiddle = add(doutput, norm(dmlpInput, a.middle, norms.beforeMlp));

    const dattentionOutput = norm(dmiddle, a.attentionOutput, norms.afterAttention);
    const dattended = linear(dattentionOutput, a.attended, "self_attn.o_proj");
    const shape = this.#attentionShape(layer, tokens);
    const { dq, dk, dv } = attentionBackward(dattended, a.queries, a.keys, a.values, shape);
    const dkNormed = this.#rotary(layer, dk, tokens, true);
    const dqNormed = this.#rotary(layer, dq, tokens, true);
    const dvalues = unmask(dv, a.rawValues, mask?.values, C);
    const dmaskedKeys = projectionNorm(dkNormed, a.maskedKeys, "self_attn.k_norm");
    const dkeys = unmask(dmaskedKeys, a.rawKeys, mask?.keys, C);
    const dmaskedQueries = projectionNorm(dqNormed, a.maskedQueries, "self_attn.q_norm");
    const dqueries = unmask(dmaskedQueries, a.rawQueries, mask?.queries, C);
    const dattentionInput = add(
      linear(dqueries, a.attentionInput, "self_attn.q_proj"),
      add(
        linear(dkeys, a.attentionInput, "self_attn.k_proj"),
        linear(dvalues, a.attentionInput, "self_attn.v_proj"),
      ),
    );
    const dinput = add(dmiddle, norm(dattentionInput, a.input, norms.beforeAttention));
    return { dinput, dmask: mask && Float64Array.from(dmask) };
  }

  #headName(): string {
    return this.config.tiedEmbedding ? EMBEDDING : "lm_head.weight";
  }

  #embeddingScale(): number {
    return this.config.architecture.scaleEmbedding ? Math.sqrt(this.config.hiddenSize) : 1;
  }

  #attentionShape(layer: number, tokens: number): AttentionShape {
    const { queryHeads, keyValueHeads, headWidth, attentionScale, attentionSoftCap } = this.config;
    const window = this.config.windows[layer]!;
    const queryStarts = [0, tokens];
    const scale = attentionScale;
    return { queryHeads, keyValueHeads, headWidth, scale, softCap: attentionSoftCap, window, queryStarts };
  }

  /** x [T,in] → [T,out] through the weight [out,in] and the bias [out] beside it, if any. */
  #linear(x: Float64Array, name: string, tokens: number, outWidth: number, inWidth: number): Float64Array {
    const y = this.#matrices.product(x, name, tokens, outWidth, inWidth);
    if (!this.#matrices.has(biasOf(name))) return y;
    const bias = this.#matrices.vector(biasOf(name));
    return y.map((value, i) => value + bias[i % outWidth]!);
  }

  /** dy [T,out], x [T,in] → dx [T,in]; adds the gradients of the weight and of its bias. */
  #linearBackward(
    gradients: GradientSink,
    dy: Float64Array,
    x: Float64Array,
    name: string,
    tokens: number,
  ): Float64Array {
    const [outWidth, inWidth] = [dy.length / tokens, x.length / tokens];
    gradients.matrix(name, dy, x, tokens);
    if (this.#matrices.has(biasOf(name))) {
      const sums = Float64Array.from({ length: outWidth }, (_, o) => sumOf(dy, o, outWidth));
      gradients.vector(biasOf(name), sums);
    }
    return this.#matrices.transposedProduct(dy, name, tokens, outWidth, inWidth);
  }

  /** RMSNorm by name without ".weight"; an absent name passes x through. */
  #norm(x: Float64Array, name: string | undefined, tokens: number, width: number): Float64Array {
    if (!name) return x;
    const { normEpsilon, architecture } = this.config;
    return rmsNorm(
      x,
      this.#matrices.vector(`${name}.weight`),
      tokens,
      width,
      normEpsilon,
      architecture.normOffset,
    );
  }

  #normBackward(
    gradients: GradientSink,
    dy: Float64Array,
    x: Float64Array,
    name: string | undefined,
  ): Float64Array {
    if (!name) return dy;
    const { normEpsilon, architecture } = this.config;
    const weight = this.#matrices.vector(`${name}.weight`);
    const { dx, dweight } = rmsNormBackward(
      dy,
      x,
      weight,
      x.length / weight.length,
      weight.length,
      normEpsilon,
      architecture.normOffset,
    );
    gradients.vector(`${name}.weight`, dweight);
    return dx;
  }

  #rotary(layer: number, x: Float64Array, tokens: number, inverse = false): Float64Array {
    const { headWidth, windows, rope, slidingRope } = this.config;
    const positions = Array.from({ length: tokens }, (_, t) => t);
    const own = windows[layer]! > 0 ? slidingRope : rope;
    const frequency = pairFrequency(own, headWidth);
    const turned = rotary(x, positions, x.length / tokens / headWidth, headWidth, frequency, inverse);
    const { attentionFactor } = own;
    // A factor on the whole is its own transpose, so gradients take it too.
    return attentionFactor === undefined ? turned : turned.map((value) => value * attentionFactor);
  }
}

function biasOf(weight: string): string {
  return weight.replace(/weight$/, "bias");
}

/** Sum of every `stride`th value from `first` on. */
function sumOf(x: Float64Array, first: number, stride: number): number {
  let sum = 0;
  for (let i = first; i < x.length; i += stride) sum += x[i]!;
  return sum;
}
