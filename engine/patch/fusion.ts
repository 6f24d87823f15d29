/** Amplified rows as a checkpoint's own types hold them, and how much of the update that leaves. R rows, I columns. */
import { InputError } from "../errors.ts";
import { type Rounding, roundToType } from "../checkpoint/rounding.ts";
import { Checkpoint, type FloatType, isFloat, wrongType } from "../checkpoint/checkpoint.ts";
import type { Model } from "../model/model.ts";
import { seededRandom } from "../random.ts";
import { addDelta, applyPatch, type Patch, type PatchTensor } from "./patch.ts";

/** What rounding leaves of an update; an update without any change counts as whole. */
export interface Survival {
  /** Of the values that the update changes, how many still differ from the base, in per cent. */
  readonly values_percent: number;
  /** Euclidean norm of the rounded change over that of the exact one. */
  readonly norm_ratio: number;
  /** Cosine between the rounded change and the exact one; 0 when nothing is left. */
  readonly cosine: number;
}

/** The same for one matrix of the checkpoint. */
export interface MatrixSurvival extends Survival {
  /** The parameter in the checkpoint. */
  readonly name: string;
  /** Its type there. */
  readonly dtype: FloatType;
  /** Number of changed rows. */
  readonly rows: number;
  /** Values that the update changes. */
  readonly values: number;
}

interface Sums {
  values: number;
  kept: number;
  exact: number;
  rounded: number;
  product: number;
}

/** Rounds a patch's rows to the types of a checkpoint; the same seed and patch give the same bits wherever it is done. */
export class Fusion {
  readonly #found = new Map<string, { dtype: FloatType; rows: number; sums: Sums }>();
  readonly #dtypes: ReadonlyMap<string, FloatType>;

  /** Throws InputError where one of the patch's matrices has no float type. */
  constructor(
    checkpoint: Checkpoint,
    patch: { readonly tensors: readonly PatchTensor[] },
    readonly rounding: Rounding = "nearest",
    readonly seed = 0,
  ) {
    this.#dtypes = new Map(patch.tensors.flatMap(({ name }) => {
      const info = checkpoint.tensor(name);
      if (info && !isFloat(info.dtype)) throw wrongType(info);
      return info ? [[name, info.dtype as FloatType] as const] : [];
    }));
  }

  /** The stored type of a matrix that the patch changes. */
  dtypeOf(name: string): FloatType {
    return this.#dtypes.get(name)!;
  }

  /** Whether any of the matrices is stored in 16 bits, so that something is rounded at all. */
  get rounds(): boolean {
    return [...this.#dtypes.values()].some((dtype) => dtype !== "F32");
  }

  /** Types of the changed matrices; one in all ordinary checkpoints. */
  get dtype(): string {
    return [...new Set(this.#dtypes.values())].join(" and ");
  }

  /** base + delta [R, I] as the checkpoint would hold it. Throws InputError for a value that its type cannot hold. */
  readonly rows = (tensor: PatchTensor, base: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => {
    const { name, delta, columns } = tensor;
    const dtype = this.dtypeOf(name);
    const exact = addDelta(tensor, base);
    const rounded = roundToType(exact, dtype, this.rounding, seededRandom(`${this.seed}/rounding/${name}`));
    const bad = rounded.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new InputError(
        `The patch makes a value of row ${tensor.rows[Math.floor(bad / columns)]} of ${name} ` +
          `${
            exact[bad]!.toPrecision(6)
          }, which ${dtype} cannot hold; use patch apply, which makes the matrix F32.`,
      );
    }
    const sums: Sums = { values: 0, kept: 0, exact: 0, rounded: 0, product: 0 };
    for (let i = 0; i < delta.length; i++) {
      if (delta[i] === 0) continue;
      const left = rounded[i]! - base[i]!;
      sums.values++;
      if (left !== 0) sums.kept++;
      sums.exact += delta[i]! ** 2;
      sums.rounded += left ** 2;
      sums.product += left * delta[i]!;
    }
    this.#found.set(name, { dtype, rows: tensor.rows.length, sums });
    return rounded;
  };

  /** What was found, in the patch's order, so that sums have the same bits whoever asked for the rows in which order. */
  #inOrder() {
    return [...this.#dtypes.keys()].flatMap((name) => {
      const found = this.#found.get(name);
      return found ? [[name, found] as const] : [];
    });
  }

  /** What is left of the rows asked for so far, matrix by matrix. */
  get matrices(): MatrixSurvival[] {
    return this.#inOrder().map(([name, { dtype, rows, sums }]) => ({
      name,
      dtype,
      rows,
      values: sums.values,
      ...toSurvival(sums),
    }));
  }

  /** What is left of them together. */
  get survives(): Survival {
    const total: Sums = { values: 0, kept: 0, exact: 0, rounded: 0, product: 0 };
    for (const [, { sums }] of this.#inOrder()) {
      for (const key of Object.keys(total) as (keyof Sums)[]) total[key] += sums[key];
    }
    return toSurvival(total);
  }
}

/**
 * Overlays a model with a patch whose rows are rounded as its fused checkpoint would hold them.
 *
 * @throws {InputError} like Fusion and applyPatch.
 *
 * @example Try a patch as a 16-bit checkpoint would hold it
 * ```ts
 * import { applyRounded, extractPatch, Gpu, Model } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const fusion = await applyRounded(model, await extractPatch(model));
 * console.log(fusion.survives);
 * ```
 */
export async function applyRounded(
  model: Model,
  patch: Patch,
  rounding: Rounding = "nearest",
  seed = 0,
): Promise<Fusion> {
  using checkpoint = await Checkpoint.open(model.directory);
  const fusion = new Fusion(checkpoint, patch, rounding, seed);
  await applyPatch(model, patch, fusion.rows);
  return fusion;
}

function toSurvival({ values, kept, exact, rounded, product }: Sums): Survival {
  if (values === 0) return { values_percent: 100, norm_ratio: 1, cosine: 1 };
  return {
    values_percent: 100 * kept / values,
    norm_ratio: Math.sqrt(rounded / exact),
    cosine: rounded === 0 ? 0 : Math.min(1, product / Math.sqrt(exact) / Math.sqrt(rounded)),
  };
}
