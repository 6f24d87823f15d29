/** A loaded model: configuration, weights on the GPU, tokenizer, and the simplest questions one asks of it. */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Plan } from "../gpu/plan.ts";
import { tuneOnce } from "../ops/tuning.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { freeOverlay, freeWeight } from "../ops/weight.ts";
import { type ModelConfig, ropeOf } from "./architecture.ts";
import { TokenBatch } from "./batch.ts";
import { checkTensors } from "./checkpoint_tensors.ts";
import { readConfig } from "./config.ts";
import { componentsPerLayer, recordForward, recordGather, recordLogits } from "./forward.ts";
import { resolveModel, type SourceOptions } from "../checkpoint/hub.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { defaultCacheBytes, fittingContext, logitRows } from "./capacity.ts";
import { type Rope, ropeAngles } from "./rope.ts";
import { parseSite, type SiteName, siteWidth, type Tap } from "./sites.ts";
import { Tokenizer } from "./tokenizer.ts";
import {
  allParameters,
  gpuBytes,
  loadWeights,
  type ModelWeights,
  type StorageChoice,
  type WeightSource,
} from "./weights.ts";

/** How to find and load a model. */
export interface LoadOptions extends SourceOptions {
  /** Storage of weights on the GPU, default "auto". */
  readonly storage?: StorageChoice;
  /**
   * Longest sequence in tokens, default the model's own limit up to 8,192 and to what one buffer holds of a layer's keys
   * and values; may exceed the model's limit at the user's risk.
   */
  readonly contextLength?: number;
  /** Most bytes of keys and values that a stage holds at once, default a quarter of the weights, at least 2 GiB. */
  readonly cacheBytes?: number;
  /** Names of tensors, with `*` for any characters, that are passed over although they would belong to the model. */
  readonly ignoreTensors?: readonly string[];
  /** Called with the names of tensors that belong to nothing the model computes. */
  readonly onUnused?: (names: readonly string[]) => void;
  /** Choose kernels by measurement first, once for each Gpu, kept in the user's cache folder; default true. */
  readonly tune?: boolean;
}

/** Write captured values back: at these positions of the sequence, these rows of `values`. */
export interface ActivationPatch {
  /** Which activation. */
  readonly site: SiteName;
  /** Positions in the sequence, from 0. */
  readonly positions: readonly number[];
  /** [positions, width of the site] */
  readonly values: Float32Array;
}

/** See file comment. Free it with `using` or dispose. */
export class Model implements Disposable {
  /** So far: tokens computed ahead of decoding, tokens decoded, and steps of slots that had nothing left to decode. */
  prefillTokens = 0;
  /** Tokens decoded so far. */
  decodedTokens = 0;
  /** Tokens decoded so far by slots whose request had ended. */
  idleTokens = 0;
  private changes = 0;
  private disposed = false;

  private constructor(
    readonly gpu: Gpu,
    /** The folder it was loaded from. */
    readonly directory: string,
    /** The commit it is, when it came from the Hugging Face hub. */
    readonly commit: string | undefined,
    readonly config: ModelConfig,
    readonly weights: ModelWeights,
    /** f32 [contextLength, C/2, 2] of (cos, sin), one for each kind of rotary positions the layers have. */
    private readonly angles: ReadonlyMap<Rope, Tensor>,
    readonly contextLength: number,
    /** Most bytes of keys and values, over all layers, that a stage holds at once. */
    readonly cacheBytes: number,
    private readonly loadedTokenizer: Tokenizer | undefined,
  ) {}

  /**
   * Loads a folder in Hugging Face layout, or a Hugging Face id (see resolveModel): config.json, safetensors, and
   * tokenizer.json if there is one. Throws InputError naming what is wrong with it.
   */
  static async load(gpu: Gpu, source: string, options: LoadOptions = {}): Promise<Model> {
    const { folder: directory, commit } = await resolveModel(source, options);
    using checkpoint = await Checkpoint.open(directory);
    const { config, source: weights, unused } = await checkTensors(
      await readConfig(directory),
      checkpoint,
      options.ignoreTensors,
    );
    const hasTokenizer = await exists(`${directory}/tokenizer.json`);
    const tokenizer = hasTokenizer ? await Tokenizer.load(directory) : undefined;
    if (options.tune !== false) await tuneOnce(gpu);
    const model = await Model.from(gpu, config, weights, {
      ...options,
      directory,
      ...(commit !== undefined && { commit }),
      ...(tokenizer && { tokenizer }),
    });
    if (unused.length > 0) options.onUnused?.(unused);
    return model;
  }

  /**
   * A model of this configuration with weights from any source. Throws InputError, before anything is loaded, for a
   * context that cannot fit the adapter, and for what is wrong with the weights.
   */
  static async from(
    gpu: Gpu,
    config: ModelConfig,
    source: WeightSource,
    options: LoadOptions & { directory?: string; commit?: string; tokenizer?: Tokenizer } = {},
  ): Promise<Model> {
    const contextLength = fittingContext(gpu, config, options.contextLength);
    const weights = await loadWeights(gpu, source, config, options.storage ?? "auto");
    const angles = new Map<Rope, Tensor>();
    for (let l = 0; l < config.layers; l++) {
      const rope = ropeOf(config, l);
      if (angles.has(rope)) continue;
      const shape = [contextLength, config.headWidth / 2, 2];
      angles.set(
        rope,
        gpu.upload(ropeAngles(rope, config.headWidth, contextLength), shape, "rotary angles", {
          part: "weights",
        }),
      );
    }
    const cacheBytes = options.cacheBytes ?? defaultCacheBytes(gpuBytes(weights));
    const { directory = "", commit, tokenizer } = options;
    return new Model(gpu, directory, commit, config, weights, angles, contextLength, cacheBytes, tokenizer);
  }

  /** The tokenizer; throws InputError when the folder has none. */
  get tokenizer(): Tokenizer {
    if (!this.loadedTokenizer) {
      throw new InputError(
        `Model folder "${this.directory}" has no tokenizer.json, which text needs; add it.`,
      );
    }
    return this.loadedTokenizer;
  }

  /** Components per layer (H + 2K + F), in the order q heads, k heads, v heads, MLP neurons. */
  get componentsPerLayer(): number {
    return componentsPerLayer(this.config);
  }

  /** Number of parameters in the checkpoint. */
  get parameters(): number {
    const { matrices, norms, biases } = allParameters(this.weights);
    return matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0) +
      norms.reduce((sum, { weight }) => sum + weight.elements, 0) +
      biases.reduce((sum, { elements }) => sum + elements, 0);
  }

  /** Rotary angles of a layer: f32 [contextLength, C/2, 2] of (cos, sin). */
  anglesOf(layer: number): Tensor {
    return this.angles.get(ropeOf(this.config, layer))!;
  }

  /** One single-layer cache [rows, 2, K, C] per layer, or one for all where nothing is kept between layers. */
  cache(rows: number, label: string): Tensor {
    this.checkUsable();
    return this.gpu.tensor([rows, 2, this.config.keyValueHeads * this.config.headWidth], label, {
      part: "cache",
    });
  }

  /** Counts changes of the weights, so that what was computed with others can be told. */
  get weightsVersion(): number {
    return this.changes;
  }

  /** Notes that rows of a matrix changed; whoever writes an overlay says so. */
  weightsChanged() {
    this.changes++;
  }

  /** Throws InputError once the model was disposed of. */
  checkUsable() {
    if (this.disposed) throw new InputError("This model was disposed of; load it again.");
  }

  /** Throws InputError for a sequence that is empty, too long, or holds an id outside the vocabulary. */
  checkSequence(ids: readonly number[], newTokens = 0) {
    this.checkUsable();
    if (ids.length === 0) throw new InputError("A sequence holds no tokens; give at least one.");
    if (ids.length + newTokens > this.contextLength) {
      throw new InputError(
        `A sequence of ${ids.length} tokens with ${newTokens} new ones exceeds the context of ${this.contextLength}; shorten it (fewer shots) or generate less.`,
        "max-new-tokens",
      );
    }
    const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= this.config.vocabSize);
    if (outside !== undefined) {
      throw new InputError(`Token id ${outside} is outside the vocabulary of ${this.config.vocabSize}.`);
    }
  }

  /**
   * Logits [positions, V] of one sequence at the chosen positions (default: all), with activations captured and
   * patched on the way. Captured values come back per site as [positions, width]. The GPU holds the logits of as many
   * positions at once as fit one buffer.
   */
  async run(
    ids: readonly number[],
    options: {
      positions?: readonly number[];
      capture?: readonly { site: SiteName; positions?: readonly number[] }[];
      patch?: readonly ActivationPatch[];
    } = {},
  ): Promise<{ logits: Float32Array; captured: Map<SiteName, Float32Array> }> {
    this.checkSequence(ids);
    const { gpu, config } = this;
    const all = ids.map((_, i) => i);
    const positions = options.positions ?? all;
    const owned: Tensor[] = [];
    const own = (tensor: Tensor) => (owned.push(tensor), tensor);
    const pairs = (rows: readonly number[], into: boolean) => {
      const bad = rows.find((row) => !Number.isInteger(row) || row < 0 || row >= ids.length);
      if (bad !== undefined) {
        throw new InputError(`Position ${bad} is outside the sequence of ${ids.length} tokens.`);
      }
      const data = Uint32Array.from(rows.flatMap((row, i) => into ? [i, row] : [row, i]));
      return own(gpu.upload(data, [rows.length, 2], "row index"));
    };
    using batch = TokenBatch.wholeSequences(gpu, [ids]);
    using plan = new Plan(gpu, "run");
    try {
      const taps: Tap[] = [];
      for (const { site: name, positions: rows, values } of options.patch ?? []) {
        const site = parseSite(name, config);
        const width = siteWidth(site.kind, config);
        if (values.length !== rows.length * width) {
          throw new InputError(
            `The patch of ${name} needs ${rows.length} × ${width} values but has ${values.length}.`,
          );
        }
        const buffer = own(gpu.upload(values, [rows.length, width], name));
        taps.push({ site, action: "patch", index: pairs(rows, true), buffer });
      }
      const sites = (options.capture ?? []).map(({ site }) => site);
      const twice = sites.find((site, i) => sites.indexOf(site) !== i);
      if (twice) throw new InputError(`${twice} is captured twice; name all its positions in one capture.`);
      const captures = (options.capture ?? []).map(({ site: name, positions: rows = all }) => {
        const site = parseSite(name, config);
        const buffer = own(gpu.tensor([rows.length, siteWidth(site.kind, config)], name));
        taps.push({ site, action: "capture", index: pairs(rows, false), buffer });
        return [name, buffer] as const;
      });
      const cache = own(this.cache(ids.length, "cache"));
      const x = recordForward(plan, this, batch, Array(config.layers).fill(cache), { taps });
      const chosen = pairs(positions, false);
      plan.run();
      const captured = new Map<SiteName, Float32Array>();
      for (const [name, buffer] of captures) captured.set(name, await gpu.read(buffer));
      return { logits: await this.readLogits(x, chosen), captured };
    } finally {
      owned.forEach((tensor) => gpu.free(tensor));
    }
  }

  /**
   * Logits [P, V] that the final norm and the unembedding make of values of the residual stream [P, D].
   *
   * @throws {InputError} for values that are no whole rows.
   */
  async unembed(residual: Float32Array): Promise<Float32Array> {
    const { gpu, config: { hiddenSize: D } } = this;
    const rows = residual.length / D;
    if (!Number.isInteger(rows) || rows === 0) {
      throw new InputError(
        `Rows of the residual stream have ${D} values each, not ${residual.length} in all.`,
      );
    }
    const x = gpu.upload(Float32Array.from(residual), [rows, D], "residual");
    const index = gpu.upload(
      Uint32Array.from({ length: 2 * rows }, (_, i) => i >> 1),
      [rows, 2],
      "row index",
    );
    try {
      return await this.readLogits(x, index);
    } finally {
      gpu.free(x);
      gpu.free(index);
    }
  }

  /** Logits [P, V] of rows of x [N, D], in groups that fit one buffer each; index u32 [P, 2] of (token, row). */
  private async readLogits(x: Tensor, index: Tensor): Promise<Float32Array> {
    const { gpu, config: { vocabSize: V } } = this;
    const [rows, group] = [index.shape[0]!, logitRows(this)];
    if (rows <= group) {
      using plan = new Plan(gpu, "logits");
      const { logits } = recordLogits(plan, this, recordGather(plan, x, index));
      plan.run();
      return await gpu.read(logits);
    }
    const all = new Float32Array(rows * V);
    const pairs = await gpu.readU32(index);
    for (let first = 0; first < rows; first += group) {
      const count = Math.min(group, rows - first);
      const own = Uint32Array.from(
        { length: 2 * count },
        (_, i) => i % 2 ? (i - 1) / 2 : pairs[2 * first + i]!,
      );
      const part = gpu.upload(own, [count, 2], "row index");
      all.set(await this.readLogits(x, part), first * V);
      gpu.free(part);
    }
    return all;
  }

  /** Drops every overlay: the model is the checkpoint again, bit for bit. */
  revert() {
    this.checkUsable();
    const overlaid = allParameters(this.weights).matrices.filter(({ overlay }) => overlay);
    if (overlaid.length === 0) return;
    overlaid.forEach((weight) => freeOverlay(this.gpu, weight));
    this.weightsChanged();
  }

  /** Frees its weights; whatever uses it afterwards is refused. */
  [Symbol.dispose]() {
    if (this.disposed) return;
    this.disposed = true;
    const { matrices, norms, biases } = allParameters(this.weights);
    matrices.forEach((weight) => freeWeight(this.gpu, weight));
    norms.forEach((norm) => this.gpu.free(norm.weight));
    biases.forEach((bias) => this.gpu.free(bias));
    this.angles.forEach((angles) => this.gpu.free(angles));
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
