/** Streams a checkpoint's tensors to the GPU. q, k, v are fused into one matrix by rows, and so are gate and up. */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Norm } from "../ops/norm.ts";
import { bytesOf, freeWeight, splitRows, type Storage, type Weight } from "../ops/weight.ts";
import type { ModelConfig } from "./architecture.ts";
import {
  type Checkpoint,
  type FloatType,
  type TensorInfo,
  widenToFloat32,
} from "../checkpoint/checkpoint.ts";

/** One layer's weights; H, K, C, F, D as in architecture.ts. */
export interface LayerWeights {
  /** [(H + 2K)·C, D]: rows of q_proj, k_proj, v_proj. */
  readonly qkv: Weight;
  /** o_proj [D, H·C] */
  readonly output: Weight;
  /** [2F, D]: rows of gate_proj, then up_proj. */
  readonly gateUp: Weight;
  /** down_proj [D, F] */
  readonly down: Weight;
  /** Gain [D]. */
  readonly beforeAttention?: Norm;
  /** Gain [D]. */
  readonly afterAttention?: Norm;
  /** Gain [D]. */
  readonly beforeMlp?: Norm;
  /** Gain [D]. */
  readonly afterMlp?: Norm;
  /** Gain [H·C] or [C], and [K·C] or [C]. */
  readonly queryNorm?: Norm;
  /** As queryNorm. */
  readonly keyNorm?: Norm;
  /** [(H + 2K)·C] and [D] */
  readonly qkvBias?: Tensor;
  /** [D] */
  readonly outputBias?: Tensor;
}

/** All weights; `unembedding` is `embedding` where they are tied. */
export interface ModelWeights {
  /** [V, D] */
  readonly embedding: Weight;
  /** [V, D] */
  readonly unembedding: Weight;
  /** Gain [D]. */
  readonly finalNorm: Norm;
  /** From the first to the last. */
  readonly layers: readonly LayerWeights[];
}

/** `auto` keeps 16-bit checkpoints 16-bit on a GPU and widens small ones on software Vulkan; values are the same. */
export type StorageChoice = "auto" | "checkpoint" | "f32";

/** Where a parameter of the checkpoint lies in the fused matrices: its name and its rows. */
export interface WeightPart {
  readonly name: string;
  readonly firstRow: number;
  readonly rows: number;
}

/** The checkpoint tensors that a fused matrix of layer `l` is made of, with their rows. */
export function partsOf(
  config: ModelConfig,
  l: number,
  matrix: "qkv" | "output" | "gateUp" | "down",
): WeightPart[] {
  const { queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F, hiddenSize: D } = config;
  const layer = `model.layers.${l}`;
  const stack = (parts: [string, number][]) => {
    let firstRow = 0;
    return parts.map(([name, rows]) => {
      firstRow += rows;
      return { name: `${layer}.${name}.weight`, firstRow: firstRow - rows, rows };
    });
  };
  switch (matrix) {
    case "qkv":
      return stack([["self_attn.q_proj", H * C], ["self_attn.k_proj", K * C], ["self_attn.v_proj", K * C]]);
    case "output":
      return stack([["self_attn.o_proj", D]]);
    case "gateUp":
      return stack([["mlp.gate_proj", F], ["mlp.up_proj", F]]);
    case "down":
      return stack([["mlp.down_proj", D]]);
  }
}

/** Where weights come from: a checkpoint, or anything that knows shapes and yields raw elements. */
export type WeightSource = Pick<Checkpoint, "names" | "tensor" | "require" | "readRaw">;

/** Bytes of float32 read from a file at a time, and bytes that wait in host memory to reach the GPU at most. */
const pieceBytes = 16 * 2 ** 20, waitingBytes = 64 * 2 ** 20;
const smallCheckpoint = 512 * 2 ** 20;

/** Loads every weight; throws InputError for a missing tensor, a wrong shape or a value that is not finite. */
export async function loadWeights(
  gpu: Gpu,
  checkpoint: WeightSource,
  config: ModelConfig,
  choice: StorageChoice,
): Promise<ModelWeights> {
  const { hiddenSize: D, queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F, vocabSize: V } = config;
  const bytes = checkpoint.names().reduce((sum, name) => {
    const info = checkpoint.tensor(name)!;
    return sum + info.byteEnd - info.byteStart;
  }, 0);
  // A processor widens bf16 with a shift, and half the loads are worth more than that; f16 costs it more.
  const widens = (dtype: string) =>
    choice === "f32" || (choice === "auto" && gpu.isSoftware && bytes <= smallCheckpoint && dtype !== "BF16");
  const loaded: Weight[] = [];
  const norms: Norm[] = [];
  const biases: Tensor[] = [];
  const matrix = async (parts: readonly WeightPart[], columns: number): Promise<Weight> => {
    const weight = await loadMatrix(gpu, checkpoint, parts, columns, widens);
    loaded.push(weight);
    return weight;
  };
  const vector = async (name: string, width: number) => {
    const info = checkpoint.require(name, [width]);
    return widenToFloat32(await readFinite(checkpoint, info, 0, width), info.dtype as FloatType);
  };
  const bias = async (parts: readonly WeightPart[]): Promise<Tensor> => {
    const width = parts.reduce((sum, { rows }) => sum + rows, 0);
    const tensor = gpu.tensor([width], biasName(parts[0]!), { part: "weights" });
    biases.push(tensor);
    for (const part of parts) gpu.write(tensor, await vector(biasName(part), part.rows), part.firstRow);
    return tensor;
  };
  const norm = async (name: string, width: number): Promise<Norm> => {
    const loadedNorm = {
      weight: gpu.upload(await vector(name, width), [width], name, { part: "weights" }),
      offset: config.architecture.normOffset,
      epsilon: config.normEpsilon,
    };
    norms.push(loadedNorm);
    return loadedNorm;
  };
  try {
    const embedding = await matrix([{ name: "model.embed_tokens.weight", firstRow: 0, rows: V }], D);
    const unembedding = config.tiedEmbedding
      ? embedding
      : await matrix([{ name: "lm_head.weight", firstRow: 0, rows: V }], D);
    const finalNorm = await norm("model.norm.weight", D);
    const layers: LayerWeights[] = [];
    for (let l = 0; l < config.layers; l++) {
      const ownNorms: Record<string, Norm> = {};
      for (const [place, name] of Object.entries(config.architecture.norms)) {
        ownNorms[place] = await norm(`model.layers.${l}.${name}.weight`, D);
      }
      const { queryKeyNorm } = config.architecture;
      if (queryKeyNorm !== "none") {
        const [q, k] = queryKeyNorm === "head" ? [C, C] : [H * C, K * C];
        ownNorms.queryNorm = await norm(`model.layers.${l}.self_attn.q_norm.weight`, q);
        ownNorms.keyNorm = await norm(`model.layers.${l}.self_attn.k_norm.weight`, k);
      }
      layers.push({
        qkv: await matrix(partsOf(config, l, "qkv"), D),
        output: await matrix(partsOf(config, l, "output"), H * C),
        gateUp: await matrix(partsOf(config, l, "gateUp"), D),
        down: await matrix(partsOf(config, l, "down"), F),
        ...ownNorms,
        ...(config.biases.qkv && { qkvBias: await bias(partsOf(config, l, "qkv")) }),
        ...(config.biases.output && { outputBias: await bias(partsOf(config, l, "output")) }),
      });
    }
    return { embedding, unembedding, finalNorm, layers };
  } catch (error) {
    loaded.forEach((weight) => freeWeight(gpu, weight));
    norms.forEach(({ weight }) => gpu.free(weight));
    biases.forEach((tensor) => gpu.free(tensor));
    throw error;
  }
}

/** The name in the checkpoint of a part's bias. */
export function biasName({ name }: WeightPart): string {
  return name.replace(/weight$/, "bias");
}

/** Every matrix, norm and bias of the model once. */
export function allParameters(
  weights: ModelWeights,
): { matrices: Weight[]; norms: Norm[]; biases: Tensor[] } {
  const matrices = new Set([weights.embedding, weights.unembedding]);
  const norms = [weights.finalNorm];
  const biases: Tensor[] = [];
  for (const layer of weights.layers) {
    for (const weight of [layer.qkv, layer.output, layer.gateUp, layer.down]) matrices.add(weight);
    const { beforeAttention, afterAttention, beforeMlp, afterMlp, queryNorm, keyNorm } = layer;
    for (const norm of [beforeAttention, afterAttention, beforeMlp, afterMlp, queryNorm, keyNorm]) {
      if (norm) norms.push(norm);
    }
    for (const bias of [layer.qkvBias, layer.outputBias]) if (bias) biases.push(bias);
  }
  return { matrices: [...matrices], norms, biases };
}

/** Bytes that weights, norms and biases take on the GPU, overlays apart. */
export function gpuBytes(weights: ModelWeights): number {
  const { matrices, norms, biases } = allParameters(weights);
  const tensors = matrices.flatMap(({ chunks }) => chunks.map(({ tensor }) => tensor));
  return [...tensors, ...biases, ...norms.map(({ weight }) => weight)].reduce(
    (sum, { handle }) => sum + handle.size,
    0,
  );
}

async function loadMatrix(
  gpu: Gpu,
  checkpoint: WeightSource,
  parts: readonly WeightPart[],
  columns: number,
  widens: (dtype: string) => boolean,
): Promise<Weight> {
  const infos = parts.map(({ name, rows }) => checkpoint.require(name, [rows, columns]));
  const dtypes = new Set(infos.map(({ dtype }) => dtype));
  const only = dtypes.size === 1 ? infos[0]!.dtype : "F32";
  // 16-bit rows are packed in pairs, so an odd row width would let rows share a word.
  const packed = !widens(only) && columns % 2 === 0 && only !== "F32";
  const storage: Storage = packed ? (only === "F16" ? "f16" : "bf16") : "f32";
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const rowBytes = columns * bytesOf(storage);
  const name = parts[0]!.name;
  const chunks = splitRows(
    gpu,
    rows,
    rowBytes,
    (count) => gpu.tensor([Math.ceil(count * rowBytes / 4)], name, { exact: true, part: "weights" }),
  );
  const chunkRows = chunks[0]!.rows;
  const pieceRows = Math.max(1, Math.floor(pieceBytes / (columns * 4)));
  let waiting = 0;
  // Written bytes wait in host memory until a submit takes them and the GPU is done with it.
  const flush = async () => {
    gpu.device.queue.submit([]);
    if (rows * rowBytes > pieceBytes) await gpu.fence();
    waiting = 0;
  };
  try {
    for (const [p, { firstRow, rows: partRows }] of parts.entries()) {
      for (let row = 0; row < partRows;) {
        const chunk = chunks[Math.floor((firstRow + row) / chunkRows)]!;
        const left = chunk.firstRow + chunk.rows - firstRow - row;
        const count = Math.min(pieceRows, partRows - row, left);
        const raw = await readFinite(checkpoint, infos[p]!, row * columns, count * columns);
        const data = packed
          ? new Uint32Array(raw.buffer, 0, raw.byteLength / 4)
          : widenToFloat32(raw, infos[p]!.dtype as FloatType);
        gpu.write(chunk.tensor, data, (firstRow + row - chunk.firstRow) * rowBytes / 4);
        row += count;
        waiting += data.byteLength;
        if (waiting >= waitingBytes) await flush();
      }
    }
    await flush();
  } catch (error) {
    chunks.forEach(({ tensor }) => gpu.free(tensor));
    throw error;
  }
  return { name, rows, columns, storage, chunks };
}

async function readFinite(checkpoint: WeightSource, info: TensorInfo, from: number, count: number) {
  const raw = await checkpoint.readRaw(info, from, count);
  const bad = firstNonFinite(raw, info.dtype);
  if (bad >= 0) {
    throw new InputError(
      `${info.file}: tensor ${info.name} holds NaN or infinity at element ${
        from + bad
      }; get an undamaged checkpoint.`,
    );
  }
  return raw;
}

/** Index of the first NaN or infinity, -1 for none: the exponent bits are all set. A loop: this sees every weight. */
function firstNonFinite(raw: Uint8Array<ArrayBuffer>, dtype: string): number {
  const wide = dtype === "F32";
  const exponent = wide ? 0x7f800000 : dtype === "F16" ? 0x7c00 : 0x7f80;
  const bits = wide ? new Uint32Array(raw.buffer) : new Uint16Array(raw.buffer);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & exponent) === exponent) return i;
  return -1;
}
